"""A model's weights as 8 or fewer bits each: smaller on disk and in memory, loaded like any other model."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tadicodec.cli import options
from tadicodec.cli.closing import on_terminal, say
from tadicodec.errors import InputError
from tadicodec.quant.methods import METHODS

if TYPE_CHECKING:
    from tadicodec.codec import Codec
    from tadicodec.data.features import Features
    from tadicodec.quant.job import Job
    from tadicodec.quant.quant_settings import QuantConfig

Sections = dict[str, dict[str, Any]]
BYTES = "bytes"  # what models of our own read, which need no tokenizer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `tadicodec quantize`."""
    parser.add_argument(
        "model", metavar="MODEL", help="model folder, Hugging Face id, `bundled`, `bundled:ar` or `bundled:masked`"
    )
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
    parser.add_argument(
        "--cache-bits",
        type=int,
        default=0,
        metavar="B",
        help="of an AR model: keys and values in 2, 4 or 8 bits while it speaks (0: floating point)",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a model that exists")
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Run `tadicodec quantize` and return its exit code. Raises InputError."""
    from tadicodec.quant.codec_quantizer import check_destination
    from tadicodec.quant.quantizable import find_quantizable

    sections = read_sections(args)
    check_destination(args.output, args.overwrite)
    folder, is_codec = find_quantizable(args.model)
    return (
        quantize_codec_folder(args, sections, folder) if is_codec else quantize_language_folder(args, sections, folder)
    )


def quantize_language_folder(args: argparse.Namespace, sections: Sections, folder: Path) -> int:
    """A speech language model. Raises InputError."""
    from tadicodec.quant.language_model import (
        language_job,
        language_size,
        quantize_language_model,
        save_language_model,
    )
    from tadicodec.tts.cache import CacheFormat
    from tadicodec.tts.folder import load_tts

    for option, value in (("--tabulate", args.tabulate), ("--data", args.data), ("--steps", args.steps)):
        if value:
            raise InputError(f"{option} is for codecs; a speech language model is rounded without training")
    cache = CacheFormat(args.cache_bits)
    config, network = load_tts(folder)
    job = language_job(sections, config, network)
    config, result = quantize_language_model(config, network, job, cache)
    ours = folder / "text_tokenizer"
    tokenizer = None if config.text == BYTES else ours if ours.is_dir() else folder
    save_language_model(args.output, config, result, job, tokenizer=tokenizer, overwrite=args.overwrite)
    return told(args, job, {"model": language_size(result, job)})


def quantize_codec_folder(args: argparse.Namespace, sections: Sections, folder: Path) -> int:
    """A codec. Raises InputError."""
    from tadicodec.codec import Codec
    from tadicodec.quant.codec_quantizer import (
        check_codec,
        quantize_codec,
        save_quantized,
        sizes,
    )

    job = read_job(args, sections)
    codec = Codec.from_pretrained(folder)
    check_codec(codec, job)
    progress = on_terminal()
    with tempfile.TemporaryDirectory() as scratch:
        features = find_features(args.data, codec, job, Path(scratch)) if job.method.trains else None
        result = quantize_codec(codec, job, features, progress=progress)
    save_quantized(result, args.output, job, overwrite=args.overwrite)
    return told(args, job.model, sizes(codec, result, job))


def told(args: argparse.Namespace, job: QuantConfig, found: dict[str, Any]) -> int:
    """Say what was written, and how large it is."""
    if args.json:
        say(json.dumps({"output": str(args.output), "method": job.method, **found}))
    else:
        say("\n".join([f"wrote {args.output} ({job.method}, {job.bits} bits)", *map(line, found.items())]))
    return 0


def line(item: tuple[str, dict[str, Any]]) -> str:
    """The sizes of one network before and after, as a line for people."""
    name, size = item
    return (
        f"{name}: {size['bytes'] / 1e6:.2f} MB, {100 * size['share']:.1f} % of float32's "
        f"({size['layers']} layers in integers)"
    )


def read_sections(args: argparse.Namespace) -> Sections:
    """The recipe's sections, with the options' values in place of its own. Raises InputError."""
    from tadicodec.quant.quant_settings import read_quant_recipe

    sections: Sections = {"quantization": {}, "vocoder": {}, "tuning": {}}
    if args.recipe is not None:
        sections = read_quant_recipe(args.recipe)
    wanted = {key: getattr(args, key) for key in ("method", "bits", "group") if getattr(args, key) is not None}
    sections["quantization"] |= wanted
    sections["tuning"] |= {key: getattr(args, key) for key in ("steps", "seed") if getattr(args, key) is not None}
    return sections


def read_job(args: argparse.Namespace, sections: Sections) -> Job:
    """What to do to a codec. Raises InputError."""
    from tadicodec.quant.job import Job

    if args.cache_bits:
        raise InputError("--cache-bits is for autoregressive models; a codec keeps no keys and values")
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
