"""Speech to token files (.tdc): 6.25 tokens of 14 bits for each second."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from tadicodec.cli import options
from tadicodec.cli.batches import run_work
from tadicodec.cli.loading import load_codec, make_prompt, read_voice
from tadicodec.cli.paths import Job, pair
from tadicodec.cli.pipes import binary_output
from tadicodec.cli.speech import encode_jobs
from tadicodec.cli.summary import Receipt, Tally
from tadicodec.cli.transcripts import one_text, sidecar_text
from tadicodec.cli.waves import seconds_of

if TYPE_CHECKING:
    from tadicodec.codec import Codec
    from tadicodec.speech import Prompt, Speech


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_paths(parser)
    options.add_model(parser)
    options.add_text(parser, "IN.txt beside IN, if it exists")
    options.add_prompt(parser)


def run(args: argparse.Namespace) -> int:
    from tadicodec.audio.files import READABLE

    work = pair(args.input, args.output, READABLE, [".tdc"], args.overwrite)
    text = one_text(args.text, work.folder)
    voice = read_voice(args)
    codec = load_codec(args)
    tally = Tally("encoded")
    worker = Encoder(codec, text, make_prompt(codec, voice), args.overwrite)
    run_work(work, worker, args.batch_size, tally)
    return tally.close(args.json, work.piped)


class Encoder:
    """Turns the audio of a job into the bytes of a token file."""

    def __init__(self, codec: Codec, text: str | None, prompt: Prompt | None, overwrite: bool) -> None:
        self.codec, self.text, self.prompt, self.overwrite = codec, text, prompt, overwrite

    def measure(self, job: Job) -> float:
        return seconds_of(job)

    def process(self, jobs: list[Job]) -> list[Speech]:
        texts = [sidecar_text(job.source) if self.text is None else self.text for job in jobs]
        return encode_jobs(self.codec, jobs, texts)

    def write(self, job: Job, result: Speech) -> Receipt:
        from tadicodec.container import to_bytes
        from tadicodec.outputs import send, write_bytes

        data = to_bytes(result, self.prompt)
        if job.target is None:
            send(binary_output(), data)
        else:
            write_bytes(job.target, data, self.overwrite)
        return Receipt(float(result.seconds[0]), int(result.lengths[0]), len(data))
