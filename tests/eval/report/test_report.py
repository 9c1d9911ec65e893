"""The report of results written by hand, in its three forms."""

import json
import re
from html.parser import HTMLParser

import pytest

from tadicodec.eval.judges.wer import Edits
from tadicodec.eval.report.charts import Bar, Dot, bars, rate_chart, ticks
from tadicodec.eval.report.figures import summarise
from tadicodec.eval.report.intervals import estimate
from tadicodec.eval.report.report import hardware, make_report, versions, write_report
from tadicodec.eval.results import Result
from tadicodec.eval.run import Evaluation, audio_file, player_bytes
from tadicodec.eval.systems.system import RecordingRow
from tadicodec.eval.utterances.bitrate import Bits
from tadicodec.eval.utterances.cases import Case, EvaluationSet
from tadicodec.eval.utterances.recordings import Recordings
from tadicodec.outputs import write_bytes
from tests.conftest import voice

HOSTILE = "<script>alert('x')</script> | *bold*\n## no"
RESULTS = [
    Result("recordings", "a", 0, "one two", Edits(0, 0, 0, 2), Edits(0, 0, 0, 2), "g1", 2.0, hypothesis="one two"),
    Result("recordings", "b", 0, HOSTILE, Edits(0, 0, 1, 8), Edits(0, 0, 1, 8), "g2", 4.0, sim_prompt=0.9, mos=4.0),
    Result("made", "a", 0, "one two", Edits(1, 0, 0, 2), Edits(0, 0, 1, 2), "g1", 2.0, mos=3.0, bits=Bits(175, 56, 40)),
    Result("made", "b", 0, HOSTILE, Edits(0, 8, 0, 8), Edits(0, 8, 0, 8), "g2", 4.0, failure=HOSTILE),
]


class Made:
    name, kind, seeded, prompted = "made", "system", True, False


class Outside(HTMLParser):
    """Collects what a browser would fetch or run, and checks that tags are closed."""

    def __init__(self):
        super().__init__()
        self.found, self.open, self.sounds = [], [], 0

    def handle_starttag(self, tag, attributes):
        links = [v for k, v in attributes if k in ("src", "href", "srcset", "data", "action") or k.startswith("on")]
        self.sounds += sum(link.startswith("data:audio/mpeg;base64,") for link in links)
        self.found += [link for link in links if not link.startswith("data:")]
        self.found += [tag] * (tag in ("script", "link", "iframe", "object", "embed", "img"))
        if tag not in ("meta", "br", "circle", "rect", "path", "line", "i"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in ("i", "circle", "rect", "path", "line"):
            assert not self.open or tag in self.open
            while self.open and self.open.pop() != tag:
                pass


@pytest.fixture
def evaluation(tmp_path):
    cases = (Case("a", "one two", None), Case("b", HOSTILE, None))
    rows = [RecordingRow(Recordings()), Made()]
    return Evaluation(EvaluationSet("set", "f00", cases, ()), rows, (0,), None, Recordings(), tmp_path)


@pytest.fixture
def report(evaluation):
    return make_report(evaluation, RESULTS, {"ASR": "an ASR", "command": HOSTILE})


def test_figures_by_hand():
    made, all_of_them = summarise(RESULTS, {"made": "system"})[0], summarise(RESULTS, {"made": "system"})
    assert made.seed_tts.wer.value == 0.75 and made.seed_tts.insertions == 0.25 and made.seed_tts.deletions == 0.5
    assert made.whisper.wer.value == 0.9 and made.whisper.substitutions == 0.1 and made.whisper.deletions == 0.8
    assert made.mos.value == 3.0 and made.mos.count == 1 and made.failures == 1  # of the one that has a wave
    assert made.bits_per_second == {
        "codes": 87.5, "text_raw": 28, "text_compressed": 20, "prompt": 0, "codes_and_text": 107.5, "total": 107.5,
        "file": 0, "header": 0, "squeezed_codes": 0, "squeezed_text": 0, "squeezed_file": 0, "squeezed_header": 0,
        "sent": 107.5,
    }  # fmt: skip
    assert [row.group for row in all_of_them] == ["all", "g1", "g2"]


def test_files(evaluation, report):
    write_bytes(audio_file(evaluation.out, RESULTS[2].key), player_bytes(voice(1.0), 24000))
    write_report(evaluation, report)
    assert {path.name for path in evaluation.out.iterdir()} == {"audio", "report.html", "report.json", "report.md"}
    document = json.loads((evaluation.out / "report.json").read_text())
    assert document["main_row"] == "made" and document["worst"] == ["b", "a"]
    assert document["failures"] == [{"row": "made", "id": "b", "seed": 0, "reason": HOSTILE}]
    assert document["utterances"][2]["seed_tts"] == {"insertions": 1, "deletions": 0, "substitutions": 0, "words": 2}


def test_markdown_shows_hostile_text_as_text(evaluation, report):
    write_report(evaluation, report)
    text = (evaluation.out / "report.md").read_text()
    assert "<script" not in text.replace("\\<script", "") and "\n## no" not in text
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(tables) == 4  # quality, bits and speed, by group, the worst
    for lines in tables:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
    assert "| made | 2 | 1 | 75.0 (" in text


def test_the_page_needs_nothing_and_runs_nothing(evaluation, report):
    write_bytes(audio_file(evaluation.out, RESULTS[2].key), player_bytes(voice(1.0), 24000))
    write_report(evaluation, report)
    page = (evaluation.out / "report.html").read_text()
    parser = Outside()
    parser.feed(page)
    assert parser.found == [] and parser.open == [] and parser.sounds == 1
    assert "<script" not in page and "url(" not in page and "@import" not in page and "://" not in page
    assert page.count("<svg") == 6 and "an ASR" in page  # two WERs, SIM to prompt, MOS, rates, length


def test_bars_of_nothing_and_of_much():
    drawn = bars("t", [Bar("<b>", "system", estimate([[0.0, 0.0]])), Bar("c", "baseline", estimate([[3.0, 2.0]]))])
    assert "&lt;b&gt;" in drawn and "nan" not in drawn and 'width="-' not in drawn
    assert ticks(0, 1.05)[-1] >= 1.05 and ticks(0, 0)[-1] > 0 and ticks(1, 4.5)[0] == 1


def test_rates_lie_on_a_logarithmic_axis():
    dots = [Dot(rate, 10.0, "system", f"at {rate:g}") for rate in (100.0, 1000.0, 10000.0)]
    drawn = rate_chart("t", dots, "bit/s", "WER %")
    places = [float(place) for place in re.findall(r'<circle class="system" cx="([\d.]+)"', drawn)]
    assert places == sorted(places) and places[1] - places[0] == pytest.approx(places[2] - places[1], abs=0.2)
    assert ">100<" in drawn and ">10000<" in drawn and "at 1000" in drawn
    assert "nan" not in rate_chart("t", dots[:1], "bit/s", "WER %")


def test_what_it_was_made_with():
    assert {"tadicodec", "python", "torch", "numpy"} <= set(versions())
    assert re.search(r", threads: \d+$", hardware("cpu"))
