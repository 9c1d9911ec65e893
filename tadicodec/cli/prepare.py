"""Compute the features of a manifest's audio once, before training on them."""

from __future__ import annotations

import argparse
import sys

from tadicodec.cli import options


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("manifest", metavar="MANIFEST", help="JSONL file, one utterance a line")
    parser.add_argument("out", metavar="OUT", help="folder for the features; what it has already is kept")
    parser.add_argument(
        "--model", metavar="M", help="take the mel settings of this model (default: the published ones)"
    )
    parser.add_argument("--workers", type=options.positive, default=1, metavar="N", help="processes (1)")


def run(args: argparse.Namespace) -> int:
    from tadicodec.checkpoint import find_model, load_config
    from tadicodec.config import MelConfig
    from tadicodec.data.feature_maker import prepare_features

    mel = MelConfig() if args.model is None else load_config(find_model(args.model)).mel
    clips = prepare_features(args.manifest, args.out, mel, args.workers, progress=sys.stderr.isatty())
    print(f"prepared {clips} clips in {args.out}")
    return 0
