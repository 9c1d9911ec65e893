"""The deployment table of a codec: size, time and memory by precision and backend, beside words and voice.

    python tools/bench/deployment.py corpus/manifest.jsonl deployment --split test_seen --limit 12 \
        --asr ~/.cache/tadicodec/whisper-base --sv campplus --mos distillmos

OUT holds the quantized models, an evaluation of each setting (`tadicodec evaluate`, which goes on where it stopped) and
the table. Times are processes of their own that encode and decode recordings of the manifest, in rounds of all
settings; each setting's fastest round counts, and its codes are compared with float32's. The recommended setting is
the fastest of those that are smaller than float32, faster than it, and whose intervals of word errors and likeness
overlap its own. Without --asr nothing is judged: there are sizes, times, memory and codes alone. Precisions other than
float32 are left out on a machine that is slower in bfloat16.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tadicodec.audio.files import read_audio
from tadicodec.checkpoint import find_model
from tadicodec.cli.loading import load_codec
from tadicodec.errors import InputError
from tadicodec.eval.report.report import hardware
from tadicodec.eval.utterances.cases import read_cases
from tadicodec.runtime.speed import faster_precision

MEASURE = "--measure"  # first argument of a process that measures
FIRST = "float32"


@dataclass(frozen=True)
class Setting:
    """A way to run a codec: bits of its stored weights (0: as they are), precision and backend. Where ONNX Runtime may
    decode, it may encode, too."""

    name: str
    bits: int = 0
    dtype: str = "float32"
    backend: str = "torch"

    def options(self, models: dict[int, str]) -> list[str]:
        """Options of a command that takes a model. models: by bits."""
        encoding = "torch" if self.backend == "torch" else "onnx"
        chosen = ["--dtype", self.dtype, "--backend", self.backend, "--encode-backend", encoding]
        return ["--model", models[self.bits], *chosen]


SETTINGS = (
    Setting(FIRST),
    Setting("bfloat16", dtype="bfloat16"),
    Setting("ONNX Runtime", backend="onnx"),
    Setting("ONNX Runtime in 8 bits", backend="onnx-int8"),
    Setting("stored in 8 bits", 8),
    Setting("stored in 8 bits, bfloat16", 8, dtype="bfloat16"),
    Setting("stored in 8 bits, ONNX Runtime in 8 bits", 8, backend="onnx-int8"),
    Setting("stored in 8 bits, faster precision, ONNX Runtime in 8 bits", 8, "auto", "onnx-int8"),
    Setting("stored in 4 bits", 4),
    Setting("stored in 4 bits, ONNX Runtime in 8 bits", 4, backend="onnx-int8"),
)


def settings_here() -> list[Setting]:
    """Those that this machine has a use for: others than float32 only where bfloat16 is faster."""
    slow = faster_precision() == torch.float32
    return [setting for setting in SETTINGS if not slow or setting.dtype == "float32"]


@dataclass(frozen=True)
class Row:
    """What is known of a setting: bytes on disk, seconds and bytes of memory that it takes, the codes [T] it makes of
    each recording, and its evaluation's row."""

    setting: Setting
    disk: int
    encode: float
    decode: float
    memory: int
    codes: list[list[int]]
    scores: dict[str, Any]

    def interval(self, name: str) -> dict[str, float]:
        """An estimate of the evaluation: "wer", "sim_original" or "mos"."""
        found: dict[str, float] = self.scores["whisper"]["wer"] if name == "wer" else self.scores[name]
        return found

    def judgements(self) -> tuple[str, str, str]:
        """Word errors and likeness with their intervals, and naturalness, as the table has them."""
        wer, sim, mos = (self.interval(kind) for kind in ("wer", "sim_original", "mos"))
        words = f"{100 * wer['value']:.1f} ({100 * wer['low']:.1f} to {100 * wer['high']:.1f})"
        return words, f"{sim['value']:.2f} ({sim['low']:.2f} to {sim['high']:.2f})", f"{mos['value']:.2f}"

    def agreement(self, other: Row) -> float:
        """The share of codes that are those of another setting, of the same recordings."""
        pairs = [
            pair for own, others in zip(self.codes, other.codes, strict=True) for pair in zip(own, others, strict=True)
        ]
        return sum(one == two for one, two in pairs) / len(pairs)


def quantized(model: str, out: Path) -> dict[int, str]:
    """The model, and its forms in 8 and 4 bits, by bits; made where they are not there yet."""
    models = {0: model}
    for bits in sorted({setting.bits for setting in SETTINGS} - {0}):
        models[bits] = str(out / f"bits-{bits}")
        if not Path(models[bits]).is_dir():
            command("-m", "tadicodec", "quantize", model, models[bits], "--bits", str(bits))
    return models


def command(*arguments: str) -> str:
    """What a process of Python with these arguments prints. Raises InputError with what it says where it fails."""
    found = subprocess.run([sys.executable, *arguments], capture_output=True, text=True)
    if found.returncode:
        raise InputError((found.stderr.strip().splitlines() or ["a command failed"])[-1])
    return found.stdout


