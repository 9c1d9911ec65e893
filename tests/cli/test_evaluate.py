"""The command from end to end with a tiny codec; the judges are those of tests/eval."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile

from tadicodec.eval.systems.reconstruction import CONDITIONS
from tests.eval.conftest import LengthReader, Loudness, PitchPrint, manifest  # noqa: F401


@pytest.fixture
def evaluate(cli, tiny_model, monkeypatch):
    """evaluate(IN, OUT, ...) with judges that load at once."""
    monkeypatch.setattr("tadicodec.eval.judges.panel.load_transcriber", lambda name, device: LengthReader(name))
    monkeypatch.setattr("tadicodec.eval.judges.panel.load_embedder", lambda name, device: PitchPrint())
    monkeypatch.setattr("tadicodec.eval.judges.panel.load_mos", lambda name, device: Loudness())

    def call(source, out, *arguments):
        given = ["--model", tiny_model, "--asr", "reader", "--steps", 1, "--baselines", "none", *arguments]
        return cli("evaluate", source, "--out", out, *given)

    return call


def figures(out):
    document = json.loads((out / "report.json").read_text())
    for row in document["rows"]:
        del row["encode_rtf"], row["decode_rtf"]
    for result in document["utterances"]:
        del result["encode_seconds"], result["decode_seconds"]
    del document["header"]
    return document


def test_twice_the_same_figures(evaluate, manifest, tmp_path):  # noqa: F811
    one, two = tmp_path / "one", tmp_path / "two"
    options = ["--sv", "print", "--mos", "loudness", "--seeds", "0,1", "--limit", 3, "--split", "test"]
    first = evaluate(manifest, one, *options)
    assert first.code == 0 and "| reference text | 3 x 2 | 0 |" in first.text and first.err == ""
    assert evaluate(manifest, two, *options).code == 0
    assert figures(one) == figures(two)
    assert len(figures(one)["utterances"]) == 3 * (2 + 7 * 2)  # two references once, seven conditions twice
    header = json.loads((one / "report.json").read_text())["header"]
    assert header["ASR"] == "reader" and header["speaker model"] == "pitch print" and "tiny" in header["system"]
    assert evaluate(manifest, one, *options).code == 0 and figures(one) == figures(two)


def test_cut_short_anywhere_it_ends_the_same(evaluate, manifest, tmp_path):  # noqa: F811
    whole = tmp_path / "whole"
    options = ["--limit", 2, "--conditions", "text,none"]
    evaluate(manifest, whole, *options)
    data = (whole / "results.jsonl").read_bytes()
    for cut in (0, len(data) // 3, len(data) - 1):
        (whole / "results.jsonl").write_bytes(data[:cut])
        expected = figures(whole)
        assert evaluate(manifest, whole, *options).code == 0
        assert figures(whole) == expected
        assert (whole / "results.jsonl").read_bytes().startswith(data[: data.rfind(b"\n", 0, cut) + 1])


SLOWLY = """
import sys, time
from tadicodec.cli.main import main
from tadicodec.eval.judges import panel
from tests.eval.conftest import LengthReader
read = LengthReader.__call__
LengthReader.__call__ = lambda self, wave: time.sleep(0.3) or read(self, wave)
panel.load_transcriber = lambda name, device: LengthReader(name)
sys.exit(main(sys.argv[1:]))
"""


def test_killed_with_9_it_goes_on(evaluate, manifest, tmp_path):  # noqa: F811
    out, arguments = tmp_path / "out", ["--system", "folder", "--generated", manifest.parent, "--baselines", "none"]
    command = ["evaluate", manifest, "--out", out, "--asr", "reader", *arguments]
    process = subprocess.Popen([sys.executable, "-c", SLOWLY, *map(str, command)], stdout=subprocess.DEVNULL)
    results = out / "results.jsonl"
    while process.poll() is None and (not results.exists() or results.read_bytes().count(b"\n") < 3):
        time.sleep(0.05)
    process.kill()
    process.wait()
    before = results.read_bytes()
    done = before.count(b"\n")
    assert 3 <= done < 12
    assert evaluate(manifest, out, *arguments).code == 0
    after = results.read_bytes()
    assert after.startswith(before[: before.rfind(b"\n") + 1])
    keys = [(line["row"], line["id"], line["seed"]) for line in map(json.loads, after.splitlines())]
    assert len(keys) == len(set(keys)) == 12


def test_more_of_the_same_adds_and_another_setting_is_refused(evaluate, manifest, tmp_path):  # noqa: F811
    out = tmp_path / "out"
    assert evaluate(manifest, out, "--limit", 1, "--conditions", "text").code == 0
    before = (out / "results.jsonl").read_bytes()
    assert evaluate(manifest, out, "--limit", 2, "--conditions", "text,none").code == 0
    assert (out / "results.jsonl").read_bytes().startswith(before)
    refused = evaluate(manifest, out, "--limit", 2, "--guidance", 1)
    assert refused.code == 2 and refused.err.count("\n") == 1 and "guidance 2.0, not 1.0" in refused.err
    assert evaluate(manifest, out, "--limit", 1, "--guidance", 1, "--conditions", "text", "--overwrite").code == 0


def test_generated_waves_of_a_meta_file(evaluate, manifest, tmp_path):  # noqa: F811
    meta = manifest.parent / "meta.lst"
    meta.write_text("u0|words|u2.wav|Birds sing before the morning comes.\nu1|words|u3.wav|Something else.\n")
    made = tmp_path / "made"
    made.mkdir()
    soundfile.write(made / "u0.wav", soundfile.read(manifest.parent / "u0.wav")[0], 24000)
    result = evaluate(meta, tmp_path / "out", "--system", "folder", "--generated", made, "--sv", "print", "--json")
    document = json.loads(result.text)
    (row,) = document["rows"]  # no recordings: nothing else to show
    assert row["row"] == "generated" and row["failures"] == 1 and row["seed_tts"]["wer"]["value"] == 0.5
    assert row["sim_prompt"]["value"] > 0.8 and row["sim_original"] is None
    assert "u1.wav is missing" in document["failures"][0]["reason"]


def test_bad_files_are_counted_and_listed(evaluate, tmp_path):
    pytest.importorskip("whisper_normalizer")
    waves = {"empty": np.zeros(0), "silent": np.zeros(24000), "short": np.full(240, 0.1)}
    folder = tmp_path / "in"
    folder.mkdir()
    for name, wave in waves.items():
        soundfile.write(folder / f"{name}.wav", wave, 24000)
    (folder / "nothing.wav").write_bytes(b"")
    for name in (*waves, "nothing"):
        (folder / f"{name}.txt").write_text("words")
    result = evaluate(folder, tmp_path / "out", "--conditions", "text")
    assert result.code == 0 and "12 failed" in result.text  # four files, three rows
    assert all(row["seed_tts"]["wer"]["value"] == 1 for row in figures(tmp_path / "out")["rows"])


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--asr", "a"], "--out"),
        (["--out", "o"], "--asr"),
        (["--out", "o", "--asr", "a", "--system", "sing"], "invalid choice"),
        (["--out", "o", "--asr", "a", "--seeds", "1,x"], "--seeds"),
        (["--out", "o", "--asr", "a", "--split", ","], "no name given"),
        (["--out", "o", "--asr", "a"], "does not exist"),
    ],
)
def test_mistakes_are_one_line(cli, monkeypatch, tmp_path, arguments, reason):
    monkeypatch.chdir(tmp_path)
    result = cli("evaluate", "none.jsonl", *arguments)
    assert result.code == 2 and result.err.count("\n") == 1 and reason in result.err
    assert list(tmp_path.iterdir()) == []


def test_help_names_every_condition(cli):
    shown = " ".join(cli("evaluate", "--help").text.split())
    assert f" {', '.join(CONDITIONS)}; of --system speak" in shown
