"""Speech to token files (.tdc): 6.25 tokens of 14 bits for each second, or squeezed to half of that."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from tadicodec.cli import options
from tadicodec.cli.audio_io import seconds_of
from tadicodec.cli.closing import Receipt, Tally
from tadicodec.cli.coding import encode_jobs
from tadicodec.cli.jobs import Worker, run_work
from tadicodec.cli.loading import Voice, load_codec, make_prompt, read_voice
from tadicodec.cli.paths import Job, Work, pair
from tadicodec.cli.pipes import binary_output
from tadicodec.cli.words import Words
from tadicodec.errors import InputError
from tadicodec.outputs import check_output

if TYPE_CHECKING:
    from tadicodec.codec import Codec
    from tadicodec.speech import Prompt, Speech


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `tadicodec encode`."""
    options.add_paths(parser)
    options.add_model(parser)
    options.add_words(parser)
    options.add_prompt(parser)
    parser.add_argument(
        "--squeeze", action="store_true", help="fewer bits: text and codes by how probable language models find them"
    )
    options.add_coder(parser)
    parser.add_argument(
        "--words", choices=("json", "srt", "TextGrid"), help="also write when each word is said, into a file beside OUT"
    )


def run(args: argparse.Namespace) -> int:
    """Run `tadicodec encode` and return its exit code. Raises InputError."""
    from tadicodec.audio.files import READABLE

    work = pair(args.input, args.output, READABLE, [".tdc"], args.overwrite)
    check_captions(work, args)
    if args.coder is not None and not args.squeeze:
        raise InputError("--coder says which model squeezes; it needs --squeeze")
    words = Words(args, work.folder)
    voice = read_voice(args)
    codec = load_codec(args)
    words.load(codec)
    tally = Tally("encoded")
    worker = Encoder(codec, words, prompt_to_store(codec, voice), args)
    run_work(work, worker, args.batch_size, tally, args.strict)
    return tally.close(args.json, work.piped)


def check_captions(work: Work, args: argparse.Namespace) -> None:
    """Raise InputError unless the files of --words can be written."""
    if args.words is None:
        return
    if work.piped:
        raise InputError("--words writes a file beside OUT, and OUT is standard output here; give it a name")
    for job in work.jobs:
        if job.target is not None:
            check_output(captions_of(job.target, args.words), args.overwrite)


def captions_of(tokens: Path, form: str) -> Path:
    """The file beside a token file."""
    return tokens.with_suffix(f".{form}")


def prompt_to_store(codec: Codec, voice: Voice | Prompt | None) -> Prompt | str | None:
    """A wave's prompt travels in the token file; of a saved prompt, which the receiver has, only the hash does."""
    prompt = make_prompt(codec, voice)
    if prompt is not None:
        codec.limits.check_prompt(prompt)
    return prompt.hash if prompt is voice and prompt is not None else prompt


class Encoder(Worker):
    """Turns the audio of a job into the bytes of a token file."""

    def __init__(self, codec: Codec, words: Words, prompt: Prompt | str | None, args: argparse.Namespace) -> None:
        self.codec, self.words, self.prompt = codec, words, prompt
        self.overwrite, self.captions = args.overwrite, args.words
        self.squeeze, self.coder = args.squeeze, args.coder

    def measure(self, job: Job) -> float:
        return seconds_of(job)

    def process(self, jobs: list[Job]) -> list[Speech]:
        return encode_jobs(self.codec, jobs, self.words)

    def write(self, job: Job, result: Speech) -> Receipt:
        from tadicodec.outputs import write_all, write_bytes
        from tadicodec.tdc.container import squeezed_bytes, to_bytes
        from tadicodec.text.captions import FORMATS

        costs = None
        if self.squeeze:
            data, costs = squeezed_bytes(result, self.prompt, self.codec, self.coder)
        else:
            data = to_bytes(result, self.prompt)
        if self.captions is not None and job.target is not None:
            text = FORMATS[self.captions](self.codec.words(result), float(result.seconds[0]))
            write_bytes(captions_of(job.target, self.captions), text.encode(), self.overwrite)
        if job.target is None:
            write_all(binary_output(), data)
        else:
            write_bytes(job.target, data, self.overwrite)
        return Receipt(
            float(result.seconds[0]), int(result.lengths[0]), len(data), None if costs is None else costs.speech
        )
