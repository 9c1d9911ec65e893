"""Train the codec that is bundled, from prepared features to a model folder: every stage of recipes/codec in order.

    python tools/train_codec.py features runs --vocoder runs/vocoder/model --out my-model

1. default.yaml: everything together, from scratch, in RUNS/codec
2. rounding: what makes codes, as 8 bits will hold it, in RUNS/rounded; nothing that follows changes the codes
3. with --decoder decoder.yaml: prior and decoder alone learn on the codes of the rounded encoder, in RUNS/decoder
4. few_step.yaml: the decoder alone learns to need 2 evaluations, in RUNS/few-step
5. joined with the vocoder in OUT; without --out and --vocoder it ends before

Started again, it goes on where it stopped, in the middle of a stage, too. Other settings than the recipes' stand in a
recipe of your own that begins with `base: default.yaml`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bundle_model import bundle
from round_codec import round_codec

from tadicodec.errors import InputError
from tadicodec.train.recipe import run_recipe
from tadicodec.train.recipe_file import read_recipe

RECIPES = Path(__file__).resolve().parents[1] / "recipes" / "codec"
INTERRUPTED = 130  # as `tadicodec train` ends when a signal stopped it


class Unfinished(Exception):
    """A stage has steps left: a signal stopped it, or its time was over."""

    def __init__(self, message: str, interrupted: bool) -> None:
        super().__init__(message)
        self.interrupted = interrupted


def train(recipe: Path, overrides: list[str]) -> None:
    """Run a recipe to its last step; at once where it is there. Raises Unfinished where it ends before."""
    state = run_recipe(recipe, overrides, progress=sys.stderr.isatty())
    steps = read_recipe(recipe, overrides)["loop"]["steps"]
    if state.step < steps:
        message = f"{recipe.name}: {state.step} of {steps} steps; start it again to go on"
        raise Unfinished(message, state.interrupted)


def run(arguments: argparse.Namespace) -> None:
    """All stages. Raises InputError, Unfinished."""
    runs, given = arguments.runs, [f"data.features={arguments.features}"]
    if arguments.minutes:
        given.append(f"loop.max_minutes={arguments.minutes}")
    train(arguments.recipe, [*given, f"out={runs / 'codec'}"])
    round_codec(runs / "codec" / "model", runs / "rounded")
    taught = runs / "rounded"
    if arguments.decoder:
        train(arguments.decoder, [*given, f"init={taught}", f"out={runs / 'decoder'}"])
        taught = runs / "decoder" / "model"
    train(arguments.few_step, [*given, f"model.pretrained={taught}", f"out={runs / 'few-step'}"])
    if arguments.out and arguments.vocoder:
        bundle(runs / "few-step" / "model", arguments.vocoder, arguments.out, {})


def parse(given: list[str] | None) -> argparse.Namespace:
    first, *rest = __doc__.splitlines()
    parser = argparse.ArgumentParser(
        description=first, epilog="\n".join(rest), formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("features", type=Path, help="made by `tadicodec prepare`")
    parser.add_argument("runs", type=Path, help="folder for the stages")
    parser.add_argument("--recipe", type=Path, default=RECIPES / "default.yaml", help="of the first stage")
    parser.add_argument("--decoder", type=Path, help="recipe of a stage for prior and decoder alone (none)")
    parser.add_argument("--few-step", type=Path, default=RECIPES / "few_step.yaml", help="recipe of the last")
    parser.add_argument("--minutes", type=float, default=0.0, help="stop a stage after so long (0: never)")
    parser.add_argument("--vocoder", help="model folder of a vocoder run, or a model whose vocoder is taken (bundled)")
    parser.add_argument("--out", type=Path, help="model folder to write")
    return parser.parse_args(given)


def main(given: list[str] | None = None) -> int:
    """0 when all is done or the time is over, 130 when a signal stopped it, 2 for what the user can mend."""
    try:
        run(parse(given))
    except InputError as error:
        print(f"train_codec: error: {error}", file=sys.stderr)
        return 2
    except Unfinished as left:
        print(f"train_codec: {left}", file=sys.stderr)
        return INTERRUPTED if left.interrupted else 0
    return 0


if __name__ == "__main__":
    sys.exit(main())
