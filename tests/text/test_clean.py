"""Texts at the door, and names in messages: nothing in them steers a terminal."""

from __future__ import annotations

import pytest
import torch

from tadicodec.errors import InputError, reason, shown
from tadicodec.speech import Prompt, Speech
from tadicodec.text.clean import clean

CLEAN = {
    "\ufeffhello\0 w\x1b[31mor\x1b[0mld\x07": "hello world",
    "\x1b]0;a title\x07hi\x1b]8;;http://x\x1b\\": "hi",
    "a\r\nb\tc\xa0d\x85": "a\nb c d ",
    "rtl \u202eevil\u2069": "rtl evil",
    "نمی\u200cخواهم 👩\u200d🚀": "نمی\u200cخواهم 👩\u200d🚀",
    "plain, «quoted» – 漢字": "plain, «quoted» – 漢字",
    "\x1b": "",
}


@pytest.mark.parametrize("text", CLEAN)
def test_clean(text: str) -> None:
    assert clean(text) == CLEAN[text] and clean(clean(text)) == clean(text)


def test_speech_and_prompts_hold_clean_texts() -> None:
    one = torch.ones(1, dtype=torch.long)
    assert Speech(one[None], one, one, ("\x1b[1mhi\0", None)).text == ("hi", None)
    assert Prompt(torch.zeros(8, 128), one, "\ufeffhi").text == "hi"


def test_messages_are_one_line_whatever_they_quote() -> None:
    message = str(InputError("a\nb\r\x1b[2J\u202e\udc80 é"))
    assert message == "a\\nb\\r\\x1b[2J\\u202e\\udc80 é" and message.isprintable()
    assert shown("a\nb") != shown("a b")
    assert reason(ValueError("first\n  second\n")) == "first second" and reason(KeyError()) == "KeyError"
    assert reason(OSError(28, "No space left on device", "x")) == "No space left on device"
    assert len(reason(ValueError("x" * 9999))) < 310
