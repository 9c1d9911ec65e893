"""A model's networks as ONNX files, one each, in float32 or in integers, and checked against torch."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from tadicodec.cli.closing import say, waiting


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `tadicodec export`."""
    parser.add_argument("model", metavar="MODEL", help="folder, Hugging Face id, `bundled` or `bundled:ar`")
    parser.add_argument("output", metavar="OUT", help="folder for the graphs")
    parser.add_argument("--to", choices=("onnx",), default="onnx", help="format (onnx)")
    parser.add_argument("--bits", type=int, choices=(8, 7, 4), help="wide products of integers (default: float32)")
    parser.add_argument("--overwrite", action="store_true", help="replace graphs that exist")
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Run `tadicodec export` and return its exit code. Raises InputError."""
    with waiting(f"exporting {args.model}"):
        from tadicodec.quant.export import export_model

        made = export_model(args.model, Path(args.output), args.bits, overwrite=args.overwrite)
    if args.json:
        say(json.dumps({"output": str(args.output), "graphs": made}))
    else:
        lines = [
            f"{row['file']}: {row['bytes'] / 1e6:.2f} MB, {row['distance']:.1e} from torch's float32 on random inputs"
            for row in made
        ]
        say("\n".join([f"wrote {args.output}", *lines]))
    return 0
