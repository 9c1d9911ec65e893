"""How clips are heard: the target stays clean, another voice is another target, draws do not depend on neighbours."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tadicodec.config import MelConfig
from tadicodec.data.collate import Collator
from tadicodec.data.feature_maker import prepare_features
from tadicodec.data.features import Features
from tadicodec.data.hearing import Hearing
from tadicodec.errors import InputError
from tadicodec.text.tokens import ByteTokenizer
from tests.data.test_manifest import write_corpus

MEL = MelConfig()


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory) -> Features:
    folder = tmp_path_factory.mktemp("heard")
    prepare_features(write_corpus(folder), folder / "features")
    return Features(folder / "features", "train")


def batch(features: Features, indices: list[int], seed: int = 0, **heard: object) -> dict:
    collate = Collator(features, ByteTokenizer(), hearing=Hearing(features, MEL, **heard))
    return collate(indices, torch.Generator().manual_seed(seed))


def test_what_nothing_happens_to_is_the_features_own(features: Features) -> None:
    plain, heard = Collator(features, ByteTokenizer())([0, 1], torch.Generator()), batch(features, [0, 1])
    assert torch.equal(plain["mel"], heard["mel"]) and torch.equal(heard["heard"], heard["mel"])
    assert "heard" not in plain and torch.equal(plain["bandwidth"], heard["bandwidth"])
    assert (heard["speaker"] >= 0).all() and heard["speaker"][0] != heard["speaker"][1]


@pytest.mark.parametrize("kind", ["", "telephone"])
def test_damage_is_the_encoders_alone(features: Features, kind: str) -> None:
    plain = batch(features, [0, 1, 2])
    heard = batch(features, [0, 1, 2], damage=1.0, kind=kind)
    assert torch.equal(heard["mel"], plain["mel"]) and torch.equal(heard["speaker"], plain["speaker"])
    assert heard["heard"].shape == heard["mel"].shape and not torch.allclose(heard["heard"], heard["mel"], atol=0.1)
    if kind:
        assert heard["heard"][:, :8, 110:].mean() < heard["mel"][:, :8, 110:].mean() - 0.5  # nothing above 4 kHz


def test_another_voice_is_another_target(features: Features) -> None:
    plain, heard = batch(features, [1, 2]), batch(features, [1, 2], voices=1.0)
    assert (heard["speaker"] == -1).all() and torch.equal(heard["heard"], heard["mel"])
    assert (heard["lengths"] % 8 == 0).all() and not torch.equal(heard["lengths"], plain["lengths"])
    slower = heard["lengths"] > plain["lengths"]
    assert torch.equal(heard["bandwidth"] < plain["bandwidth"], slower)  # slower is lower, and lacks the highest bins


def test_gaps_are_the_encoders_alone(features: Features) -> None:
    """Part of what is heard is each bin's mean, the rest and the target are as they were."""
    plain, heard = batch(features, [0, 1, 2]), batch(features, [0, 1, 2], masks=1.0)
    assert torch.equal(heard["mel"], plain["mel"]) and torch.equal(heard["speaker"], plain["speaker"])
    for was, now, length in zip(plain["heard"], heard["heard"], plain["lengths"]):
        was, now = was[:length], now[:length]
        hidden = was != now
        assert 0 < hidden.float().mean() < 0.6
        assert torch.allclose(now[hidden], was.mean(0).expand_as(was)[hidden], atol=1e-4)
        whole = hidden.all(0) | hidden.all(1)[:, None]
        assert torch.equal(hidden, whole.expand_as(hidden))  # whole bands and whole moments


def test_a_clip_is_drawn_for_itself(features: Features) -> None:
    """The same draws whatever happens to the clips before; again the same from the same generator."""
    hearing, generator = Hearing(features, MEL, damage=0.5, voices=0.5, masks=0.5), torch.Generator().manual_seed(1)
    first = [hearing(clip, generator) for clip in features.clips]
    again = torch.Generator().manual_seed(1)
    calm = Hearing(features, MEL)
    for clip in features.clips[:-1]:
        calm(clip, again)
    last = hearing(features.clips[-1], again)
    assert np.array_equal(last.mel, first[-1].mel) and np.array_equal(last.target, first[-1].target)


def test_kinds_have_names(features: Features) -> None:
    with pytest.raises(InputError, match="soft, noisy"):
        Hearing(features, MEL, damage=1.0, kind="thunder")
