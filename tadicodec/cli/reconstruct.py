"""Speech to tokens and back in one go, to hear what the codec keeps."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tadicodec.cli import options
from tadicodec.cli.audio_io import seconds_of, write_blocks
from tadicodec.cli.closing import Receipt, Tally
from tadicodec.cli.coding import decode_items, encode_jobs
from tadicodec.cli.jobs import Worker, run_work
from tadicodec.cli.loading import Sampling, load_codec, make_prompt, read_voice
from tadicodec.cli.paths import Job, pair
from tadicodec.cli.words import Words

if TYPE_CHECKING:
    import numpy as np

    from tadicodec.codec import Codec
    from tadicodec.speech import Prompt, Speech


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `tadicodec reconstruct`."""
    options.add_paths(parser)
    options.add_model(parser)
    options.add_words(parser)
    options.add_prompt(parser)
    options.add_sampling(parser)


def run(args: argparse.Namespace) -> int:
    """Run `tadicodec reconstruct` and return its exit code. Raises InputError."""
    from tadicodec.audio.files import READABLE, WRITABLE

    work = pair(args.input, args.output, READABLE, list(WRITABLE), args.overwrite)
    words = Words(args, work.folder)
    voice = read_voice(args)
    codec = load_codec(args)
    words.load(codec)
    tally = Tally("reconstructed")
    worker = Reconstructor(codec, words, make_prompt(codec, voice), args)
    run_work(work, worker, args.batch_size, tally, args.strict)
    return tally.close(args.json, work.piped)


class Reconstructor(Worker):
    """Encodes and decodes the audio of a job; the token file is only counted, not written."""

    def __init__(self, codec: Codec, words: Words, prompt: Prompt | None, args: argparse.Namespace) -> None:
        self.codec, self.words, self.prompt = codec, words, prompt
        self.sampling, self.overwrite = Sampling(args.steps, args.guidance, args.seed), args.overwrite

    def measure(self, job: Job) -> float:
        return seconds_of(job)

    def process(self, jobs: list[Job]) -> list[tuple[Iterable[np.ndarray], Speech]]:
        items = encode_jobs(self.codec, jobs, self.words)
        waves = decode_items(self.codec, items, [self.prompt] * len(items), self.sampling, None)
        return list(zip(waves, items, strict=True))

    def write(self, job: Job, result: tuple[Iterable[np.ndarray], Speech]) -> Receipt:
        from tadicodec.tdc.container import to_bytes

        waves, speech = result
        write_blocks(job, waves, int(speech.samples[0]), self.codec.sample_rate, self.overwrite)
        return Receipt(float(speech.seconds[0]), int(speech.lengths[0]), len(to_bytes(speech, self.prompt)))
