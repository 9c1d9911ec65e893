"""Compute the features of a manifest's audio once, before training on them."""

from __future__ import annotations

import argparse

from tadicodec.cli import options
from tadicodec.cli.closing import on_terminal, report, say
from tadicodec.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `tadicodec prepare`."""
    parser.add_argument("manifest", metavar="MANIFEST", help="JSONL file, one utterance a line")
    parser.add_argument("out", metavar="OUT", nargs="?", help="folder for the features; what it has already is kept")
    parser.add_argument("--check", action="store_true", help="only read the manifest whole and list what is wrong")
    parser.add_argument(
        "--model", metavar="M", help="take the mel settings of this model (default: the published ones)"
    )
    parser.add_argument("--workers", type=options.positive, default=1, metavar="N", help="processes (1)")


def run(args: argparse.Namespace) -> int:
    """Run `tadicodec prepare` and return its exit code. Raises InputError."""
    if args.check:
        return check(args.manifest)
    if args.out is None:
        raise InputError("OUT is missing: the folder for the features; see `tadicodec prepare --help`")
    from tadicodec.checkpoint import find_model, load_config
    from tadicodec.config import MelConfig
    from tadicodec.data.feature_maker import prepare_features

    mel = MelConfig() if args.model is None else load_config(find_model(args.model)).mel
    progress = on_terminal()
    clips = prepare_features(args.manifest, args.out, mel, args.workers, progress=progress)
    say(f"prepared {clips} clips in {args.out}")
    return 0


def check(manifest: str) -> int:
    """Check a manifest. Returns 0 where it has no faults, otherwise 2 after printing the first of them, each in a
    line."""
    from tadicodec.data.manifest import SHOWN, check_manifest

    found, faults = check_manifest(manifest)
    for fault in faults[:SHOWN]:
        report(str(fault))
    if len(faults) > SHOWN:
        report(f"{manifest}: and {len(faults) - SHOWN} more")
    if not found and not faults:
        raise InputError(f"{manifest}: no utterance")
    hours, splits = sum(item.seconds for item in found) / 3600, sorted({item.split for item in found})
    verdict = "no fault" if not faults else f"{len(faults)} FAULTS"
    say(f"{manifest}: {len(found)} utterances, {hours:.2f} h, splits {', '.join(splits)}; {verdict}")
    return 2 if faults else 0
