"""Features with a codec's own mels: in place of the recordings', beside the same waves."""

from __future__ import annotations

from pathlib import Path

import decode_features
import numpy as np
import pytest

from tadicodec.codec import Codec
from tadicodec.data.feature_maker import prepare_features
from tadicodec.data.features import Features
from tests.data.test_manifest import write_corpus


def test_mels_are_decoded_and_waves_stay(tiny_model: Path, tmp_path: Path) -> None:
    prepare_features(write_corpus(tmp_path / "corpus"), tmp_path / "features")
    given = [str(tmp_path / "features"), str(tmp_path / "decoded"), "--model", str(tiny_model)]
    assert decode_features.main(given) == 0
    codec = Codec.from_pretrained(tiny_model)
    before, after = (Features(tmp_path / name, "train") for name in ("features", "decoded"))
    assert before.clips == after.clips
    for clip in after.clips:
        made = decode_features.decoded(codec, before.mel(clip), clip.text, clip.start)
        np.testing.assert_allclose(after.mel(clip), made, atol=2e-2, rtol=2e-3)
        assert not np.allclose(after.mel(clip), before.mel(clip), atol=0.1)
        np.testing.assert_array_equal(after.wave(clip, 0, 40, 480), before.wave(clip, 0, 40, 480))
    written = (tmp_path / "decoded" / "00000.mel.npy").stat().st_mtime_ns
    assert decode_features.main(given) == 0
    assert (tmp_path / "decoded" / "00000.mel.npy").stat().st_mtime_ns == written


def test_a_folder_without_features_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert decode_features.main([str(tmp_path), str(tmp_path / "out")]) == 2
    assert "tadicodec prepare" in capsys.readouterr().err
