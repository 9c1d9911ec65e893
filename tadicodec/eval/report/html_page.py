"""The report as one self-contained HTML page: nothing is fetched, nothing is run, all text of others is escaped."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

from tadicodec.errors import InputError
from tadicodec.eval.report.charts import Bar, Dot, bars, rate_chart, scatter
from tadicodec.eval.report.figures import ALL, Report, RowSummary
from tadicodec.eval.report.intervals import Estimate
from tadicodec.eval.report.markdown import COSTS, GROUP, Column, cost_notes, notes, quality
from tadicodec.eval.results import Result
from tadicodec.eval.run import Evaluation, audio_file, player_bytes
from tadicodec.eval.utterances.cases import Case
from tadicodec.eval.utterances.recordings import Recordings

STYLE = """
:root{color-scheme:light dark;--ink:#1c2330;--paper:#fff;--soft:#667085;--line:#dfe3ea;
--reference:#9aa7b8;--system:#2f6fed;--baseline:#d9923b}
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ef;--paper:#14181f;--soft:#98a2b3;--line:#2c3440;
--reference:#66748a;--system:#6c9bff;--baseline:#e0a458}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:1320px;margin:2rem auto;
padding:0 1rem}h1{font-size:1.6rem}h2{font-size:1.15rem;margin-top:2.2rem}p{color:var(--soft);max-width:75ch}
dl{display:grid;grid-template-columns:max-content 1fr;gap:.15rem 1rem}dt{color:var(--soft)}dd{margin:0;
overflow-wrap:anywhere}.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.88rem;
font-variant-numeric:tabular-nums}th,td{padding:.3rem .55rem;text-align:right;border-bottom:1px solid var(--line);
vertical-align:top}td{white-space:nowrap}th:first-child,td:first-child,.words{text-align:left}
.words{white-space:normal;min-width:18rem}th{color:var(--soft);font-weight:600}tr.system td:first-child{font-weight:600}
figure{margin:1.2rem 0;max-width:780px}figcaption{font-weight:600}svg{width:100%;height:auto}svg text{fill:var(--ink);
font-size:12px}.grid{stroke:var(--line)}.mark{text-anchor:middle}.label{text-anchor:end}.reference{fill:var(--reference)}
.system{fill:var(--system)}.baseline{fill:var(--baseline)}circle{opacity:.65}.interval{stroke:var(--ink);fill:none;
stroke-width:1.5}.key i{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin:0 .4em 0 1em}
audio{height:2rem;width:13rem}li{overflow-wrap:anywhere}
"""
POLICY = "default-src 'none'; style-src 'unsafe-inline'; media-src data:"
KEY = "".join(
    f'<i style="background:var(--{kind})"></i>{title}'
    for kind, title in {"reference": "references", "system": "evaluated", "baseline": "baselines"}.items()
)


def page(report: Report, evaluation: Evaluation) -> str:
    """The whole document."""
    overall = [row for row in report.rows if row.group == ALL]
    grouped = [row for row in report.rows if row.group != ALL]
    parts = [
        "<h1>Evaluation</h1>",
        "<dl>" + "".join(f"<dt>{escape(k)}</dt><dd>{escape(str(v))}</dd>" for k, v in report.header.items()) + "</dl>",
        table(quality(report), overall),
        f"<p>{escape(notes(report))}</p><p class=key>{KEY}</p>",
        *charts(overall),
        sent_chart(overall),
        length_chart(report),
        "<h2>Bits and speed</h2>" + table(COSTS, overall) + f"<p>{escape(cost_notes(overall))}</p>",
        "<h2>By group</h2>" + table([GROUP, *quality(report)], grouped) if grouped else "",
        f"<h2>Worst utterances of “{escape(report.main)}”</h2>" + players(report, evaluation),
        f"<h2>Failures ({len(report.failures)})</h2>" + failures(report.failures),
        f"<h2>Utterances of “{escape(report.main)}”</h2>" + utterances(report),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Evaluation</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"><style>{STYLE}</style></head>'
        f"<body>{''.join(parts)}</body></html>\n"
    )


def table(columns: Sequence[Column], rows: Sequence[RowSummary]) -> str:
    """An HTML table: one line for each row, cells as the columns make them."""
    head = [escape(title) for title, _ in columns]
    body = [(row.kind, [escape(cell(row)) for _, cell in columns]) for row in rows]
    lines = [f'<tr class="{kind}">' + "".join(f"<td>{cell}</td>" for cell in cells) + "</tr>" for kind, cells in body]
    return wide(head, lines)


def wide(head: Sequence[str], lines: Sequence[str]) -> str:
    """A table that scrolls by itself; head and lines are HTML."""
    return f'<div class="wide"><table><tr>{"".join(f"<th>{h}</th>" for h in head)}</tr>{"".join(lines)}</table></div>'


def charts(rows: Sequence[RowSummary]) -> list[str]:
    """One chart a measure, one bar a row."""

    def chart(title: str, of: Callable[[RowSummary], Estimate | None], **style: Any) -> str:
        items = [Bar(row.row, row.kind, found) for row in rows if (found := of(row)) is not None]
        return bars(title, items, **style) if items else ""

    return [
        chart("Word error rate, Seed-TTS protocol, %", lambda row: row.seed_tts.wer, scale=100, digits=1),
        chart("Word error rate, corpus, Whisper's normaliser, %", lambda row: row.whisper.wer, scale=100, digits=1),
        chart("Speaker similarity to the prompt", lambda row: row.sim_prompt),
        chart("Speaker similarity to the original", lambda row: row.sim_original),
        chart("Predicted opinion score, 1 to 5", lambda row: row.mos, start=1),
    ]


def sent_chart(rows: Sequence[RowSummary]) -> str:
    """Word errors against all that is sent: token files with text and header, other codecs' packets."""
    dots = [
        Dot(row.bits_per_second["sent"], 100 * row.whisper.wer.value, row.kind, row.row)
        for row in rows
        if row.bits_per_second is not None and row.bits_per_second["sent"] > 0
    ]
    title = "Word error rate (corpus) against all that is sent: squeezed token files, others' packets"
    return rate_chart(title, dots, "bit/s", "WER %") if dots else ""


