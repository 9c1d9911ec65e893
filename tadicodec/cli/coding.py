"""Jobs to codes and codes to waves, for the commands that do either: short items in batches, long ones one at a time
and never wholly in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from tadicodec.cli.audio_io import is_long, read_blocks, read_wave
from tadicodec.cli.loading import Sampling
from tadicodec.cli.paths import Job

if TYPE_CHECKING:
    import numpy as np

    from tadicodec.cli.words import Words
    from tadicodec.codec import Codec
    from tadicodec.speech import Prompt, Speech


def encode_jobs(codec: Codec, jobs: Sequence[Job], words: Words) -> list[Speech]:
    """Encode the input of each job, with its text. Raises InputError."""
    found: dict[Job, Speech] = {}
    texts = [words.of(job) for job in jobs]
    short = [(job, text) for job, text in zip(jobs, texts, strict=True) if not is_long(job)]
    if short:
        waves = [read_wave(job, codec.sample_rate) for job, _ in short]
        speech = codec.encode(waves, codec.sample_rate, text=[text for _, text in short])
        found |= {job: speech[index] for index, (job, _) in enumerate(short)}
    for job, text in zip(jobs, texts, strict=True):
        if job not in found:
            found[job] = codec.encode_blocks(read_blocks(job, codec.sample_rate), text)
    return [words.sent(found[job]) for job in jobs]


def decode_items(
    codec: Codec, items: Sequence[Speech], prompts: Sequence[Prompt | None], sampling: Sampling, chunk: float | None
) -> list[Iterable[np.ndarray]]:
    """Waves in blocks [n], one series an utterance; a long one is decoded while it is taken, in windows of `chunk`
    seconds or of what the model takes at once. Raises InputError."""
    most = codec.limits.piece_tokens if chunk is None else int(chunk * codec.token_rate)
    short = [index for index, item in enumerate(items) if int(item.lengths[0]) <= most]
    waves: dict[int, Iterable[np.ndarray]] = {}
    if short:
        speech, own = join([items[index] for index in short]), [prompts[index] for index in short]
        decoded = codec.decode(speech, own, **sampling.keywords(len(short)))
        for index, wave, samples in zip(short, decoded, speech.samples, strict=True):
            waves[index] = [wave[: int(samples)].numpy()]
    for index, item in enumerate(items):
        if index not in waves:
            waves[index] = streamed(codec, item, prompts[index], sampling, chunk)
    return [waves[index] for index in range(len(items))]


def streamed(
    codec: Codec, speech: Speech, prompt: Prompt | None, sampling: Sampling, chunk: float | None
) -> Iterator[np.ndarray]:
    """The wave of one utterance in blocks [n], decoded while it is taken, in windows of `chunk` seconds."""
    (generator,) = sampling.keywords(1)["generator"]
    seconds = codec.config.inference.piece_seconds if chunk is None else chunk
    waves = codec.stream(speech, prompt, sampling.steps, sampling.guidance, generator, seconds=seconds)
    return (wave.numpy() for wave in waves)


def join(items: Sequence[Speech]) -> Speech:
    """Utterances of one model as a batch, their codes zero-padded to the longest."""
    from dataclasses import replace

    import torch
    from torch.nn.utils.rnn import pad_sequence

    return replace(
        items[0],
        codes=pad_sequence([item.codes[0] for item in items], batch_first=True),
        lengths=torch.cat([item.lengths for item in items]),
        samples=torch.cat([item.samples for item in items]),
        text=tuple(text for item in items for text in item.text),
    )
