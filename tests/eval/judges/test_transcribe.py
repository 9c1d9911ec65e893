"""Recognisers: greedy text of a tiny random Whisper equals a greedy loop; a real one reads a sample."""

from __future__ import annotations

import os
import string
from pathlib import Path

import numpy as np
import pytest
import torch

from tadicodec.audio.files import read_audio
from tadicodec.errors import InputError
from tadicodec.eval.judges.panel import load_transcriber
from tadicodec.eval.judges.wer import seed_tts
from tests.conftest import voice

SAMPLE = Path(__file__).parents[3] / "samples" / "austen_1.flac"
SPECIAL = ("endoftext", "startoftranscript", "en", "de", "translate", "transcribe", "startofprev", "nospeech")


@pytest.fixture(scope="module", params=["multilingual", "English only"])
def tiny_whisper(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Whisper of one block each way over letters and time stamps, as transformers saves it."""
    from tokenizers import AddedToken
    from transformers import (
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperProcessor,
        WhisperTokenizer,
    )

    folder = tmp_path_factory.mktemp("models") / "tiny-whisper"
    letters = [*string.ascii_lowercase, "\u0120"]
    tokenizer = WhisperTokenizer(vocab={letter: i for i, letter in enumerate(letters)}, merges=[])
    tokenizer.add_tokens([f"<|{name}|>" for name in (*SPECIAL, "notimestamps")], special_tokens=True)
    tokenizer.add_tokens([AddedToken(f"<|{i * 0.02:.2f}|>") for i in range(1501)])
    ids = {name: tokenizer.convert_tokens_to_ids(f"<|{name}|>") for name in (*SPECIAL, "notimestamps")}
    config = WhisperConfig(
        vocab_size=len(tokenizer),
        d_model=16,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=24,
        decoder_ffn_dim=24,
        max_target_positions=20,
        max_length=20,
        pad_token_id=ids["endoftext"],
        bos_token_id=ids["endoftext"],
        eos_token_id=ids["endoftext"],
        decoder_start_token_id=ids["startoftranscript"],
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    torch.manual_seed(3)
    model = WhisperForConditionalGeneration(config)
    with torch.no_grad():  # attention worth the name
        for parameter in model.parameters():
            parameter.mul_(6 if parameter.ndim > 1 else 1)
        model.model.decoder.embed_tokens.weight[: len(letters)] *= 4  # letters are likelier than time stamps
    told = model.generation_config
    told._from_model_config = False  # or it is made anew, without the following
    told.is_multilingual = request.param == "multilingual"
    told.no_timestamps_token_id, told.max_length = ids["notimestamps"], 20
    told.prev_sot_token_id = ids["startofprev"]
    if told.is_multilingual:
        told.lang_to_id = {"<|en|>": ids["en"], "<|de|>": ids["de"]}
        told.task_to_id = {"transcribe": ids["transcribe"], "translate": ids["translate"]}
    model.save_pretrained(folder)
    WhisperProcessor(WhisperFeatureExtractor(), tokenizer).save_pretrained(folder)
    return folder


def greedy(folder: Path, wave: np.ndarray) -> str:
    """The most likely letter after the last, until the end or 20 tokens."""
    from transformers import WhisperForConditionalGeneration, WhisperProcessor

    processor = WhisperProcessor.from_pretrained(folder)
    model = WhisperForConditionalGeneration.from_pretrained(folder).float().eval()
    heard = processor(wave, sampling_rate=16000, return_tensors="pt").input_features
    told = ["startoftranscript", *(["en", "transcribe"] if model.generation_config.is_multilingual else [])]
    tokens = processor.tokenizer.convert_tokens_to_ids([f"<|{name}|>" for name in (*told, "notimestamps")])
    end = processor.tokenizer.convert_tokens_to_ids("<|endoftext|>")
    while len(tokens) < 20:
        with torch.inference_mode():
            tokens.append(int(model(heard, decoder_input_ids=torch.tensor([tokens])).logits[0, -1].argmax()))
        if tokens[-1] == end:
            break
    return processor.tokenizer.decode(tokens, skip_special_tokens=True).strip()


def test_text_is_the_greedy_one(tiny_whisper: Path) -> None:
    transcriber = load_transcriber(str(tiny_whisper))
    waves = [voice(2.0, 16000), voice(1.0, 16000, pitch=300.0)]
    texts = [transcriber(wave) for wave in waves]
    assert texts == [greedy(tiny_whisper, wave) for wave in waves]
    assert texts[0]
    assert texts == [transcriber(wave) for wave in waves]
    assert transcriber.name == "tiny-whisper (transformers, float32, greedy)"


def test_long_waves_are_heard_to_their_end(tiny_whisper: Path) -> None:
    transcriber = load_transcriber(str(tiny_whisper))
    windows = {35.0: 2, 70.0: 3}  # this Whisper writes until its 20 tokens are full, without a time stamp
    lengths = {seconds: len(transcriber(voice(seconds, 16000))) for seconds in windows}
    assert lengths[70.0] * windows[35.0] == lengths[35.0] * windows[70.0] > 0


@pytest.mark.parametrize("wave", [np.zeros(16000, np.float32), np.ones(10, np.float32)])
def test_nothing_to_hear(tiny_whisper: Path, wave: np.ndarray) -> None:
    with pytest.raises(InputError, match="silence|too short"):
        load_transcriber(str(tiny_whisper))(wave)


def test_folders_that_hold_no_whisper(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be loaded as WhisperFor"):
        load_transcriber(str(tmp_path))
    (tmp_path / "model.bin").write_bytes(b"no model")
    with pytest.raises(InputError, match="without its config.json"):
        load_transcriber(str(tmp_path))
    with pytest.raises(InputError, match="no such file or folder"):
        load_transcriber(str(tmp_path / "missing"))


def test_whisper_base_reads_a_sample() -> None:
    pytest.importorskip("faster_whisper")
    cache = Path(os.environ.get("TADICODEC_CACHE") or "~/.cache/tadicodec").expanduser()
    folder = cache / "whisper-base"  # python tools/speech_models.py --install
    if not (folder / "model.bin").is_file():
        pytest.skip("whisper-base is not assembled")
    transcriber = load_transcriber(str(folder), threads=1)
    wave, _ = read_audio(SAMPLE)
    assert seed_tts(SAMPLE.with_suffix(".txt").read_text(), transcriber(wave)).rate < 0.2
    assert transcriber.name == "whisper-base (CTranslate2, int8, beam 5)"
    with pytest.raises(InputError, match="silence"):
        transcriber(np.zeros(16000, np.float32))
