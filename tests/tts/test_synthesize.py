"""Speaker: from text and a prompt to a wave, and every kind of text and prompt that people try."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tadicodec.codec import Codec
from tadicodec.errors import InputError
from tadicodec.pipeline.encoding import Encoded, Heard, WaveEncoder
from tadicodec.speech import Prompt
from tadicodec.tts.engines import MaskedEngine
from tadicodec.tts.folder import build_network, save_tts
from tadicodec.tts.synthesize import Options, Speaker, shares
from tests.conftest import voice
from tests.tts.language import config_of

FAST = Options(steps=1, guidance=1.0)


def save_speaker(folder: Path, engine: str, codec: Codec) -> Path:
    torch.manual_seed(0)
    config = config_of(engine, codes=2**14, codec=codec.weights)
    save_tts(folder, config, build_network(config))
    return folder


@pytest.fixture(scope="module", params=["ar", "masked"])
def speaker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, codec: Codec) -> Speaker:
    folder = save_speaker(tmp_path_factory.mktemp("speakers") / request.param, request.param, codec)
    return Speaker.from_pretrained(folder, codec=codec)


@pytest.fixture(scope="module")
def prompt(codec: Codec) -> Prompt:
    return codec.prompt(voice(1.3), 24000, "a few words")


def test_speech_is_the_sentences_in_a_row(speaker: Speaker, prompt: Prompt) -> None:
    text = "This is the first sentence of two. And this here is the second one, a bit longer than the first."
    pieces = list(speaker.stream(text, prompt, FAST))
    whole = speaker.speak(text, prompt, FAST)
    assert len(pieces) == 2 and torch.equal(torch.cat(pieces), whole)
    assert whole.ndim == 1 and len(whole) % 3840 == 0 and whole.isfinite().all()
    speeches = list(speaker.codes(text, prompt, FAST))
    assert " ".join(speech.text[0] for speech in speeches) == text
    assert {speech.weights for speech in speeches} == {speaker.codec.weights}


def test_seeds_repeat_and_differ(speaker: Speaker, prompt: Prompt) -> None:
    one, same, other = (
        speaker.speak("Hello there.", prompt, Options(1.0, 1, 1.0), torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    )
    assert torch.equal(one, same) and not torch.equal(one, other)


@pytest.mark.parametrize("seconds, tokens", [(1.0, 6), (3.2, 20)])
def test_the_caller_may_set_the_length(speaker: Speaker, prompt: Prompt, seconds: float, tokens: int) -> None:
    assert len(speaker.speak("Hello there.", prompt, Options(seconds, 1, 1.0))) == tokens * 3840


def test_shares_add_up() -> None:
    assert shares(10, [1, 1, 3]) == [2, 2, 6] and shares(3, [1, 1, 1]) == [1, 1, 1] and shares(1, [4, 4]) == [1, 1]


@pytest.mark.parametrize("text", ["Call 555 0199 at 10:45!", "Yes 🎉", "早上好，世界。", "Ünïcödé £5", "a"])
def test_any_text_gets_a_wave(speaker: Speaker, prompt: Prompt, text: str) -> None:
    assert len(speaker.speak(text, prompt, FAST)) > 0


def test_two_thousand_words_are_planned_in_sentences_the_codec_can_decode(speaker: Speaker, prompt: Prompt) -> None:
    plan = speaker.plan("some word, or 1999 others " * 500, prompt, Options())
    assert len(plan) > 50 and all(script.tokens <= speaker.codec.limits.piece_tokens for _, script in plan)
    for sentence, _ in plan:
        speaker.codec.limits.text_ids(sentence, prompt)  # raises when it is too long


def test_prompts_of_every_kind(speaker: Speaker, monkeypatch: pytest.MonkeyPatch) -> None:
    short = speaker.prompt(voice(0.3), 24000, "a")
    assert len(speaker.speak("Hello.", short, FAST)) > 0
    foreign = speaker.prompt(voice(1.0), 16000, "早上好")
    assert len(speaker.speak("Hello.", foreign, FAST)) > 0
    untold = speaker.prompt(voice(1.0), 24000, "")
    assert len(speaker.speak("Hello.", untold, FAST)) > 0
    with pytest.raises(InputError, match="silent"):
        speaker.prompt(np.zeros(24000, dtype=np.float32), 24000, "a")
    with pytest.raises(InputError, match="0.16"):
        speaker.prompt(voice(0.1), 24000, "a")
    written = "heard words"

    def joined(self: WaveEncoder, heard: list[Heard], samples: int, text: str | None) -> Encoded:
        return Encoded(heard[0].codes, samples, written if text is None else text)

    monkeypatch.setattr(Codec, "transcribes", True)
    monkeypatch.setattr(WaveEncoder, "joined", joined)
    assert speaker.prompt(voice(1.0), 24000).text == "heard words"
    assert speaker.prompt(voice(1.0), 24000, "").text == ""
    written = " "
    with pytest.raises(InputError, match="no words were recognised"):
        speaker.prompt(voice(1.0), 24000)
    monkeypatch.setattr(Codec, "transcribes", False)
    with pytest.raises(InputError, match="--prompt-text"):
        speaker.prompt(voice(1.0), 24000)


@pytest.mark.parametrize(
    "text, options, message",
    [
        ("", FAST, "nothing to say"),
        ("🎉", FAST, "nothing to say"),
        ("Hello.", Options(-1.0), "from 0.01"),
        ("Hello.", Options(60.0), "longer than"),
        ("Hello.", Options(steps=0), "steps"),
    ],
)
def test_mistakes_are_one_line(speaker: Speaker, prompt: Prompt, text: str, options: Options, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        speaker.speak(text, prompt, options)
    assert "\n" not in str(caught.value)


def test_a_model_speaks_its_own_codecs_codes_only(codec: Codec) -> None:
    config = config_of("masked", codes=2**14, codec="another")
    engine = MaskedEngine(config, build_network(config), codec.tokenizer)
    with pytest.raises(InputError, match="codec another"):
        Speaker(codec, engine)
    small = config_of("masked", codes=64)
    with pytest.raises(InputError, match="64 codes"):
        Speaker(codec, MaskedEngine(small, build_network(small), codec.tokenizer))


def test_damaged_prompts_and_missing_models(speaker: Speaker, prompt: Prompt, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="codes must be"):
        speaker.speak("Hello.", replace(prompt, codes=prompt.codes + 2**14))
    with pytest.raises(InputError, match="not of this model"):
        speaker.speak("Hello.", replace(prompt, mel=prompt.mel[:-1]))
    with pytest.raises(InputError, match="no such model"):
        Speaker.from_pretrained(tmp_path / "none", codec=speaker.codec)
    with pytest.raises(InputError, match="engine"):
        Speaker.from_pretrained(engine="whisper", codec=speaker.codec)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match="not a speech language model"):
        Speaker.from_pretrained(tmp_path, codec=speaker.codec)


def test_bundling_stores_half_precision_of_the_right_codec(codec: Codec, tmp_path: Path) -> None:
    codec.save_pretrained(tmp_path / "codec")
    source = save_speaker(tmp_path / "model", "masked", codec)
    tool = runpy.run_path(str(Path(__file__).parents[2] / "tools" / "bundle_speaker.py"))
    tool["bundle"](source, tmp_path / "out" / "masked", str(tmp_path / "codec"))
    half = Speaker.from_pretrained(tmp_path / "out" / "masked", codec=codec)
    assert half.engine.config.codec == codec.weights
    with pytest.raises(InputError, match="no ar model is bundled|speaks"):
        Speaker.from_pretrained(engine="ar", codec=codec)


def test_a_model_of_unknown_codes_needs_its_codec_named(tmp_path: Path) -> None:
    """A published model with the bundled codec would speak noise: both have 16,384 codes."""
    config = replace(config_of("masked", 16384, text_layers=0, duration_size=0), text="qwen")
    engine = MaskedEngine(config, build_network(config), SimpleNamespace(vocab_size=10))
    with pytest.raises(InputError, match="name its codec with --model"):
        Speaker(Codec.from_pretrained(), engine)


def test_prompts_from_python_are_checked(speaker: Speaker) -> None:
    with pytest.raises(InputError, match="at least one sample"):
        speaker.prompt(np.zeros(0), 24000, "a")
    with pytest.raises(InputError, match="silent"):
        speaker.prompt(np.ones(24000, dtype=np.int16), 24000, "a")
