"""A speaker prompt as a file of its own, so that a receiver needs the voice only once."""

from __future__ import annotations

import argparse

from tadicodec.cli import options
from tadicodec.cli.closing import say
from tadicodec.cli.loading import SAVED, load_codec, read_wave_prompt
from tadicodec.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `tadicodec prompt`."""
    parser.add_argument("input", metavar="WAVE", help="one to ten seconds of the speaker")
    parser.add_argument("output", metavar="OUT", help=f"the prompt to write, NAME{SAVED}")
    options.add_text(parser, "the .txt beside it, or else what the model's transcriber hears")
    options.add_model(parser)
    parser.add_argument("--overwrite", action="store_true", help="replace a file that exists")


def run(args: argparse.Namespace) -> int:
    """Run `tadicodec prompt` and return its exit code. Raises InputError."""
    from tadicodec.outputs import check_output
    from tadicodec.tdc.saved_prompt import save_prompt

    if not args.output.lower().endswith(SAVED):
        raise InputError(f"{args.output}: a saved prompt is named NAME{SAVED}")
    check_output(args.output, args.overwrite)
    voice = read_wave_prompt(args.input, args.text)
    prompt = load_codec(args).prompt(voice.wave, voice.sample_rate, text=voice.text)
    save_prompt(args.output, prompt, args.overwrite)
    say(f"saved {len(prompt.codes) / 6.25:.2f} s of speech as prompt {prompt.hash}; it says {prompt.text!r}")
    return 0
