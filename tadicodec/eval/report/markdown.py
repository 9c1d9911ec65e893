"""The report as Markdown."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from tadicodec.eval.report.figures import ALL, Errors, Report, RowSummary
from tadicodec.eval.report.intervals import Estimate
from tadicodec.eval.results import Result
from tadicodec.eval.utterances.bitrate import TEXT_COMPRESSOR

SPECIAL = re.compile(r"([\\`*_\[\]<>|#~$&])")
Column = tuple[str, Callable[[RowSummary], str]]


def markdown(report: Report) -> str:
    """Tables of quality, bits and speed, figures by group, failures, the worst utterances and what was used."""
    overall = [row for row in report.rows if row.group == ALL]
    grouped = [row for row in report.rows if row.group != ALL]
    parts = ["# Evaluation", facts(report), table(quality(report), overall), escape(notes(report))]
    parts += ["## Bits and speed", table(COSTS, overall), escape(cost_notes(overall))]
    if grouped:
        parts += ["## By group", table([GROUP, *quality(report)], grouped)]
    parts += [f"## Failures ({len(report.failures)})", failures(report.failures)]
    parts += [f"## Worst utterances of “{escape(report.main)}”", worst(report.worst)]
    return "\n\n".join(part for part in parts if part) + "\n"


def quality(report: Report) -> list[Column]:
    """Columns of what listeners hear; those nobody measured are left out."""
    columns: list[Column] = [
        ("row", lambda row: row.row),
        ("utterances", lambda row: f"{row.utterances}" + (f" x {row.seeds}" if row.seeds > 1 else "")),
        ("failed", lambda row: str(row.failures)),
        ("WER % Seed-TTS", lambda row: percent(row.seed_tts.wer)),
        ("ins / del / sub", lambda row: split(row.seed_tts)),
        ("WER % corpus", lambda row: percent(row.whisper.wer)),
        ("ins / del / sub", lambda row: split(row.whisper)),
    ]
    scores = {"sim_prompt": "SIM to prompt", "sim_original": "SIM to original", "mos": "MOS"}
    for name, title in scores.items():
        if any(getattr(row, name) for row in report.rows):
            columns.append((title, interval(name)))
    return columns


def interval(name: str) -> Callable[[RowSummary], str]:
    """A function that gives a row's figure of this name and its interval, as text."""
    return lambda row: plain(getattr(row, name))


def bits(name: str) -> Callable[[RowSummary], str]:
    """A function that gives a row's bit/s of this part, as text."""
    return lambda row: "" if row.bits_per_second is None else f"{row.bits_per_second[name]:.1f}"


def factor(name: str) -> Callable[[RowSummary], str]:
    """A function that gives a row's real-time factor of this name, as text."""
    return lambda row: "" if getattr(row, name) is None else f"{getattr(row, name):.3f}"


GROUP: Column = ("group", lambda row: row.group)
COSTS: list[Column] = [
    ("row", lambda row: row.row),
    ("codes bit/s", bits("codes")),
    ("text, raw", bits("text_raw")),
    ("text, compressed", bits("text_compressed")),
    ("codes + compressed text", bits("codes_and_text")),
    ("prompt", bits("prompt")),
    ("all together", bits("total")),
    ("token file", bits("file")),
    ("its header", bits("header")),
    ("squeezed: codes", bits("squeezed_codes")),
    ("text", bits("squeezed_text")),
    ("header", bits("squeezed_header")),
    ("squeezed file", bits("squeezed_file")),
    ("RTF encode", factor("encode_rtf")),
    ("RTF decode", factor("decode_rtf")),
]


def table(columns: Sequence[Column], rows: Sequence[RowSummary]) -> str:
    """A Markdown table: one line for each row, cells as the columns make them."""
    lines = [[title for title, _ in columns], ["---"] * len(columns)]
    lines += [[escape(cell(row)) for _, cell in columns] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def percent(found: Estimate) -> str:
    """A figure and its interval in percent, as text."""
    return f"{100 * found.value:.1f} ({100 * found.low:.1f} to {100 * found.high:.1f})"


def plain(found: Estimate | None) -> str:
    """A figure and its interval as text; nothing for None."""
    return "" if found is None else f"{found.value:.2f} ({found.low:.2f} to {found.high:.2f})"


def split(errors: Errors) -> str:
    """Insertions, deletions and substitutions in percent, as text."""
    return " / ".join(f"{100 * part:.1f}" for part in (errors.insertions, errors.deletions, errors.substitutions))


def facts(report: Report) -> str:
    """The header as a list."""
    return "\n".join(f"- {escape(name)}: {escape(str(value))}" for name, value in report.header.items())


def notes(report: Report) -> str:
    """What the columns of the first table mean."""
    judges = {name: report.header.get(name, "none") for name in ("ASR", "speaker model", "opinion model")}
    return (
        "Brackets: 95 % bootstrap intervals over utterances. Seed-TTS: mean over utterances, punctuation but the "
        "apostrophe deleted. Corpus: edits over words, Whisper's English normaliser. A failure counts as 100 % word "
        f"error and has no other score. Words are heard by {judges['ASR']}; SIM is the cosine of "
        f"{judges['speaker model']}; MOS is predicted by {judges['opinion model']}. Rows with several seeds: medians "
        "over seeds."
    )


def cost_notes(rows: Sequence[RowSummary]) -> str:
    """What the columns of the second table mean."""
    used = [f"{row.row}: {row.codes['distinct']} of {row.codes['tokens']}" for row in rows if row.codes]
    distinct = f" Distinct codes among tokens: {used[0]}." if used else ""
    return (
        f"bit/s of audio. Text is UTF-8, compressed by {TEXT_COMPRESSOR}; the prompt is what a token file embeds, "
        "counted against one utterance (a receiver that has the speaker needs none). Token files are counted whole, "
        "without prompt; squeezed ones as `encode --squeeze` writes them, codes with their timing. RTF: seconds a "
        f"second of audio, batch 1, median; decode includes the vocoder, tools include their start.{distinct}"
    )


def failures(results: Sequence[Result]) -> str:
    """The failed utterances and their reasons, as a list."""
    if not results:
        return "None."
    return "\n".join(f"- {escape(r.row)}, {escape(r.id)}, seed {r.seed}: {escape(r.failure or '')}" for r in results)


def worst(results: Sequence[Result]) -> str:
    """The worst utterances: what was to be said and what was heard, as a table."""
    lines = ["| id | WER % | reference | heard |", "| --- | --- | --- | --- |"]
    for result in results:
        heard = result.hypothesis if result.failure is None else f"({result.failure})"
        cells = [result.id, f"{100 * result.seed_tts.rate:.0f}", result.text, heard]
        lines.append("| " + " | ".join(escape(cell) for cell in cells) + " |")
    return "\n".join(lines)


def escape(text: str) -> str:
    """Text of others in one line that Markdown shows as it is."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split()))


def summary_lines(report: Report, out: str) -> str:
    """The first table and where the rest is, for a terminal."""
    overall = [row for row in report.rows if row.group == ALL]
    failed = f"{len(report.failures)} failed, counted as 100 % word error" if report.failures else "none failed"
    shown = table(quality(report), overall)
    return f"{shown}\n\n{len(report.results)} results, {failed}; more in {out}/report.html, report.md and report.json"
