"""A page in the browser: record or drop speech, hear it from its tokens, and let a text be spoken."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    pass


def run(args: argparse.Namespace) -> int:
    return 0
