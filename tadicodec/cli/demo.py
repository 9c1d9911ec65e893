"""A page in the browser: record or drop speech, hear it from its tokens, and let a text be spoken."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `tadicodec demo`."""
    pass


def run(args: argparse.Namespace) -> int:
    """Run `tadicodec demo` and return its exit code. Raises InputError."""
    return 0
