"""Options that several commands share, and the values they accept."""

from __future__ import annotations

import argparse
import math

AUTO = "auto"  # of --dtype: what this machine is faster in
DTYPES = ("float32", "bfloat16", "float16", AUTO)
BACKENDS = ("torch", "onnx", "onnx-int8")
ENCODE_BACKENDS = ("torch", "onnx")
EXPLAIN_PATHS = "a file, a folder (searched with its subfolders), or - for {}"


def add_paths(parser: argparse.ArgumentParser) -> None:
    """Declare IN, OUT and what belongs to them."""
    parser.add_argument("input", metavar="IN", help=EXPLAIN_PATHS.format("standard input"))
    parser.add_argument("output", metavar="OUT", help="where to write: a file, a folder for a folder, or - (stdout)")
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    add_strict(parser)
    parser.add_argument("--batch-size", type=positive, default=8, metavar="N", help="files at a time of a folder (8)")
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")


def add_model(parser: argparse.ArgumentParser) -> None:
    """Declare --model, --device, --dtype, --backend and --encode-backend."""
    parser.add_argument("--model", metavar="M", help="model folder or Hugging Face id (default: the bundled model)")
    parser.add_argument("--device", metavar="D", help="cpu, cuda, cuda:1, mps (default: cuda if there is one)")
    parser.add_argument(
        "--dtype",
        choices=DTYPES,
        default="float32",
        help="precision of the networks (float32); auto: bfloat16 where it is faster here and the mel stays near",
    )
    parser.add_argument(
        "--backend",
        choices=BACKENDS,
        default="torch",
        help="of decoding and of AR models on a CPU (torch); onnx: ONNX Runtime where faster; onnx-int8: in integers",
    )
    parser.add_argument(
        "--encode-backend",
        choices=ENCODE_BACKENDS,
        default="torch",
        help="of encoding on a CPU (torch); onnx: ONNX Runtime where faster, if 99.9 %% of the codes stay the same",
    )


def add_coder(parser: argparse.ArgumentParser) -> None:
    """Declare --coder."""
    parser.add_argument(
        "--coder", metavar="M", help="folder of the autoregressive model that squeezes token files (default: bundled)"
    )


def add_strict(parser: argparse.ArgumentParser) -> None:
    """Declare --strict."""
    parser.add_argument("--strict", action="store_true", help="stop at the first bad file instead of leaving it out")


def add_text(parser: argparse.ArgumentParser, default: str) -> None:
    """Declare --text; `default` says what happens without it."""
    parser.add_argument("--text", metavar="T", help=f"what is said, or a .txt file that holds it (default: {default})")


def add_words(parser: argparse.ArgumentParser) -> None:
    """Declare the ways to say what a recording says; `cli.words.Words` reads them."""
    add_text(parser, "IN.txt beside IN, or else what the model's transcriber hears")
    parser.add_argument("--no-text", action="store_true", help="send codes alone; who decodes them reads them")
    parser.add_argument("--asr", metavar="M", help="transcribe with a Whisper model: a folder or a Hugging Face id")


def add_prompt(parser: argparse.ArgumentParser) -> None:
    """Declare --prompt and --prompt-text."""
    parser.add_argument("--prompt", metavar="VOICE", help="seconds of the speaker: a wave or a saved prompt")
    parser.add_argument("--prompt-text", metavar="T", help="what it says (default: the .txt beside the wave)")


def add_sampling(parser: argparse.ArgumentParser) -> None:
    """Declare --steps, --guidance and --seed."""
    parser.add_argument("--steps", type=positive, metavar="N", help="steps of the decoder (default: the model's)")
    parser.add_argument("--guidance", type=scale, metavar="G", help="guidance scale, 0 is off (default: the model's)")
    parser.add_argument("--seed", type=seed, default=0, metavar="S", help="random seed (0)")


def positive(text: str) -> int:
    """A whole number from 1 to 10,000. Raises an error of argparse for anything else."""
    value = int(text)
    if not 1 <= value <= 10_000:
        raise argparse.ArgumentTypeError(f"{text} is not between 1 and 10000")
    return value


def count(text: str) -> int:
    """A whole number from 0 to 1,000,000. Raises an error of argparse for anything else."""
    value = int(text)
    if not 0 <= value <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1000000")
    return value


def scale(text: str) -> float:
    """A guidance scale from 0 to 100. Raises an error of argparse for anything else."""
    value = float(text)
    if not 0 <= value <= 100 or math.isnan(value):
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 100")
    return value


def seed(text: str) -> int:
    """A seed from 0 to 2^63 - 1. Raises an error of argparse for anything else."""
    value = int(text)
    if not 0 <= value < 2**63:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 2^63 - 1")
    return value
