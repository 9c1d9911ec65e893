"""`tadicodec prepare`: turn the audio of a manifest into a features folder, once."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from tadicodec.config import MelConfig
from tadicodec.data.features import INDEX, Clip, parse_clip
from tadicodec.data.manifest import Utterance, read_manifest
from tadicodec.outputs import only_writer, whole_file
from tadicodec.speech import SAMPLES_PER_TOKEN

SHARD_SECONDS = 1200.0


def prepare_features(
    manifest: Path | str, out: Path | str, mel: MelConfig = MelConfig(), workers: int = 1, progress: bool = False
) -> int:
    """Write the features of every utterance of a manifest. Shards whose audio has not changed keep their arrays, so it
    resumes; texts, speakers and splits are always the manifest's.

    Returns the number of clips. Raises InputError for a bad manifest or an audio file that cannot be read.
    """
    from tqdm import tqdm

    out = Path(out)
    shards = list(enumerate(split_shards(read_manifest(manifest))))
    rows: list[Clip] = []
    make = partial(make_shard, out=out, config=mel)
    with only_writer(out), pool_of(workers) as pool:
        clear_drafts(out)
        results = map(make, shards) if pool is None else pool.map(make, shards)
        for clips in tqdm(results, total=len(shards), unit="shard", disable=not progress):
            rows.extend(clips)
        write_lines(out / INDEX, rows)
    return len(rows)


@contextmanager
def pool_of(workers: int) -> Iterator[ProcessPoolExecutor | None]:
    """Processes that leave Ctrl-C to this one and end with it, None for one worker, which needs none."""
    if workers == 1:
        yield None
        return
    pool = ProcessPoolExecutor(workers, initializer=leave_signals)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()
        raise
    pool.shutdown()


def leave_signals() -> None:
    """Leave Ctrl-C to the main process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


def clear_drafts(out: Path) -> None:
    """What a killed run left half-written."""
    for draft in out.glob(".tadicodec-*.tmp"):
        draft.unlink(missing_ok=True)


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
    """Mel and wave of one shard, unless they are there and made of these very files.

    The shard's own index is written last, headed by the fingerprint of what its arrays were made of: where that agrees,
    the arrays are complete and current. Whatever does not come from the audio is taken from the manifest every time.
    """
    number, utterances = numbered
    index, made_of = out / f"{number:05d}.jsonl", fingerprint(utterances, config)
    frames = frames_of_shard(out, number, made_of, len(utterances))
    if frames is None:
        index.unlink(missing_ok=True)  # from here on the arrays are not those it describes
        frames = write_arrays(out, number, utterances, config)
    clips, start = [], 0
    for item, count in zip(utterances, frames, strict=True):
        clips.append(describe(item, number, start, count, config))
        start += count
    write_lines(index, clips, heading={"fingerprint": made_of})
    return clips


def fingerprint(utterances: list[Utterance], config: MelConfig) -> str:
    """Hash of everything a shard's arrays depend on: the mel settings, and each file's place, size and time."""
    files = []
    for item in utterances:
        try:
            status = item.audio.stat()
            files.append([item.id, str(item.audio.absolute()), status.st_size, status.st_mtime_ns])
        except OSError:  # reading it will say what is wrong
            files.append([item.id, str(item.audio.absolute()), -1, -1])
    return hashlib.sha256(json.dumps([asdict(config), files]).encode()).hexdigest()


def frames_of_shard(out: Path, number: int, expected: str, count: int) -> list[int] | None:
    """Mel frames of each utterance of a shard with this fingerprint, None where there is no such shard."""
    index = out / f"{number:05d}.jsonl"
    if not all((out / f"{number:05d}.{kind}.npy").is_file() for kind in ("mel", "wave")):
        return None
    try:
        heading, *lines = index.read_bytes().decode().rstrip("\n").split("\n")
        if json.loads(heading).get("fingerprint") != expected or len(lines) != count:
            return None
        return [parse_clip(line, str(index)).frames for line in lines]
    except (OSError, ValueError, AttributeError):  # none, or damaged: made again
        return None


def write_arrays(out: Path, number: int, utterances: list[Utterance], config: MelConfig) -> list[int]:
    """Compute and save the mel and wave arrays of a shard; returns the frames of each utterance."""
    import torch

    from tadicodec.audio.mel import MelSpectrogram

    threads, spectrogram = torch.get_num_threads(), MelSpectrogram(config)
    torch.set_num_threads(1)  # processes are the parallelism; the caller's own threads come back
    mels, waves = [], []
    try:
        for item in utterances:
            wave = load_wave(item, config.sample_rate)
            with torch.no_grad():
                mels.append(spectrogram(torch.from_numpy(wave)[None])[0].numpy().astype(np.float16))
            waves.append((wave.clip(-1, 1) * 32767).astype(np.int16))
    finally:
        torch.set_num_threads(threads)
    save_array(out / f"{number:05d}.mel.npy", np.concatenate(mels))
    save_array(out / f"{number:05d}.wave.npy", np.concatenate(waves))
    return [len(mel) for mel in mels]


def load_wave(item: Utterance, sample_rate: int) -> np.ndarray:
    """The wave [N] float32 of an utterance at the model's rate, zero-padded to whole tokens as the codec pads it.
    Raises InputError."""
    from tadicodec.audio.files import read_audio
    from tadicodec.audio.resample import resample

    wave = resample(*read_audio(item.audio), sample_rate)
    return np.pad(wave, (0, -len(wave) % SAMPLES_PER_TOKEN)).astype(np.float32)


def describe(item: Utterance, shard: int, start: int, frames: int, config: MelConfig) -> Clip:
    """An utterance as a line of the index."""
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
    """Write an array as .npy, whole or not at all."""
    with whole_file(path) as file:
        # numpy writes to a file of the system without saying why it failed; to a plain `write` it does
        np.lib.format.write_array(SimpleNamespace(write=file.write), array, allow_pickle=False)


def write_lines(path: Path, rows: list[Clip], heading: dict[str, str] | None = None) -> None:
    """Write an index, whole or not at all, with a line before it where there is a heading."""
    documents = [*([heading] if heading else []), *map(asdict, rows)]
    with whole_file(path) as file:
        file.write("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in documents).encode())
