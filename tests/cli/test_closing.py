import json
import sys

from tadicodec.cli.closing import Receipt, Tally, on_terminal, report, waiting


def test_figures():
    figures = Tally("encoded", [Receipt(8.0, 50, 200), Receipt(2.0, 13, 100)]).document()
    assert figures["seconds"] == 10 and figures["tokens"] == 63 and figures["files"] == 2
    assert figures["code_bits_per_second"] == 88.2 and figures["total_bits_per_second"] == 240


def test_nothing_done_divides_by_nothing():
    assert Tally("encoded").document()["real_time_factor"] == 0


def test_line_and_json(capsys):
    tally = Tally("encoded", [Receipt(8.0, 50, 200)])
    assert tally.close(as_json=False, piped=False) == 0
    line = capsys.readouterr().out
    assert line.count("\n") == 1 and "50 tokens, 87.5 bit/s of codes, 200.0 bit/s in total" in line
    tally.close(as_json=True, piped=True)
    captured = capsys.readouterr()
    assert captured.out == "" and json.loads(captured.err)["tokens"] == 50


def test_closed_streams(capsys, monkeypatch):
    """What stderr would get must not end up in the bytes on stdout, nor stop anything."""
    monkeypatch.setattr(sys, "stderr", None)
    report("a fault")
    with waiting("long"):
        assert not on_terminal()
    assert Tally("encoded", [Receipt(8.0, 50, 200)]).close(as_json=True, piped=True) == 0
    assert capsys.readouterr().out == ""
