"""Manifests, prepared features and batches."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tadicodec.audio.mel import MelSpectrogram, valid_bins
from tadicodec.config import MelConfig
from tadicodec.data.batches import BatchConfig, Position, batches_from, epoch_batches
from tadicodec.data.collate import Collator, CropCollator
from tadicodec.data.feature_maker import prepare_features
from tadicodec.data.features import Features
from tadicodec.data.manifest import check_manifest, read_manifest
from tadicodec.errors import InputError
from tadicodec.text.tokens import ByteTokenizer
from tests.conftest import voice


def write_corpus(folder: Path, count: int = 6) -> Path:
    """A small corpus of tones; every third clip is of split valid, one is a 16 kHz recording."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for i in range(count):
        rate = 16000 if i == 1 else 24000
        wave = voice(0.8 + 0.3 * i, sample_rate=rate, pitch=100 + 10 * i, seed=i)
        soundfile.write(folder / f"{i}.flac", wave, rate)
        rows.append(
            {
                "id": f"clip-{i}",
                "audio": f"{i}.flac",
                "text": "A number of words, " * (1 + i % 2),
                "speaker": f"s{i % 2}",
                "seconds": len(wave) / rate,
                "sample_rate": rate,
                "split": "valid" if i % 3 == 2 else "train",
            }
        )
    path = folder / "manifest.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    prepare_features(write_corpus(folder), folder / "features")
    return folder / "features"


def test_features_are_the_codecs_own_mel(features: Path) -> None:
    split = Features(features, "train")
    assert [clip.id for clip in split.clips] == ["clip-0", "clip-1", "clip-3", "clip-4"]
    wave, _ = soundfile.read(features.parent / "3.flac", dtype="float32")
    padded = np.pad(wave, (0, -len(wave) % 3840))
    expected = MelSpectrogram(MelConfig())(torch.from_numpy(padded)[None])[0]
    clip = split.clips[2]
    np.testing.assert_allclose(split.mel(clip), expected.numpy(), atol=4e-3)
    assert clip.frames % 8 == 0 and clip.bandwidth == 128 and split.clips[1].bandwidth < 128
    np.testing.assert_allclose(split.wave(clip, 8, 10, 480), padded[8 * 480 : 18 * 480], atol=1e-4)


def test_preparing_again_keeps_what_is_there(features: Path) -> None:
    before = (features / "00000.mel.npy").stat().st_mtime_ns
    assert prepare_features(features.parent / "manifest.jsonl", features) == 6
    assert (features / "00000.mel.npy").stat().st_mtime_ns == before
    (features / "00000.jsonl").unlink()  # killed before its shard was complete
    prepare_features(features.parent / "manifest.jsonl", features)
    assert (features / "00000.mel.npy").stat().st_mtime_ns > before


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """Manifest of two clips that have been prepared."""
    manifest = write_corpus(tmp_path, 2)
    prepare_features(manifest, tmp_path / "features")
    return manifest


def change(manifest: Path, **values: object) -> None:
    """Other values in every line of a manifest."""
    rows = [json.loads(line) | values for line in manifest.read_text().splitlines()]
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))


def arrays_time(manifest: Path) -> int:
    return (manifest.parent / "features" / "00000.mel.npy").stat().st_mtime_ns


def test_preparing_again_takes_what_the_manifest_says_now(corpus: Path) -> None:
    before = arrays_time(corpus)
    change(corpus, text="new words", speaker="x", split="test", source="y", sample_rate=8000)
    prepare_features(corpus, corpus.parent / "features")
    assert arrays_time(corpus) == before
    clips = Features(corpus.parent / "features", "test").clips
    assert {(clip.text, clip.speaker, clip.source) for clip in clips} == {("new words", "x", "y")}
    assert all(clip.bandwidth == valid_bins(8000, MelConfig()) for clip in clips)
    assert clips[1].start == clips[0].frames


def test_preparing_again_notices_other_audio_and_other_settings(corpus: Path) -> None:
    features = corpus.parent / "features"
    soundfile.write(corpus.parent / "1.flac", voice(2.0, seed=9), 24000)
    prepare_features(corpus, features)
    clip = Features(features, "train").clips[1]
    assert clip.frames == 104 and np.load(features / "00000.mel.npy").shape[0] == clip.start + 104
    before = arrays_time(corpus)
    prepare_features(corpus, features, MelConfig(mel_mean=0.0))
    assert arrays_time(corpus) > before


@pytest.mark.parametrize("damage", [b"", b"\xff", b"[]\n", b'{"id": "clip-0"}\n', b"not json\n"])
def test_a_damaged_shard_index_is_made_again(corpus: Path, damage: bytes) -> None:
    features = corpus.parent / "features"
    before = arrays_time(corpus)
    (features / "00000.jsonl").write_bytes(damage)
    assert prepare_features(corpus, features) == 2 and arrays_time(corpus) > before


@pytest.mark.parametrize("damage", [b"not json\n", b'{"other": 1}\n', b"[1]\n", b"\xff\n", b"5\n"])
def test_a_damaged_index_is_one_line(corpus: Path, damage: bytes) -> None:
    features = corpus.parent / "features"
    (features / "index.jsonl").write_bytes(damage)
    with pytest.raises(InputError, match="tadicodec prepare"):
        Features(features, "train")


@pytest.mark.parametrize(
    "values",
    [{"seconds": 0}, {"seconds": -1}, {"seconds": "nan"}, {"seconds": "inf"}, {"sample_rate": 999}]
    + [{"sample_rate": 768001}, {"sample_rate": float("inf")}, {"seconds": 10**400}],
)
def test_figures_no_recording_has(corpus: Path, values: dict[str, object]) -> None:
    change(corpus, **values)
    with pytest.raises(InputError, match="line 1"):
        read_manifest(corpus)


