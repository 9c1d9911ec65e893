"""A page in the browser, on this machine: record or drop speech and hear it from its tokens; let a text be spoken."""

from __future__ import annotations

import argparse

from tadicodec.cli import options
from tadicodec.cli.closing import notice
from tadicodec.cli.loading import load_codec
from tadicodec.cli.serve import load_engines, port


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `tadicodec demo`."""
    parser.add_argument("--host", default="127.0.0.1", metavar="H", help="where to listen (127.0.0.1: this machine)")
    parser.add_argument("--port", type=port, default=7860, metavar="P", help="port (7860)")
    parser.add_argument("--tts-model", metavar="M", help="folder or Hugging Face id of another speech language model")
    options.add_model(parser)


def run(args: argparse.Namespace) -> int:
    """Run the page until Ctrl-C; the exit code. Raises InputError."""
    import uvicorn

    from tadicodec.demo.site import create_demo

    codec = load_codec(args)
    speakers = load_engines(args, codec)
    app = create_demo(codec, speakers)
    notice(f"open http://{args.host}:{args.port} in a browser; Ctrl-C ends it")
    server = uvicorn.Server(uvicorn.Config(app, host=args.host, port=args.port, log_level="warning"))
    try:
        server.run()
    except SystemExit:  # uvicorn has said why it cannot listen
        return 2
    return 0 if server.started else 2