def length_chart(report: Report) -> str:
    """Word errors against length, of the main row and the recordings."""
    kinds = {"recordings": "reference", report.main: "system"}
    dots = [
        Dot(r.seconds, 100 * r.seed_tts.rate, kinds[r.row], f"{r.row}, {r.id}: {100 * r.seed_tts.rate:.0f} %")
        for name in kinds
        for r in report.results
        if r.row == name and r.seconds
    ]
    title = "Word error rate (Seed-TTS) of each utterance against its length"
    return scatter(title, dots, "seconds", "WER %") if dots else ""


def players(report: Report, evaluation: Evaluation) -> str:
    """The worst utterances, to hear beside their recordings."""
    cases = {case.id: case for case in evaluation.chosen.cases}
    lines = []
    for result in report.worst:
        heard = result.hypothesis if result.failure is None else f"failed: {result.failure}"
        cells = [
            f"<td>{escape(result.id)}</td><td>{100 * result.seed_tts.rate:.0f}</td>",
            f'<td class="words">{escape(result.text)}<br><em>{escape(heard)}</em></td>',
            f"<td>{player(read_bytes(audio_file(evaluation.out, result.key)))}</td>",
            f"<td>{player(recording_bytes(cases[result.id], evaluation.recordings))}</td>",
        ]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return wide(["id", "WER %", "reference and <em>heard</em>", "evaluated", "recording"], lines)


def player(sound: bytes | None) -> str:
    """An audio player that carries its MP3 in itself; "none" without one."""
    if sound is None:
        return "none"
    return f'<audio controls preload="none" src="data:audio/mpeg;base64,{b64encode(sound).decode()}"></audio>'


def read_bytes(path: Path) -> bytes | None:
    """The content of a file, or None where there is none."""
    return path.read_bytes() if path.is_file() else None


def recording_bytes(case: Case, recordings: Recordings) -> bytes | None:
    """A case's recording as MP3, or None where it cannot be read."""
    try:
        return player_bytes(*recordings.read(case.audio))
    except InputError:
        return None  # there is none, or its own row's failure says what is wrong with it


def failures(results: Sequence[Result]) -> str:
    """The failed utterances and their reasons, as an HTML list."""
    if not results:
        return "<p>None.</p>"
    lines = [f"{r.row}, {r.id}, seed {r.seed}: {r.failure}" for r in results]
    return "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in lines) + "</ul>"


def utterances(report: Report) -> str:
    """Every result of the main row, folded."""
    lines = []
    for r in (result for result in report.results if result.row == report.main):
        scores = ["" if score is None else f"{score:.2f}" for score in (r.sim_prompt, r.sim_original, r.mos)]
        edits = f"{r.seed_tts.insertions} / {r.seed_tts.deletions} / {r.seed_tts.substitutions}"
        cells = [r.id, str(r.seed), f"{100 * r.seed_tts.rate:.0f}", edits, str(r.seed_tts.words), *scores]
        words = f'<td class="words">{escape(r.text)}<br><em>{escape(r.hypothesis)}</em></td>'
        lines.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + words + "</tr>")
    head = ["id", "seed", "WER %", "ins / del / sub", "words", "SIM to prompt", "SIM to original", "MOS", "text"]
    return f"<details><summary>{len(lines)} results</summary>{wide(head, lines)}</details>"