def test_collated_batch(features: Path) -> None:
    split = Features(features, "train")
    batch = Collator(split, ByteTokenizer())([0, 3], torch.Generator())
    assert batch["mel"].shape == (2, int(batch["lengths"].max()), 128)
    assert not batch["mel"][0, int(batch["lengths"][0]) :].any()
    assert bytes(batch["text_ids"][1, : batch["text_lengths"][1]].tolist()) == b"a number of words,"
    crops = CropCollator(split, 24)([0, 1, 2], torch.Generator().manual_seed(0))
    assert crops["wave"].shape == (3, 24 * 480) and crops["mel"].shape == (3, 24, 128)


@pytest.mark.parametrize(
    "line, message",
    [
        ("not json", "line 1"),
        ('{"id": "a"}', "audio"),
        ('{"id":"a","audio":"x","text":"","speaker":"","seconds":"x","sample_rate":1}', "line 1"),
    ],
)
def test_bad_manifests(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(InputError, match=message):
        read_manifest(path)
    with pytest.raises(InputError, match="no such manifest"):
        read_manifest(tmp_path / "none.jsonl")


def test_ids_are_unique_and_splits_exist(tmp_path: Path) -> None:
    path = write_corpus(tmp_path, 2)
    with pytest.raises(InputError, match="no utterance of split 'test'"):
        read_manifest(path, "test")
    path.write_text(path.read_text() * 2)
    with pytest.raises(InputError, match="twice"):
        read_manifest(path)


FRAMES = np.random.default_rng(0).integers(40, 800, 300).tolist()


def test_batches_hold_every_clip_once_within_the_budget() -> None:
    batches = epoch_batches(FRAMES, BatchConfig(2400), epoch=3)
    assert sorted(i for batch in batches for i in batch) == list(range(300))
    assert all(max(FRAMES[i] for i in batch) * len(batch) <= 2400 for batch in batches)
    used = sum(FRAMES) / sum(max(FRAMES[i] for i in batch) * len(batch) for batch in batches)
    assert used > 0.85
    assert batches == epoch_batches(FRAMES, BatchConfig(2400), epoch=3) != epoch_batches(FRAMES, BatchConfig(2400), 4)


def test_processes_share_an_epoch() -> None:
    shares = [epoch_batches(FRAMES, BatchConfig(2400, rank=rank, world=3), 0) for rank in range(3)]
    assert len({len(share) for share in shares}) == 1
    seen = [i for share in shares for batch in share for i in batch]
    assert len(seen) == len(set(seen)) > 250


def test_order_goes_on_from_a_position() -> None:
    config = BatchConfig(2400)
    whole = batches_from(FRAMES, config, Position())
    first = [next(whole) for _ in range(90)]  # into the second epoch
    for stop in (0, 10, 60, 89):
        assert (
            next(batches_from(FRAMES, config, first[stop][1]))[0] == (first[stop + 1] if stop < 89 else next(whole))[0]
        )


ROW = {"id": "a", "audio": "3.flac", "text": "Words.", "speaker": "s"}


def test_what_the_audio_knows_need_not_be_said(features: Path) -> None:
    path = features.parent / "short.jsonl"
    path.write_text("\ufeff" + json.dumps(ROW) + "\n\n" + json.dumps({**ROW, "id": 7, "seconds": 1.5}) + "\n")
    first, second = read_manifest(path)
    assert (first.seconds, first.sample_rate, first.split) == (pytest.approx(1.7, abs=1e-3), 24000, "train")
    assert (second.id, second.seconds, second.sample_rate) == ("7", 1.5, 24000)


@pytest.mark.parametrize("name", ["id", "audio", "text", "speaker"])
def test_a_missing_field_is_named_with_an_example(features: Path, name: str) -> None:
    path = features.parent / "missing.jsonl"
    path.write_text(json.dumps({key: value for key, value in ROW.items() if key != name}))
    with pytest.raises(InputError, match=f"{name} is missing; a line needs at least") as refused:
        read_manifest(path)
    assert '{"id": "a1", "audio": "a1.flac"' in str(refused.value)


@pytest.mark.parametrize("value", [None, True, 1.5, -1, 2**70, 10**400, "", "x", "\0", "\ud800", [1], {}, "../..", "."])
def test_every_field_of_another_kind(features: Path, value: object) -> None:
    path = features.parent / "odd.jsonl"
    whole = {**ROW, "seconds": 1.7, "sample_rate": 24000, "split": "train", "source": "x"}
    for name in whole:
        path.write_text(json.dumps({**whole, name: value}))
        try:
            prepare_features(path, features.parent / "odd")
        except InputError as error:
            assert str(error).isprintable() and "Error(" not in str(error)


def test_a_manifest_is_checked_whole(features: Path) -> None:
    path = features.parent / "bad.jsonl"
    rows = [{**ROW, "id": str(i), "audio": "none.flac"} for i in range(12)]
    rows += [{**ROW, "id": "x"}, {**ROW, "id": "x"}, {**ROW, "id": "y", "seconds": 9.0}, {"id": "z"}]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n{\n")
    found, faults = check_manifest(path)
    assert [item.id for item in found] == ["x", "y"] and len(faults) == 16
    said = " ".join(map(str, faults))
    assert all(sign in said for sign in ("line 12", "appears twice", "seconds is 9.0", "audio is missing", "line 17"))


def test_texts_are_cleaned(features: Path) -> None:
    path = features.parent / "steering.jsonl"
    path.write_text(json.dumps({**ROW, "text": "\ufeffWords\x1b[2J.\0"}))
    assert read_manifest(path)[0].text == "Words."
