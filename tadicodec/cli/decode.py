"""Token files (.tdc) back to speech, in the voice of the prompt they carry or of --prompt."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

from tadicodec.cli import options
from tadicodec.cli.batches import run_work
from tadicodec.cli.loading import Sampling, load_codec, make_prompt, read_voice
from tadicodec.cli.paths import Job, pair
from tadicodec.cli.pipes import binary_input
from tadicodec.cli.summary import Receipt, Tally
from tadicodec.cli.transcripts import one_text
from tadicodec.cli.waves import write_wave
from tadicodec.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from tadicodec.codec import Codec
    from tadicodec.container import TokenFile
    from tadicodec.speech import Prompt, Speech


def add_arguments(parser: argparse.ArgumentParser) -> None:
    options.add_paths(parser)
    options.add_model(parser)
    options.add_text(parser, "the text stored in the file")
    options.add_prompt(parser)
    options.add_sampling(parser)


def run(args: argparse.Namespace) -> int:
    from tadicodec.audio.files import WRITABLE

    work = pair(args.input, args.output, [".tdc"], list(WRITABLE), args.overwrite)
    text = one_text(args.text, work.folder)
    voice = read_voice(args)
    codec = load_codec(args)
    tally = Tally("decoded")
    run_work(work, Decoder(codec, text, make_prompt(codec, voice), args), args.batch_size, tally)
    return tally.close(args.json, work.piped)


class Decoder:
    """Turns token files into waves."""

    def __init__(self, codec: Codec, text: str | None, prompt: Prompt | None, args: argparse.Namespace) -> None:
        self.codec, self.text, self.prompt = codec, text, prompt
        self.sampling, self.overwrite = Sampling(args.steps, args.guidance, args.seed), args.overwrite

    def measure(self, job: Job) -> float:
        return self.read(job).header.samples

    def process(self, jobs: list[Job]) -> list[tuple[np.ndarray, TokenFile]]:
        files = [self.read(job) for job in jobs]
        speech = join([file.speech for file in files])
        if self.text is not None:
            speech = replace(speech, text=(self.text,) * len(files))
        prompts = [file.prompt if self.prompt is None else self.prompt for file in files]
        waves = self.codec.decode(speech, prompts, **self.sampling.keywords(len(files)))
        trimmed = [wave[: file.header.samples].numpy() for wave, file in zip(waves, files, strict=True)]
        return list(zip(trimmed, files, strict=True))

    def read(self, job: Job) -> TokenFile:
        """Read a token file and make sure that this model can decode it. Raises InputError."""
        from tadicodec.container import read_token_file

        file = read_token_file(binary_input() if job.source is None else job.source)
        header = file.header
        if header.weights != self.codec.weights:
            raise InputError(
                f"{job.name} was made by model {header.model!r} (weights {header.weights!r}), this is "
                f"{self.codec.name!r} ({self.codec.weights!r}); give the right one with --model"
            )
        if header.prompt["source"] == "hash" and self.prompt is None:
            raise InputError(f"{job.name} needs the speaker prompt {header.prompt['hash']!r}; give it with --prompt")
        return file

    def write(self, job: Job, result: tuple[np.ndarray, TokenFile]) -> Receipt:
        wave, file = result
        write_wave(job, wave, self.codec.sample_rate, self.overwrite)
        return Receipt(len(wave) / self.codec.sample_rate, file.header.codes, file.size)


def join(items: list[Speech]) -> Speech:
    """Utterances of one model as a batch, codes zero-padded to the longest."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    return replace(
        items[0],
        codes=pad_sequence([item.codes[0] for item in items], batch_first=True),
        lengths=torch.cat([item.lengths for item in items]),
        samples=torch.cat([item.samples for item in items]),
        text=tuple(text for item in items for text in item.text),
    )
