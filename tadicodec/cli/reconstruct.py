"""Speech to tokens and back in one go, to hear what the codec keeps."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from tadicodec.cli import options
from tadicodec.cli.batches import run_work
from tadicodec.cli.loading import Sampling, load_codec, make_prompt, read_voice
from tadicodec.cli.paths import Job, pair
from tadicodec.cli.summary import Receipt, Tally
from tadicodec.cli.transcripts import one_text, sidecar_text
from tadicodec.cli.waves import read_wave, seconds_of, write_wave

if TYPE_CHECKING:
    import numpy as np

    from tadicodec.codec import Codec
    from tadicodec.speech import Prompt


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_paths(parser)
    options.add_model(parser)
    options.add_text(parser, "IN.txt beside IN, if it exists")
    options.add_prompt(parser)
    options.add_sampling(parser)


def run(args: argparse.Namespace) -> int:
    from tadicodec.audio.files import READABLE, WRITABLE

    work = pair(args.input, args.output, READABLE, list(WRITABLE), args.overwrite)
    text = one_text(args.text, work.folder)
    voice = read_voice(args)
    codec = load_codec(args)
    tally = Tally("reconstructed")
    run_work(work, Reconstructor(codec, text, make_prompt(codec, voice), args), args.batch_size, tally)
    return tally.close(args.json, work.piped)


class Reconstructor:
    """Encodes and decodes the audio of a job; the token file is only counted, not written."""

    def __init__(self, codec: Codec, text: str | None, prompt: Prompt | None, args: argparse.Namespace) -> None:
        self.codec, self.text, self.prompt = codec, text, prompt
        self.sampling, self.overwrite = Sampling(args.steps, args.guidance, args.seed), args.overwrite

    def measure(self, job: Job) -> float:
        return seconds_of(job)

    def process(self, jobs: list[Job]) -> list[tuple[np.ndarray, Receipt]]:
        from tadicodec.container import to_bytes

        waves = [read_wave(job, self.codec.sample_rate) for job in jobs]
        texts = [sidecar_text(job.source) if self.text is None else self.text for job in jobs]
        speech = self.codec.encode(waves, self.codec.sample_rate, text=texts)
        decoded = self.codec.decode(speech, self.prompt, **self.sampling.keywords(len(jobs)))
        results = []
        for index, wave in enumerate(decoded):
            one = speech[index]
            receipt = Receipt(float(one.seconds[0]), int(one.lengths[0]), len(to_bytes(one, self.prompt)))
            results.append((wave[: int(one.samples[0])].numpy(), receipt))
        return results

    def write(self, job: Job, result: tuple[np.ndarray, Receipt]) -> Receipt:
        wave, receipt = result
        write_wave(job, wave, self.codec.sample_rate, self.overwrite)
        return receipt