def scores(setting: Setting, models: dict[int, str], args: argparse.Namespace) -> dict[str, Any]:
    """The row of a setting's evaluation with the words given; nothing where there is no judge of words."""
    if args.asr is None:
        return {}
    out = args.out / "scores" / setting.name.replace(" ", "-").replace(",", "")
    judges = [part for name in ("asr", "sv", "mos") for part in (f"--{name}", getattr(args, name))]
    chosen = ["--split", args.split, "--limit", str(args.limit), "--seeds", args.seeds]
    rest = ["--conditions", "text", "--baselines", "none", "--out", str(out)]
    command("-m", "tadicodec", "evaluate", str(args.manifest), *chosen, *rest, *judges, *setting.options(models))
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    row: dict[str, Any] = next(
        row for row in report["rows"] if row["row"] == report["main_row"] and row["group"] == "all"
    )
    return row


def times(settings: list[Setting], models: dict[int, str], args: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Seconds of encoding and decoding and bytes of memory, by setting: the least of all rounds of each; and codes,
    which are the same in each."""
    cases = read_cases(args.manifest, args.split.split(","), args.limit).cases
    waves = [str(case.audio) for case in cases if case.audio is not None][: args.recordings]
    best: dict[str, dict[str, Any]] = {}
    for _ in range(args.rounds):
        for setting in settings:
            found = json.loads(command(__file__, MEASURE, *setting.options(models), *waves))
            known = best.setdefault(setting.name, found)
            best[setting.name] = {name: min(value, known[name]) for name, value in found.items()}
    return best


def measure(arguments: list[str]) -> None:
    """Print what encoding and decoding recordings take in this process, once warm, and their codes."""
    parser = argparse.ArgumentParser()
    for option in ("--model", "--dtype", "--backend", "--encode-backend"):
        parser.add_argument(option)
    parser.add_argument("waves", nargs="+", type=Path)
    given = parser.parse_args(arguments)
    given.device = "cpu"
    codec = load_codec(given)
    recordings = [read_audio(path) for path in given.waves]
    encode = decode = 0.0
    codes: list[list[int]] = []
    for number, (wave, rate) in enumerate([recordings[0], *recordings]):
        moments = [time.perf_counter()]
        speech = codec.encode(wave, rate, text="")
        moments.append(time.perf_counter())
        codec.decode(speech)
        moments.append(time.perf_counter())
        if number:  # the first one warms up
            encode, decode = encode + moments[1] - moments[0], decode + moments[2] - moments[1]
            codes.append(speech.codes[0].tolist())
    memory = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"encode": encode, "decode": decode, "memory": memory, "codes": codes}))


def recommended(rows: list[Row]) -> Row | None:
    """The fastest setting that is smaller and faster than float32 and not told apart from it by words and voice."""
    first = next(row for row in rows if row.setting.name == FIRST)

    def alike(row: Row) -> bool:
        pairs = [(row.interval(name), first.interval(name)) for name in ("wer", "sim_original")]
        return all(one["low"] <= other["high"] and other["low"] <= one["high"] for one, other in pairs)

    good = [row for row in rows if row.disk < first.disk and row.decode < first.decode and alike(row)]
    return min(good, key=lambda row: row.decode, default=None)


def table(rows: list[Row]) -> str:
    """The rows in Markdown, times as ratios to float32's."""
    first = next(row for row in rows if row.setting.name == FIRST)
    judged = bool(first.scores)
    best = recommended(rows) if judged else None
    heads = ["", "on disk", "peak memory", "encoding, x float32", "decoding, x float32", "codes alike"]
    heads += ["WER %", "SIM", "MOS"] if judged else []
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in rows:
        cells = [
            f"**{row.setting.name}**" if row is best else row.setting.name,
            f"{row.disk / 1e6:.1f} MB",
            f"{row.memory / 1e6:.0f} MB",
            f"{first.encode / row.encode:.2f}",
            f"{first.decode / row.decode:.2f}",
            f"{100 * row.agreement(first):.1f} %",
            *(row.judgements() if judged else ()),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    if not judged:
        return "\n".join([*lines, "", f"{hardware('cpu')}."])
    chosen = "none: nothing is smaller, faster and alike" if best is None else best.setting.name
    return "\n".join([*lines, "", f"Recommended: {chosen}. {hardware('cpu')}."])


def main(given: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("manifest", type=Path)
    parser.add_argument("out", type=Path, help="folder of models, scores and the table")
    parser.add_argument("--model", default="bundled")
    parser.add_argument("--split", default="test_seen")
    parser.add_argument("--limit", type=int, default=12, help="utterances of each split and source (12)")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--recordings", type=int, default=12, help="that are timed (12)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--asr", help="recogniser's folder (none: nothing is judged)")
    parser.add_argument("--sv", default="campplus")
    parser.add_argument("--mos", default="distillmos")
    args = parser.parse_args(given)
    try:
        models = quantized(args.model, args.out)
        settings = settings_here()
        taken = times(settings, models, args)
        rows = []
        for setting in settings:
            disk = sum(file.stat().st_size for file in find_model(models[setting.bits]).rglob("*.safetensors"))
            rows.append(Row(setting, disk, scores=scores(setting, models, args), **taken[setting.name]))
        found = table(rows)
    except InputError as error:
        print(f"deployment: error: {error}", file=sys.stderr)
        return 2
    (args.out / "deployment.md").write_text(found + "\n", encoding="utf-8")
    print(found)
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == [MEASURE]:
        measure(sys.argv[2:])
        sys.exit(0)
    sys.exit(main())
