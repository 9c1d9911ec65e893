"""Whatever is handed to a public entry point: an InputError that says what to write, or a result."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from tadicodec import Codec, Prompt, Speaker, Speech, read_tokens, write_tokens
from tadicodec.errors import InputError
from tadicodec.pipeline.streaming import Utterance, open_stream
from tests.conftest import tiny_codec, voice

ROOT = Path(__file__).parents[2]
ODD: list[Any] = [
    *(
        None,
        True,
        0,
        -3,
        7,
        2.5,
        float("nan"),
        1j,
        "24000",
        "",
        "a\0.wav",
        b"bytes",
        object(),
        int,
        [],
        [1.5, 2.5],
        ["a", 3],
    ),
    *({}, {"a": 1}, (), set(), np.float32(3), np.zeros((2, 3, 4)), np.array(["x"]), np.array([None]), np.zeros(0)),
    *(torch.tensor(3), torch.zeros(2, 2, 2), torch.tensor([1j]), torch.ones(3, dtype=torch.bool), Path("no/such")),
    *(range(3), (number for number in ()), Exception, [None], [[0.0, 0.1]], torch.float32, torch.device("cpu")),
]
WAVE, SPEECH = voice(0.4), tiny_codec().encode(voice(0.4), 24000, "hi")


def entry_points(codec: Codec, folder: Path) -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    """Every public call with arguments that it takes."""
    limits, renderer = codec.limits, codec.renderer
    utterance = Utterance.of(SPEECH, None)
    return {
        "encode": (codec.encode, {"wave": WAVE, "sample_rate": 24000, "text": "hi"}),
        "encode_blocks": (codec.encode_blocks, {"blocks": [WAVE], "text": "hi"}),
        "transcribe": (codec.transcribe, {"wave": WAVE, "sample_rate": 24000}),
        "prompt": (codec.prompt, {"wave": WAVE, "sample_rate": 24000, "text": "hi"}),
        "decode": (
            codec.decode,
            {"speech": SPEECH, "prompt": None, "steps": 1, "guidance": 1.0, "generator": None}
            | {"text": None, "lengths": None},
        ),
        "decode codes": (codec.decode, {"speech": SPEECH.codes, "text": "hi", "lengths": [2]}),
        "stream": (
            lambda **given: list(codec.stream(**given)),
            {"speech": SPEECH, "prompt": None, "steps": 1, "guidance": 1.0, "generator": None, "seconds": 1.44},
        ),
        "open_stream": (
            lambda generator, seconds: open_stream(renderer, utterance, limits.solver(1), generator, seconds),
            {"generator": None, "seconds": 2.0},
        ),
        "mel": (codec.mel, {"wave": WAVE}),
        "vocode": (codec.vocode, {"mel": codec.mel(WAVE)}),
        "to": (tiny_codec().to, {"device": "cpu", "dtype": torch.float32}),
        "save_pretrained": (codec.save_pretrained, {"folder": folder / "model", "dtype": None, "overwrite": True}),
        "from_pretrained": (Codec.from_pretrained, {"name": folder / "model", "device": "cpu", "dtype": torch.float32}),
        "from_codes": (Speech.from_codes, {"codes": SPEECH.codes, "text": "hi", "lengths": [2]}),
        "write_tokens": (write_tokens, {"path": folder / "a.tdc", "speech": SPEECH, "prompt": None, "overwrite": True}),
        "read_tokens": (read_tokens, {"source": folder / "a.tdc"}),
    }


NAMES = list(entry_points(tiny_codec(), Path()))


@pytest.mark.parametrize("name", NAMES)
def test_wrong_types_are_input_errors(name: str, codec: Codec, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)  # where "24000" may become a file's name
    codec.save_pretrained(tmp_path / "model")
    write_tokens(tmp_path / "a.tdc", SPEECH)
    call, good = entry_points(codec, tmp_path)[name]
    for argument in good:
        for value in ODD:
            if argument == "overwrite" or (argument in ("name", "device") and value is None):
                continue
            check(call, {**good, argument: value}, f"{name}({argument}={value!r})")
    call(**entry_points(codec, tmp_path)[name][1])


def check(call: Callable[..., Any], given: dict[str, Any], shown: str) -> None:
    try:
        call(**given)
    except InputError as error:
        assert str(error) and "\n" not in str(error), shown
    except Exception as error:
        raise AssertionError(f"{shown} raised {error!r}") from error


def test_speaker_refuses_wrong_types() -> None:
    speaker = Speaker.from_pretrained()
    samples, rate = soundfile.read(ROOT / "samples" / "austen_5.flac")
    prompt = speaker.prompt(samples, rate)
    from tadicodec.tts.synthesize import Options

    for value in ODD:
        check(lambda value: speaker.prompt(value, rate), {"value": value}, f"prompt({value!r})")
        check(lambda value: speaker.prompt(samples, value), {"value": value}, f"rate {value!r}")
        if value is not None:
            check(lambda value: speaker.prompt(samples, rate, value), {"value": value}, f"text {value!r}")
            check(lambda value: Speaker.from_pretrained(value), {"value": value}, f"from_pretrained({value!r})")
            check(lambda value: Speaker.from_pretrained(engine=value), {"value": value}, f"engine {value!r}")
            check(lambda value: Speaker.from_pretrained(codec=value), {"value": value}, f"codec {value!r}")
        if not isinstance(value, str):
            check(lambda value: list(speaker.codes(value, prompt)), {"value": value}, f"speak({value!r})")
        check(lambda value: list(speaker.codes("Hi.", value)), {"value": value}, f"voice {value!r}")
        if value is not None:
            check(lambda value: list(speaker.codes("Hi.", prompt, value)), {"value": value}, f"options {value!r}")
            check(lambda value: list(speaker.codes("Hi.", prompt, Options(value))), {"value": value}, f"{value!r} s")
            check(
                lambda value: list(speaker.codes("Hi.", prompt, generator=value)), {"value": value}, f"seed {value!r}"
            )


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda c: c.encode(WAVE, "24000"), "a sample rate of '24000' Hz: give a whole number"),
        (lambda c: c.encode([0.1, 0.2], 24000), "numpy.array\\(samples, dtype=numpy.float32\\)"),
        (lambda c: c.encode(np.zeros((4000, 2)), 24000), "wave.mean\\(1\\)"),
        (lambda c: c.encode([np.zeros((4000, 2))], 24000), "wave.mean\\(1\\)"),
        (lambda c: c.encode("speech.wav", 24000), "soundfile.read"),
        (lambda c: c.decode(torch.tensor([0.5])), "whole numbers, not float32"),
        (lambda c: c.decode(torch.zeros(1, 1, 3, dtype=torch.long)), "codes\\[:, 0\\]"),
        (lambda c: c.decode([16384]), "0..16383, these are 16384 to 16384"),
        (lambda c: c.decode([-1, 4]), "negative"),
        (lambda c: c.decode([[1, 2], [3, 4]], lengths=[1, 2]), "leave lengths out"),
        (lambda c: c.decode(torch.zeros(2, 3, dtype=torch.long), lengths=[1, 4]), "with rows of 3 codes"),
        (lambda c: c.decode(torch.zeros(2, 3, dtype=torch.long), lengths=[1]), "1 lengths for 2 rows"),
        (lambda c: c.decode(torch.zeros(2, 3, dtype=torch.long), text=["a"]), "one text for each"),
        (lambda c: c.decode(SPEECH, text="hi"), "a Speech has its own"),
        (lambda c: c.decode(SPEECH, prompt="voice.wav"), "codec.prompt"),
        (lambda c: c.decode(SPEECH, generator=7), "torch.Generator\\(\\).manual_seed"),
        (lambda c: c.decode(torch.zeros(0, dtype=torch.long)), "no codes"),
    ],
)
def test_a_refusal_says_what_to_write(codec: Codec, call, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call(codec)


def test_codes_alone_decode_as_the_speech_that_holds_them(codec: Codec) -> None:
    """As tensors, arrays, lists, padded and ragged; only the length differs, which codes do not tell to the sample."""
    waves = [voice(0.5), voice(1.1, pitch=200)]
    speech = codec.encode(waves, 24000, ["short", "a longer text"])
    made = [torch.Generator().manual_seed(i) for i in range(2)]
    whole = codec.decode(speech, generator=made)
    rows = [speech[i].codes[0] for i in range(2)]
    padded = torch.full((2, 9), -100)  # as a language model pads its labels
    for i, row in enumerate(rows):
        padded[i, : len(row)] = row
    ways = [
        (padded, speech.lengths),
        (padded.numpy(), speech.lengths.tolist()),
        (rows, None),
        ([row.to(torch.int32).numpy() for row in rows], None),
        ([row.tolist() for row in rows], None),
    ]
    for codes, lengths in ways:
        made = [torch.Generator().manual_seed(i) for i in range(2)]
        out = codec.decode(codes, generator=made, text=["short", "a longer text"], lengths=lengths)
        for i, wave in enumerate(waves):
            torch.testing.assert_close(out[i, : len(wave)], whole[i, : len(wave)], atol=2e-5, rtol=1e-4)
            assert not out[i, len(rows[i]) * 3840 :].any()
    one = codec.decode(rows[0], text="short")
    assert one.shape == (1, 3840 * len(rows[0])) and torch.equal(codec.decode(rows[0].tolist(), text="short"), one)
    streamed = torch.cat(list(codec.stream(rows[0], text="short", seconds=60)))
    torch.testing.assert_close(streamed, one[0], atol=2e-5, rtol=1e-4)


def test_codes_of_real_speech_make_the_wave(tmp_path: Path) -> None:
    codec = Codec.from_pretrained()
    samples, rate = soundfile.read(ROOT / "samples" / "austen_5.flac", dtype="float32")
    speech = codec.encode(samples, rate, "He might even have been made amiable himself.")
    alone = Speech.from_codes(speech.codes.numpy().astype(np.uint16), speech.text)
    out, same = codec.decode(alone), codec.decode(speech)
    torch.testing.assert_close(out[:, : same.shape[1]], same, atol=1e-4, rtol=1e-3)
    write_tokens(tmp_path / "a.tdc", alone)
    assert torch.equal(read_tokens(tmp_path / "a.tdc").codes, speech.codes)
    assert isinstance(codec.prompt(samples, rate), Prompt)
