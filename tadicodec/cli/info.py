"""What a model, a token file or an audio file is."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tadicodec.cli import options
from tadicodec.cli.closing import say
from tadicodec.errors import InputError

if TYPE_CHECKING:
    from tadicodec.tdc.container import TokenFile


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `tadicodec info`."""
    parser.add_argument(
        "target",
        metavar="WHAT",
        nargs="?",
        help="a .tdc file, an audio file, a model folder or a Hugging Face id (default: the bundled model)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--words", action="store_true", help="of a token or audio file: when each word is said")
    parser.add_argument("--plot", metavar="PNG", help="of a token or audio file: draw sound, words, mel and codes")
    parser.add_argument("--overwrite", action="store_true", help="replace the picture if it exists")
    options.add_model(parser)
    options.add_coder(parser)
    options.add_text(parser, "the text in the token file, IN.txt beside the audio, or what the model hears")


def run(args: argparse.Namespace) -> int:
    """Run `tadicodec info` and return its exit code. Raises InputError."""
    document = describe(args)
    if args.json:
        say(json.dumps(document))
    else:
        say("\n".join(f"{name}: {shown(value)}" for name, value in document.items()))
    return 0


def describe(args: argparse.Namespace) -> dict[str, Any]:
    """Facts about what was asked for, by name. Raises InputError."""
    facts = facts_of(args.target, args.coder)
    if not (args.words or args.plot):
        return facts
    if facts["kind"] == "model":
        raise InputError("--words and --plot are for a token file or an audio file")
    return facts | look_into(args)


def look_into(args: argparse.Namespace) -> dict[str, Any]:
    """What only the model can tell of a file. Raises InputError."""
    from tadicodec.cli.looking import look
    from tadicodec.outputs import check_output, write_bytes

    if args.plot:
        if Path(args.plot).suffix.lower() != ".png":
            raise InputError(f"{args.plot}: the picture's name must end in .png")
        check_output(args.plot, args.overwrite)
    found = look(args)
    if args.plot:
        from tadicodec.pipeline.plots import draw_utterance, png

        write_bytes(args.plot, png(draw_utterance(found, Path(args.target).name)), args.overwrite)
    facts = {"words": [asdict(word) for word in found.words]} if args.words else {}
    return facts | ({"plot": args.plot} if args.plot else {})


def facts_of(target: str | None, coder: str | None = None) -> dict[str, Any]:
    """What a file alone says; coder: the model that squeezed it."""
    from tadicodec.audio.files import READABLE
    from tadicodec.tdc.container import MAGIC

    if target is None or Path(target).is_dir():
        return describe_model(target)
    path = Path(target)
    suffix = path.suffix.lower()
    if not path.exists():
        if suffix in (".tdc", *READABLE):
            raise InputError(f"{target} does not exist; check the path")
        return describe_model(target)
    if suffix == ".tdc" or starts_with(path, MAGIC):
        return describe_tokens(path, coder)
    return describe_audio(path)


def starts_with(path: Path, magic: bytes) -> bool:
    """Whether a file begins with these bytes."""
    try:
        with open(path, "rb") as file:
            return file.read(len(magic)) == magic
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error


def describe_model(name: str | None) -> dict[str, Any]:
    """Facts about a model. Raises InputError."""
    from tadicodec.codec import Codec

    return {"kind": "model"} | Codec.from_pretrained(name).info()


def describe_tokens(path: Path, coder: str | None) -> dict[str, Any]:
    """Facts about a token file. Raises InputError."""
    from tadicodec.cli.closing import Tally
    from tadicodec.cli.decode import file_receipt
    from tadicodec.tdc.container import read_token_file

    file = read_token_file(path, coder)
    header, receipt = file.header, file_receipt(file)
    rates = Tally("", [receipt]).document()
    return {
        "kind": "token file",
        "model": header.model,
        "weights": header.weights,
        "seconds": receipt.seconds,
        "tokens": header.codes,
        "text": header.text,
        "language": header.language,
        "normaliser": header.normaliser,
        "prompt": header.prompt,
        "bytes": file.size,
        "code_bits_per_second": rates["code_bits_per_second"],
        "total_bits_per_second": rates["total_bits_per_second"],
    } | ({} if file.costs is None else squeezed_facts(file))


def squeezed_facts(file: TokenFile) -> dict[str, Any]:
    """What the parts of a squeezed token file take."""
    assert file.costs is not None
    parts = {f"{name}_bits": round(bits, 1) for name, bits in asdict(file.costs).items()}
    return {"squeezed_by": file.coder or None, **parts}


def describe_audio(path: Path) -> dict[str, Any]:
    """Facts about an audio file. Raises InputError."""
    from tadicodec.audio.files import inspect_audio

    info = inspect_audio(path)
    return {
        "kind": "audio",
        "format": f"{info.format} {info.subtype}",
        "sample_rate": info.sample_rate,
        "channels": info.channels,
        "samples": info.samples,
        "seconds": round(info.seconds, 4),
    } | ({"notes": list(info.notes)} if info.notes else {})


def shown(value: Any) -> str:
    """Plain strings as they are, everything else as JSON, which also shows control characters harmlessly."""
    if isinstance(value, str) and value.isprintable():
        return value
    return json.dumps(value, ensure_ascii=False)
