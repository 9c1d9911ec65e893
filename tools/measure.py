"""Measure a codec on a corpus: word errors, speaker similarity, naturalness, beside recordings and vocoder.

    python tools/measure.py bundled CORPUS/manifest.jsonl --split test_seen --limit 20 --sim --mos --out DIR

Word errors are Whisper base's, similarity is CAM++'s, naturalness DistillMOS's (tools/speech_models.py):
compare them only with figures of the same models. Resumable: DIR/utterances.jsonl keeps every transcript.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from corpus_check import word_errors
from corpus_plan import number
from measure_choice import CONDITIONS, Case, Settings, choose
from measure_report import markdown, summarise

if TYPE_CHECKING:
    from tadicodec.codec import Codec
    from tadicodec.speech import Prompt, Speech


class Judges:
    """The metric models that were asked for: 16 kHz wave [N] -> figures."""

    def __init__(self, cache: Path, threads: int, sim: bool, mos: bool) -> None:
        import speech_models

        self.whisper = speech_models.Whisper(cache, threads)
        self.voiceprint = speech_models.CamPlus() if sim else None
        self.mos = speech_models.DistillMos() if mos else None

    def __call__(self, wave: np.ndarray, case: Case, others: dict[str, np.ndarray]) -> dict:
        """Figures of one 24 kHz wave [N]; `others` are the waves its speaker is compared with, by name."""
        from speech_models import to_16k

        heard = to_16k(wave, 24000)
        hypothesis = self.whisper(heard)
        edits, words = word_errors(case.line["text"], hypothesis)
        figures = {"hypothesis": hypothesis, "edits": edits, "words": words}
        if self.voiceprint:
            mine = self.voiceprint(heard)
            for name, other in others.items():
                figures[f"sim_{name}"] = round(float(mine @ self.voiceprint(to_16k(other, 24000))), 4)
        if self.mos:
            figures["mos"] = round(self.mos(heard), 4)
        return figures


class Bench:
    """Runs a codec under each condition and has the result judged."""

    def __init__(self, codec: Codec, judges: Judges, settings: Settings, root: Path) -> None:
        self.codec, self.judges, self.settings, self.root = codec, judges, settings, root

    def measure(self, case: Case, done: set[tuple[str, str]]) -> list[dict]:
        """Results of one utterance under the conditions that are not `done`."""
        line = case.line
        conditions = [c for c in self.settings.conditions if (line["id"], c) not in done]
        if not case.prompt:
            conditions = [c for c in conditions if c != "text and prompt"]
        if not conditions:
            return []
        wave = self.wave(line)
        speech = self.codec.encode(wave, 24000, text=line["text"])
        others = {"recording": wave} | ({"prompt": self.wave(case.prompt)} if case.prompt else {})
        results = []
        for condition in conditions:
            made = self.render(condition, case, wave, speech)
            compared = {k: v for k, v in others.items() if condition != "recording" or k == "prompt"}
            result = {key: line[key] for key in ("id", "source", "speaker", "split", "text")}
            result |= {"condition": condition} | self.judges(made, case, compared)
            if condition == "recording":
                result["codes"] = speech.codes[0].tolist()
            results.append(result)
        return results

    def render(self, condition: str, case: Case, wave: np.ndarray, speech: Speech) -> np.ndarray:
        """The utterance [N] under one condition."""
        import torch

        if condition == "recording":
            return wave
        if condition == "vocoder":
            return as_wave(self.codec.vocode(self.codec.mel(torch.from_numpy(wave)[None])), len(wave))
        text = {"no text": "", "wrong text": case.wrong_text}.get(condition, case.line["text"])
        prompt = self.prompt(case) if condition == "text and prompt" else None
        # One noise for all conditions of an utterance: they differ in what is given, not in luck.
        generator = torch.Generator().manual_seed(number(self.settings.seed, case.line["id"]))
        made = self.codec.decode(
            replace(speech, text=(text,)),
            prompt,
            steps=self.settings.steps,
            guidance=self.settings.guidance,
            generator=generator,
        )
        return as_wave(made, len(wave))

    def prompt(self, case: Case) -> Prompt:
        """The prompt of a case, with its whole text."""
        return self.codec.prompt(self.wave(case.prompt), 24000, text=case.prompt["text"])

    def wave(self, line: dict) -> np.ndarray:
        """Audio [N] of a manifest line. Raises ValueError when it is not at 24 kHz."""
        import soundfile

        wave, rate = soundfile.read(self.root / line["audio"], dtype="float32")
        if rate != 24000:
            raise ValueError(f"{line['audio']} is at {rate} Hz: build the corpus with tools/make_corpus.py")
        return wave


def as_wave(batch: Any, samples: int) -> np.ndarray:
    """[1, N'] tensor -> [samples] array, cut or padded with zeros, no louder than full scale."""
    wave = np.clip(batch.detach().cpu().float().numpy().reshape(-1)[:samples], -1, 1)
    return np.pad(wave, (0, samples - len(wave)))


def open_folder(out: Path, settings: Settings) -> list[dict]:
    """Results that DIR already holds. Raises ValueError when they were measured with other settings."""
    out.mkdir(parents=True, exist_ok=True)
    mine = json.loads(json.dumps(asdict(settings)))
    path = out / "settings.json"
    if path.exists():
        theirs = json.loads(path.read_text())
        free = ("limit", "conditions", "manifest")  # these only add results
        if changed := [key for key in mine if key not in free and theirs.get(key) != mine[key]]:
            raise ValueError(f"{out} holds results with another {', '.join(changed)}: choose another --out")
    path.write_text(json.dumps(mine, indent=1) + "\n")
    results = out / "utterances.jsonl"
    return [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []


def run(bench: Bench, cases: Sequence[Case], out: Path) -> list[dict]:
    """Measure what DIR does not hold yet; returns the results of these cases."""
    results = open_folder(out, bench.settings)
    done = {(result["id"], result["condition"]) for result in results}
    with (out / "utterances.jsonl").open("a", encoding="utf-8") as record:
        for place, case in enumerate(cases, start=1):
            for result in bench.measure(case, done):
                record.write(json.dumps(result, ensure_ascii=False) + "\n")
                results.append(result)
            record.flush()
            print(f"\r{place}/{len(cases)}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    wanted = {case.line["id"] for case in cases}
    return [r for r in results if r["id"] in wanted and r["condition"] in bench.settings.conditions]


def parse() -> argparse.Namespace:
    """The command line."""
    from speech_packages import default_cache

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="model folder, hub id, or `bundled`")
    parser.add_argument("manifest", type=Path, help="manifest.jsonl of tools/make_corpus.py")
    parser.add_argument("--split", default="test_seen", help="one or more, with commas")
    parser.add_argument("--limit", type=int, default=20, help="utterances of each source")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="solver steps (default: the model's)")
    parser.add_argument("--guidance", type=float, help="guidance scale (default: the model's)")
    parser.add_argument(
        "--prompt", choices=("none", "other"), default="other", help="other: another utterance of the speaker"
    )
    parser.add_argument("--conditions", default=",".join(CONDITIONS), help="default: %(default)s")
    parser.add_argument("--sim", action="store_true", help="speaker similarity")
    parser.add_argument("--mos", action="store_true", help="predicted naturalness")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--cache", type=Path, default=default_cache(), help="where metric models are assembled"
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of results")
    return parser.parse_args()


def settings_of(arguments: argparse.Namespace, codec: Codec) -> Settings:
    """Settings from the command line. Raises ValueError for an unknown condition."""
    from tadicodec.checkpoint import content_hash

    conditions = tuple(arguments.conditions.split(","))
    if unknown := set(conditions) - set(CONDITIONS):
        raise ValueError(
            f"unknown condition {', '.join(sorted(unknown))}: choose from {', '.join(CONDITIONS)}"
        )
    if arguments.prompt == "none":
        conditions = tuple(c for c in conditions if c != "text and prompt")
    return Settings(
        model=codec.name,
        weights="-".join(content_hash(module, ("",)) for module in (codec.model, codec.vocoder)),
        manifest=arguments.manifest.name,
        splits=tuple(arguments.split.split(",")),
        limit=arguments.limit,
        seed=arguments.seed,
        steps=arguments.steps,
        guidance=arguments.guidance,
        prompt=arguments.prompt,
        conditions=conditions,
    )


def main() -> None:
    """Measure, write DIR/measure.json and print the table."""
    arguments = parse()
    import torch

    from tadicodec import Codec

    torch.set_num_threads(arguments.threads)
    try:
        codec = Codec.from_pretrained(
            None if arguments.model == "bundled" else arguments.model, arguments.device
        )
        settings = settings_of(arguments, codec)
        lines = [json.loads(line) for line in arguments.manifest.read_text(encoding="utf-8").splitlines()]
        cases = choose(lines, settings)
        judges = Judges(arguments.cache, arguments.threads, arguments.sim, arguments.mos)
        results = run(Bench(codec, judges, settings, arguments.manifest.parent), cases, arguments.out)
    except (ImportError, OSError, ValueError) as error:
        sys.exit(f"measure: error: {error}")
    summary = summarise(results, settings.conditions)
    document = {"settings": asdict(settings), **summary, "utterances": results}
    (arguments.out / "measure.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    print(markdown(summary))


if __name__ == "__main__":
    main()
