"""The models in exact arithmetic: the float models' numbers, and the same bits however they are computed."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch

from tadicodec.entropy import tables
from tadicodec.entropy.coder import bundled_folder, find_coder
from tadicodec.entropy.speech_model import CodeReader, SpeechModel, shared
from tadicodec.entropy.text_model import END, TextReader
from tadicodec.entropy.timing import Timing, counts_of, spoken
from tadicodec.errors import InputError
from tadicodec.tts.autoregressive import SpeechLM, lay_out
from tadicodec.tts.folder import load_tts
from tadicodec.tts.llama import Llama
from tadicodec.tts.script import predict

ROOT = Path(__file__).parents[2]
TEXT = "he was not an ill-disposed young man, unless to be rather cold hearted"


@pytest.fixture(scope="module")
def folder(tiny_coder: Path) -> Path:
    return tiny_coder


def test_tables_are_the_functions() -> None:
    x = np.linspace(-20, 20, 4001)
    assert np.abs(tables.sigmoid()(x) - 1 / (1 + np.exp(-x))).max() < 1e-5
    assert np.abs(tables.softplus()(x) - np.logaddexp(0, x)).max() < 1e-4
    normal = np.array([math.erf(value / 2**0.5) / 2 + 0.5 for value in x])
    assert np.abs(tables.normal()(x) - normal).max() < 1e-5
    assert np.abs(tables.exp_below(np.abs(x)) - np.exp(-np.abs(x))).max() < 1e-6
    assert np.abs(tables.sine() - np.sin(2 * np.pi * np.arange(tables.TURN) / tables.TURN)).max() < 1e-8
    assert np.allclose(tables.turns(8) * 2.0**-40 * 64 * 2 * np.pi, 10000.0 ** (-np.arange(8) / 8), atol=1e-8)


def test_tables_are_these_on_every_machine() -> None:
    parts = (tables.sigmoid().values, tables.softplus().values, tables.normal().values, tables.halving(), tables.sine())
    digest = sha256(b"".join(part.astype("<f8").tobytes() for part in (*parts, tables.turns(32))))
    assert digest.hexdigest()[:16] == TABLES


TABLES = "f92fcbb7a82c229f"


@torch.inference_mode()
def test_scores_are_the_float_models(folder: Path) -> None:
    config, network = load_tts(folder)
    assert isinstance(network, SpeechLM) and isinstance(network.lm, Llama)
    model, text = SpeechModel(folder), TEXT.encode()
    codes = np.random.default_rng(0).integers(0, 256, 40)
    starts = np.sort(np.random.default_rng(1).integers(0, 40 * 64, len(text)))
    ids, places = lay_out(
        network.vocabulary, torch.tensor(list(text)), torch.tensor(codes), torch.tensor(starts / 64.0)
    )
    table = network.table()
    hidden = network.lm(table[ids][None], places[None].float())[0, len(text) : -1]
    wanted = (hidden @ table[258:].T).log_softmax(-1).numpy()
    found = CodeReader(model, text, starts).whole(codes)
    found = found - np.log(np.exp(found).sum(-1, keepdims=True))
    chosen = np.arange(len(codes)), codes
    assert np.abs(found - wanted).mean() < 0.05 * wanted.std()
    assert abs(found[chosen].mean() / wanted[chosen].mean() - 1) < 0.02
    durations = predict(network.duration, list(text)).numpy()
    assert np.abs(model.durations(text) / 1024 - durations).mean() < 0.05 * durations.mean()


def test_one_by_one_is_the_whole(folder: Path) -> None:
    model, codes = SpeechModel(folder), np.random.default_rng(0).integers(0, 256, 30)
    starts = np.arange(len(TEXT)) * 20
    whole = shared(CodeReader(model, TEXT.encode(), starts).whole(codes), 1)
    reader = CodeReader(model, TEXT.encode(), starts)
    for place in range(len(codes)):
        assert np.array_equal(shared(reader.scores(), 1)[0], whole[place])
        reader.append(codes[place : place + 1])


def test_text_one_by_one_is_the_whole_beyond_a_window() -> None:
    text = (TEXT * 7).encode()
    whole, reader = find_coder(None).text.whole(text), TextReader(find_coder(None).text)
    assert len(text) > 450 and whole.min() >= 1
    for place, symbol in enumerate([END, *text]):
        assert np.array_equal(reader.after(symbol), whole[place])


DIGEST = """
import sys
from hashlib import sha256
import numpy as np
import torch
torch.set_default_dtype(getattr(torch, sys.argv[2]))
torch.set_num_threads(int(sys.argv[3]))
if sys.argv[4] == "onnx":
    import onnxruntime
torch.set_flush_denormal(sys.argv[4] == "flush")
from pathlib import Path
from tadicodec.entropy.coder import find_coder
from tadicodec.speech import Speech
from tadicodec.tdc.container import to_bytes
codes = np.random.default_rng(0).integers(0, 256, 30)
data = to_bytes(Speech.from_codes(codes, "He was not an ill-disposed young man."), squeeze=True, coder=sys.argv[1])
print(sha256(data).hexdigest())
"""


def test_threads_dtypes_and_backends_change_no_bit(folder: Path) -> None:
    """Each in a process of its own, because BLAS reads its number of threads and its kernels when it is loaded."""
    found = set()
    for threads, kernels, dtype, kind in (
        ("1", "Haswell", "float32", "torch"),
        ("2", "Prescott", "float64", "onnx"),
        ("2", "SkylakeX" if has_avx512() else "Nehalem", "bfloat16", "flush"),
    ):
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        environment = {**os.environ, **dict.fromkeys(names, threads), "OPENBLAS_CORETYPE": kernels}
        command = [sys.executable, "-c", DIGEST, str(folder), dtype, threads, kind]
        found.add(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)
    assert len(found) == 1


def has_avx512() -> bool:
    """Whether OpenBLAS' newest kernels run on this processor."""
    try:
        return "avx512f" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False


def test_timing_comes_back(folder: Path) -> None:
    text, tokens = spoken(f"{TEXT} “{TEXT}” " * 6), 150
    starts = np.sort(np.random.default_rng(0).uniform(0, tokens, len(text)))
    durations = SpeechModel(folder).durations
    for size in (2, 3):
        counts = counts_of(starts, tokens, size)
        timing, found = Timing(durations, text, tokens, size), []
        for count in counts[:-1]:
            assert len(timing.frequencies()) > count
            found.append(timing.advance(count))
        assert timing.last and timing.left == counts[-1] and sum(counts) == len(text)
        found.append(timing.advance(counts[-1]))
        times = np.concatenate(found) / 64
        assert (np.diff(times) >= 0).all() and np.abs(times - starts).max() <= size


def test_crowded_bins_pass_letters_on() -> None:
    assert counts_of(np.zeros(100), 9, 3) == [63, 37, 0]
    assert counts_of(np.zeros(1000), 9, 3) == [63, 63, 874]
    assert counts_of(np.array([2.9, 99.0]), 9, 3) == [1, 0, 1]


def test_what_the_speech_model_reads() -> None:
    assert spoken("Ça “VA”?\nOui — (bien)") == "Ça va? oui - bien".encode()


def test_models_of_other_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no config.json"):
        find_coder(tmp_path)
    masked = bundled_folder().with_name("masked")
    with pytest.raises(InputError, match="plain Llama"):
        _ = find_coder(masked).speech
