"""Means, intervals and the Markdown table of tools/measure.py."""

from __future__ import annotations

import random
from collections.abc import Sequence

DRAWS = 1000  # of the bootstrap
FIGURES = ("sim_recording", "sim_prompt", "mos")


def summarise(results: Sequence[dict], conditions: Sequence[str]) -> dict:
    """Rows of (source, condition) figures and the use of the codebook, by source and over all."""
    sources = sorted({result["source"] for result in results})
    groups = [(source, [r for r in results if r["source"] == source]) for source in sources]
    if len(groups) > 1:
        groups.append(("all", list(results)))
    rows = [
        {"source": source, "condition": condition} | figures(mine)
        for source, group in groups
        for condition in conditions
        if (mine := [r for r in group if r["condition"] == condition])
    ]
    return {"rows": rows, "codes": {source: codes_used(group) for source, group in groups}}


def figures(results: Sequence[dict]) -> dict:
    """Mean figures of some utterances; rates are fractions."""
    counts = [(result["edits"], result["words"]) for result in results]
    found = {
        "utterances": len(results),
        "wer": error_rate(counts),
        "wer_95": interval(counts),
        "wer_mean": sum(edits / max(words, 1) for edits, words in counts) / len(counts),
    }
    for name in FIGURES:
        values = [result[name] for result in results if name in result]
        if values:
            found[name] = sum(values) / len(values)
    return found


def error_rate(counts: Sequence[tuple[int, int]]) -> float:
    """Edits over words of all utterances together."""
    return sum(edits for edits, _ in counts) / max(sum(words for _, words in counts), 1)


def interval(counts: Sequence[tuple[int, int]]) -> tuple[float, float]:
    """Bootstrap 95 % interval of the corpus word error rate over utterances."""
    draw = random.Random(0)
    rates = sorted(error_rate(draw.choices(counts, k=len(counts))) for _ in range(DRAWS))
    return rates[int(0.025 * DRAWS)], rates[int(0.975 * DRAWS)]


def codes_used(results: Sequence[dict]) -> dict:
    """How many codes the utterances have and how many of them are distinct."""
    codes = [code for result in results for code in result.get("codes", ())]
    return {"tokens": len(codes), "distinct": len(set(codes))}


def markdown(summary: dict) -> str:
    """The table as Markdown: corpus WER with its interval, mean WER, and the other figures where measured."""
    names = {"sim_recording": "SIM to recording", "sim_prompt": "SIM to prompt", "mos": "DistillMOS"}
    shown = [name for name in FIGURES if any(name in row for row in summary["rows"])]
    heads = [
        "source",
        "condition",
        "utterances",
        "WER %",
        "95 %",
        "mean WER %",
        *(names[name] for name in shown),
    ]
    table = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(heads)]
    for row in summary["rows"]:
        low, high = (f"{100 * bound:.1f}" for bound in row["wer_95"])
        cells = [row["source"], row["condition"], str(row["utterances"]), f"{100 * row['wer']:.1f}"]
        cells += [f"{low} to {high}", f"{100 * row['wer_mean']:.1f}"]
        cells += [f"{row[name]:.2f}" if name in row else "" for name in shown]
        table.append("| " + " | ".join(cells) + " |")
    used = [
        f"{source}: {c['distinct']} of {c['tokens']}" for source, c in summary["codes"].items() if c["tokens"]
    ]
    return "\n".join([*table, "", "Distinct codes among tokens: " + "; ".join(used) + "."])
