"""The README's two commands are what CI runs, and the bundled models are what it says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from tadicodec import Codec
from tadicodec.tts.synthesize import Speaker

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_first_and_second_block_install_and_run() -> None:
    first, second = re.findall(r"```bash\n(.*?)```", README, re.S)
    assert "-c constraints.txt" in first and "tadicodec reconstruct" in first
    assert "-c constraints.txt" in second and "pytest" in second


def test_bundled_model_is_small_and_batches_as_single() -> None:
    size = sum(path.stat().st_size for path in (ROOT / "tadicodec" / "assets").rglob("*") if path.is_file())
    assert size < 40e6
    codec = Codec.from_pretrained()
    waves = [soundfile.read(path, dtype="float32")[0] for path in sorted((ROOT / "samples").glob("*.flac"))]
    together = codec.encode(waves, 16000)
    for i, wave in enumerate(waves):
        assert torch.equal(together[i].codes, codec.encode(wave, 16000).codes)
    short = np.concatenate([waves[1], waves[4]])[: 2 * 16000]
    one, two = (codec.decode(codec.encode(w, 16000, "he was not"), steps=2) for w in (short, short[:16000]))
    both = codec.decode(
        codec.encode([short, short[:16000]], 16000, "he was not"),
        steps=2,
        generator=[torch.Generator().manual_seed(0) for _ in range(2)],
    )
    torch.testing.assert_close(both[0], one[0], atol=1e-3, rtol=1e-2)
    torch.testing.assert_close(both[1, : two.shape[1]], two[0], atol=1e-3, rtol=1e-2)


@pytest.mark.parametrize("engine", ["ar", "masked"])
def test_bundled_speech_models_speak(engine: str) -> None:
    folder = ROOT / "tadicodec" / "tts" / "assets"
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) < 20e6
    speaker = Speaker.from_pretrained(engine=engine)
    prompt = speaker.prompt(*soundfile.read(ROOT / "samples" / "austen_2.flac"))
    (speech,) = speaker.codes("One two three.", prompt)
    assert 3 < int(speech.lengths[0]) < 25
