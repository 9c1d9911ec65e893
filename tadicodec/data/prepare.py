"""`tadicodec prepare`: turn the audio of a manifest into a features folder, once."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np

from tadicodec.config import MelConfig
from tadicodec.data.features import INDEX, Clip
from tadicodec.data.manifest import Utterance, read_manifest
from tadicodec.errors import InputError
from tadicodec.speech import SAMPLES_PER_TOKEN

SHARD_SECONDS = 1200.0


def prepare_features(
    manifest: Path | str, out: Path | str, mel: MelConfig = MelConfig(), workers: int = 1, progress: bool = False
) -> int:
    """Write the features of every utterance of a manifest; shards that exist already are kept, so it resumes.

    Returns the number of clips. Raises InputError for a bad manifest or an audio file that cannot be read.
    """
    from tqdm import tqdm

    out = Path(out)
    shards = list(enumerate(split_shards(read_manifest(manifest))))
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror})") from error
    rows: list[Clip] = []
    make = partial(make_shard, out=out, config=mel)
    with ProcessPoolExecutor(workers) as pool:
        results = pool.map(make, shards) if workers > 1 else map(make, shards)
        for clips in tqdm(results, total=len(shards), unit="shard", disable=not progress):
            rows.extend(clips)
    write_lines(out / INDEX, rows)
    return len(rows)


def split_shards(utterances: list[Utterance]) -> list[list[Utterance]]:
    """Consecutive utterances, about twenty minutes a shard."""
    shards: list[list[Utterance]] = [[]]
    seconds = 0.0
    for item in utterances:
        if seconds > SHARD_SECONDS:
            shards.append([])
            seconds = 0.0
        shards[-1].append(item)
        seconds += item.seconds
    return shards


def make_shard(numbered: tuple[int, list[Utterance]], out: Path, config: MelConfig) -> list[Clip]:
    """Mel and wave of one shard. Its own index is written last: where it exists and names the same utterances, the
    shard is complete."""
    number, utterances = numbered
    done = out / f"{number:05d}.jsonl"
    if done.is_file():
        clips = [Clip(**json.loads(line)) for line in done.read_text(encoding="utf-8").splitlines()]
        if [clip.id for clip in clips] == [item.id for item in utterances]:
            return clips
    import torch

    from tadicodec.audio.mel import MelSpectrogram

    torch.set_num_threads(1)
    spectrogram = MelSpectrogram(config)
    clips, mels, waves, start = [], [], [], 0
    for item in utterances:
        wave = load_wave(item, config.sample_rate)
        with torch.no_grad():
            mels.append(spectrogram(torch.from_numpy(wave)[None])[0].numpy().astype(np.float16))
        waves.append((wave.clip(-1, 1) * 32767).astype(np.int16))
        clips.append(describe(item, number, start, mels[-1].shape[0], config))
        start += mels[-1].shape[0]
    save_array(out / f"{number:05d}.mel.npy", np.concatenate(mels))
    save_array(out / f"{number:05d}.wave.npy", np.concatenate(waves))
    write_lines(done, clips)
    return clips


def load_wave(item: Utterance, sample_rate: int) -> np.ndarray:
    """[N] float32 at the model's rate, zero-padded to whole tokens as the codec does at its door."""
    from tadicodec.audio.files import read_audio
    from tadicodec.audio.resample import resample

    wave = resample(*read_audio(item.audio), sample_rate)
    return np.pad(wave, (0, -len(wave) % SAMPLES_PER_TOKEN)).astype(np.float32)


def describe(item: Utterance, shard: int, start: int, frames: int, config: MelConfig) -> Clip:
    from tadicodec.audio.mel import valid_bins

    return Clip(
        id=item.id,
        text=item.text,
        speaker=item.speaker,
        split=item.split,
        source=item.source,
        shard=shard,
        start=start,
        frames=frames,
        bandwidth=valid_bins(item.sample_rate, config),
    )


def save_array(path: Path, array: np.ndarray) -> None:
    draft = path.with_suffix(".tmp")
    with draft.open("wb") as file:
        np.save(file, array, allow_pickle=False)
    draft.rename(path)


def write_lines(path: Path, rows: list[Clip]) -> None:
    draft = path.with_suffix(".tmp")
    draft.write_text("".join(json.dumps(asdict(row), ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    draft.rename(path)
