import os
import shutil
import struct

import numpy as np
import pytest
import soundfile
import torch

from tadicodec.errors import InputError
from tadicodec.eval.systems import baselines
from tadicodec.eval.systems.baselines import BASELINES, load_baselines, ogg_payload
from tadicodec.eval.utterances.cases import Case
from tadicodec.eval.utterances.recordings import Recordings
from tests.conftest import voice


def ogg_page(*packets: int) -> bytes:
    table = b"".join(bytes([255] * (size // 255) + [size % 255]) for size in packets)
    return struct.pack("<4sBBqIIIB", b"OggS", 0, 0, 0, 0, 0, 0, len(table)) + table + bytes(sum(packets))


def test_ogg_payload_leaves_headers_and_pages_out():
    assert ogg_payload(ogg_page(19) + ogg_page(700) + ogg_page(10, 255, 300) + ogg_page(7)) == 572
    with pytest.raises(InputError, match="not an Ogg file"):
        ogg_payload(bytes(40))


@pytest.fixture
def case(tmp_path) -> Case:
    soundfile.write(tmp_path / "a.wav", voice(2.0, 16000), 16000)
    return Case("a", "words", tmp_path / "a.wav")


RATES = [("codec2-450", 450, 450), ("codec2-700c", 700, 700), ("opus-6", 3000, 9000)]  # bit/s from .. to


@pytest.mark.parametrize(("name", "low", "high"), RATES)
def test_codecs_of_the_path(case, name, low, high):
    if baselines.missing_tool(BASELINES[name][0]):
        pytest.skip("its tools are not installed")
    (row,) = load_baselines([name], Recordings(), "cpu")
    made = row.render(case, 0)
    assert low <= made.bits.codes / 2.0 <= high and made.bits.text_raw == 0
    assert len(made.wave) == 2.0 * made.sample_rate and np.abs(made.wave).max() > 0.01
    assert made.encode_seconds > 0 and made.decode_seconds > 0
    assert np.array_equal(made.wave, row.render(case, 0).wave)


def test_missing_tools_are_named_with_their_package(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda tool: None)
    assert load_baselines(None, Recordings(), "cpu") == []
    with pytest.raises(InputError, match="needs c2enc, which is not on PATH: apt-get install codec2"):
        load_baselines(["codec2-450"], Recordings(), "cpu")
    with pytest.raises(InputError, match="no baseline mp3"):
        load_baselines(["mp3"], Recordings(), "cpu")


def test_a_tool_that_fails_says_why(monkeypatch, case, tmp_path):
    tool = tmp_path / "c2enc"
    tool.write_text("#!/bin/sh\necho one >&2\necho no such mode >&2\nexit 3\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(InputError, match="c2enc: no such mode"):
        BASELINES["codec2-450"][1](Recordings()).render(case, 0)


def test_encodec_from_a_folder(case, tmp_path):
    from transformers import EncodecConfig, EncodecModel

    torch.manual_seed(0)
    config = EncodecConfig(num_filters=4, hidden_size=16, codebook_dim=16, upsampling_ratios=[8, 5, 4, 2])
    EncodecModel(config).save_pretrained(tmp_path / "encodec")
    (row,) = load_baselines([f"encodec={tmp_path / 'encodec'}"], Recordings(), "cpu")
    made = row.render(case, 0)
    assert made.bits.codes / 2.0 == 1500 and len(made.wave) == 2 * 24000 and row.name == "EnCodec 1.5 kbit/s"
    with pytest.raises(InputError, match="encodec=FOLDER"):
        load_baselines([f"encodec={tmp_path}"], Recordings(), "cpu")
