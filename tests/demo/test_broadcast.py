"""Sound is heard while it is made, by every listener from the beginning."""

from __future__ import annotations

import io
import threading

import numpy as np

from tadicodec.audio.files import read_audio
from tadicodec.demo.broadcast import KEPT, Broadcast, Station
from tests.conftest import voice


def test_listeners_hear_what_is_there_and_what_comes() -> None:
    sound, heard = Broadcast(24000), []
    first = voice(1.0)
    sound.add(first)
    early = sound.listen()
    assert next(early)  # before it is finished
    waiting = threading.Thread(target=lambda: heard.extend(early))
    waiting.start()
    sound.add(voice(1.0))
    sound.finish()
    waiting.join(20)
    whole = b"".join(sound.listen())
    assert not waiting.is_alive() and whole.endswith(b"".join(heard))
    wave, rate = read_audio(io.BytesIO(whole))
    assert rate == 24000 and abs(len(wave) - 48000) < 3000 and np.abs(wave).max() > 0.1


def test_old_ones_are_forgotten() -> None:
    station = Station()
    names = [station.open(24000)[0] for _ in range(KEPT + 3)]
    assert len(set(names)) == len(names)
    assert [station.find(name) is None for name in names] == [True] * 3 + [False] * KEPT
    assert station.find("nothing") is None
