"""Train what a recipe describes; started again, it goes on where it stopped."""

from __future__ import annotations

import argparse

from tadicodec.cli.closing import notice, on_terminal
from tadicodec.guards.extras import need

INTERRUPTED = 130  # as shells report Ctrl-C: a script must not take the checkpoint for the finished model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `tadicodec train`."""
    parser.add_argument("recipe", metavar="RECIPE.yaml", help="see recipes/")
    parser.add_argument(
        "--model",
        metavar="M",
        help="the codec (a folder, a Hugging Face id or bundled): speech language models are trained on its tokens "
        "only, few_step makes it faster, codec starts from it",
    )
    parser.add_argument(
        "overrides", nargs="*", metavar="section.key=value", help="values to use instead of the recipe's"
    )


def run(args: argparse.Namespace) -> int:
    """Run `tadicodec train`. Returns 0 when the steps or the recipe's `max_minutes` are used up, 130 when a signal
    ended the run before. Raises InputError."""
    need("accelerate", "training")
    from tadicodec.train.recipe import run_recipe

    progress = on_terminal()
    state = run_recipe(args.recipe, args.overrides, progress=progress, model=args.model)
    if not getattr(state, "interrupted", False):
        return 0
    notice(f"stopped at step {state.step}, which the newest checkpoint holds; the same command goes on from there")
    return INTERRUPTED
