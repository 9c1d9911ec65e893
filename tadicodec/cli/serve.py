"""Answer HTTP requests: speech and transcriptions as OpenAI's clients ask for them, token files, figures."""

from __future__ import annotations

import argparse
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tadicodec.cli import options
from tadicodec.cli.closing import notice, warn
from tadicodec.cli.loading import SAVED, load_codec
from tadicodec.errors import InputError, reason

if TYPE_CHECKING:
    from tadicodec.codec import Codec
    from tadicodec.speech import Prompt
    from tadicodec.tts.synthesize import Speaker

LIMITS: dict[str, tuple[Callable[[str], Any], str]] = {
    "requests": (options.positive, "requests taken at once, then 429"),
    "batch": (options.positive, "recordings encoded together"),
    "megabytes": (float, "of a request, then 413"),
    "seconds": (float, "of a recording, then 413"),
    "characters": (int, "of a text, then 413"),
    "timeout": (float, "seconds a request may take, then 504"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `tadicodec serve`."""
    parser.add_argument("--host", default="127.0.0.1", metavar="H", help="where to listen (127.0.0.1: this machine)")
    parser.add_argument("--port", type=port, default=8000, metavar="P", help="port, 0 for a free one (8000)")
    parser.add_argument(
        "--voices", metavar="FOLDER", help="saved prompts, NAME.safetensors each: make them with `tadicodec prompt`"
    )
    parser.add_argument("--tts-model", metavar="M", help="folder or Hugging Face id of another speech language model")
    for name, (kind, about) in LIMITS.items():
        parser.add_argument(f"--max-{name}" if name != "timeout" else "--timeout", dest=name, type=kind, help=about)
    parser.add_argument(
        "--threads", type=options.positive, metavar="N", help="of the model's arithmetic (default: one for each core)"
    )
    options.add_model(parser)


def port(text: str) -> int:
    """A port from 0 to 65535. Raises an error of argparse for anything else."""
    value = int(text)
    if not 0 <= value <= 65535:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 65535")
    return value


def check_address(host: str, number: int) -> None:
    """Raise InputError unless a server could listen there; asked before models are loaded for nothing."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, number, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except (OSError, UnicodeError) as error:
        raise InputError(f"cannot listen at {host}, port {number}: {reason(error)}") from error


def run(args: argparse.Namespace) -> int:
    """Run `tadicodec serve` until Ctrl-C or SIGTERM: then nothing new is taken, and what was begun is finished. Raises
    InputError."""
    import torch
    import uvicorn

    from tadicodec.serve.app import create_app
    from tadicodec.serve.settings import LOOPBACK, TOKEN_VARIABLE, ServeConfig

    limits = {name: getattr(args, name) for name in LIMITS if getattr(args, name) is not None}
    config = ServeConfig(**limits, token=os.environ.get(TOKEN_VARIABLE))
    check_address(args.host, args.port)
    voices = load_voices(args.voices)
    if args.threads is not None:
        torch.set_num_threads(args.threads)
    codec = load_codec(args)
    app = create_app(codec, load_speakers(args, codec), voices, config)
    if config.token is None and args.host not in LOOPBACK:
        warn(f"anyone who reaches {args.host} may use this server; set {TOKEN_VARIABLE} to a secret to change that")
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=args.host,
            port=args.port,
            log_level="info",
            server_header=False,
            timeout_graceful_shutdown=int(config.timeout) + 1,
        )
    )
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        server.run()  # it handles both signals itself, and raises them again when all is done
    except SystemExit:  # uvicorn has said why it cannot listen
        return 2
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if not server.started:
        return 2
    notice("stopped; what was begun was finished")
    return 0


def load_voices(folder: str | None) -> dict[str, Prompt]:
    """Saved prompts by the names of their files. Raises InputError."""
    from tadicodec.tdc.saved_prompt import load_prompt

    if folder is None:
        return {}
    if not Path(folder).is_dir():
        raise InputError(f"{folder} is not a folder; --voices names one that holds saved prompts")
    paths = sorted(path for path in Path(folder).iterdir() if path.suffix == SAVED)
    if not paths:
        raise InputError(f"{folder} holds no saved prompt; `tadicodec prompt voice.wav {folder}/NAME{SAVED}` makes one")
    return {path.stem: load_prompt(path) for path in paths}


def load_speakers(args: argparse.Namespace, codec: Codec) -> dict[str, Speaker]:
    """Models by the names that clients ask for: "tadicodec" is the first engine, and each has a name of its own."""
    engines = load_engines(args, codec)
    first = {"tadicodec": next(iter(engines.values()))} if engines else {}
    return first | {f"tadicodec-{name}": speaker for name, speaker in engines.items()}


def load_engines(args: argparse.Namespace, codec: Codec) -> dict[str, Speaker]:
    """The model of --tts-model, or the bundled engines, the better one first; none for a codec they do not fit."""
    from tadicodec.tts.folder import DEFAULT_ENGINE
    from tadicodec.tts.model_config import ENGINES
    from tadicodec.tts.synthesize import Speaker

    if args.tts_model is not None:
        return {Path(args.tts_model).name: Speaker.from_pretrained(args.tts_model, codec=codec, dtype=codec.dtype)}
    names = [DEFAULT_ENGINE, *(name for name in ENGINES if name != DEFAULT_ENGINE)]
    try:
        return {name: Speaker.from_pretrained(None, engine=name, codec=codec, dtype=codec.dtype) for name in names}
    except InputError:
        if args.model is None:
            raise
        return {}
