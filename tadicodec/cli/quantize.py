"""A model's weights as 8 or fewer bits each: smaller on disk and in memory, loaded like any other model."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tadicodec.cli import options
from tadicodec.cli.closing import say
from tadicodec.errors import InputError
from tadicodec.quant.methods import METHODS

if TYPE_CHECKING:
    from tadicodec.codec import Codec
    from tadicodec.data.features import Features
    from tadicodec.quant.job import Job


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="model folder, Hugging Face id, or `bundled`")
    parser.add_argument("output", metavar="OUT", help="folder for the quantized model")
    parser.add_argument("--method", choices=METHODS, help="glm needs no data, the others train (glm)")
    parser.add_argument("--bits", type=int, metavar="B", help="bits a weight, 2 to 8 (8; training methods: 4 or 2)")
    parser.add_argument(
        "--group", type=int, metavar="G", help="inputs that share a scale, 0: the row (0 for 8 bits, else mostly 32)"
    )
    parser.add_argument("--data", metavar="DATA", help="manifest or prepared features, for methods that train")
    parser.add_argument("--steps", type=int, metavar="N", help="training steps (1000)")
    parser.add_argument("--seed", type=options.seed, metavar="S", help="random seed (0)")
    parser.add_argument("--recipe", metavar="YAML", help="everything else, and defaults for these (recipes/quant/)")
    parser.add_argument(
        "--tabulate", action="store_true", help="time gains as tables: smaller, for the model's own steps only"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a model that exists")
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")


def run(args: argparse.Namespace) -> int:
    from tadicodec.codec import Codec
    from tadicodec.quant.codec_quantizer import (
        check_codec,
        check_destination,
        quantize_codec,
        save_quantized,
        sizes,
    )

    job = read_job(args)
    check_destination(args.output, args.overwrite)
    codec = Codec.from_pretrained(args.model)
    check_codec(codec, job)
    progress = sys.stderr is not None and sys.stderr.isatty()
    with tempfile.TemporaryDirectory() as folder:
        features = find_features(args.data, codec, job, Path(folder)) if job.method.trains else None
        result = quantize_codec(codec, job, features, progress=progress)
    save_quantized(result, args.output, job, overwrite=args.overwrite)
    found = sizes(codec, result, job)
    if args.json:
        say(json.dumps({"output": str(args.output), "method": job.model.method, **found}))
    else:
        say("\n".join([f"wrote {args.output} ({job.model.method}, {job.model.bits} bits)", *map(line, found.items())]))
    return 0


def line(item: tuple[str, dict[str, Any]]) -> str:
    name, size = item
    return (
        f"{name}: {size['bytes'] / 1e6:.2f} MB, {100 * size['share']:.1f} % of float32's "
        f"({size['layers']} layers in integers)"
    )


def read_job(args: argparse.Namespace) -> Job:
    """The recipe, with the options' values in place of its own. Raises InputError."""
    from tadicodec.quant.job import Job
    from tadicodec.quant.settings import read_quant_recipe

    sections = (
        {"quantization": {}, "vocoder": {}, "tuning": {}} if args.recipe is None else read_quant_recipe(args.recipe)
    )
    wanted = sections["quantization"]
    wanted |= {key: getattr(args, key) for key in ("method", "bits", "group") if getattr(args, key) is not None}
    sections["tuning"] |= {key: getattr(args, key) for key in ("steps", "seed") if getattr(args, key) is not None}
    job = Job.from_sections(sections, tabulate=args.tabulate)
    if job.method.trains and args.data is None:
        raise InputError(f"{job.model.method} trains: give it a manifest or prepared features with --data")
    return job


def find_features(data: str, codec: Codec, job: Job, folder: Path) -> Features:
    """Prepared features as they are; a manifest's are made for this run and thrown away. Raises InputError."""
    from tadicodec.data.feature_maker import prepare_features
    from tadicodec.data.features import Features

    if not Path(data).is_dir():
        prepare_features(data, folder, codec.config.mel)
    source = Path(data) if Path(data).is_dir() else folder
    try:
        return Features(source, "train", max_frames=min(job.tune.max_frames, job.tune.frames))
    except InputError as error:
        raise InputError(str(error).replace(str(source), data)) from error  # not the folder of this run
