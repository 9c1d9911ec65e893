"""Train what a recipe describes; started again, it goes on where it stopped."""

from __future__ import annotations

import argparse
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("recipe", metavar="RECIPE.yaml", help="see recipes/")
    parser.add_argument(
        "overrides", nargs="*", metavar="section.key=value", help="values to use instead of the recipe's"
    )


def run(args: argparse.Namespace) -> int:
    from tadicodec.train.recipe import run_recipe

    run_recipe(args.recipe, args.overrides, progress=sys.stderr.isatty())
    return 0
