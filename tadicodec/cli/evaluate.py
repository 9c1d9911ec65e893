"""Word errors, speaker similarity, naturalness and bits of a codec, beside recordings, vocoder and other codecs."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from contextlib import redirect_stdout
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tadicodec.cli import options
from tadicodec.cli.closing import on_terminal, say
from tadicodec.eval.systems.system import SYSTEMS

if TYPE_CHECKING:
    from tadicodec.eval.judges.panel import Judges
    from tadicodec.eval.run import Evaluation


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `tadicodec evaluate`."""
    parser.add_argument("input", metavar="IN", help="manifest, Seed-TTS meta file, or folder of audio with texts")
    parser.add_argument(
        "--system", choices=list(SYSTEMS), default="reconstruct", help="what is evaluated (reconstruct)"
    )
    parser.add_argument("--generated", metavar="DIR", help="waves to score (id.wav), for --system folder")
    parser.add_argument("--out", metavar="DIR", required=True, help="folder of results; a run that was stopped goes on")
    parser.add_argument("--overwrite", action="store_true", help="forget the results that DIR holds")
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object")
    add_choice(parser)
    add_judges(parser)
    options.add_model(parser)
    parser.add_argument("--steps", type=options.positive, metavar="N", help="steps of the decoder (the model's)")
    parser.add_argument("--guidance", type=options.scale, metavar="G", help="guidance scale (the model's)")
    parser.add_argument("--seeds", type=seeds, default=(0,), metavar="S,S", help="random seeds, with commas (0)")


def add_choice(parser: argparse.ArgumentParser) -> None:
    """Declare the options that say what is evaluated."""
    parser.add_argument("--split", type=names, default=(), metavar="S,S", help="splits of the manifest (all)")
    parser.add_argument("--limit", type=options.positive, metavar="N", help="utterances of each split and source (all)")
    parser.add_argument(
        "--conditions",
        type=names,
        metavar="C,C",
        help="text, own, none, unread, wrong10, wrong20, prompt; of --system speak: ar, masked, or folders or ids of "
        "models (all there are)",
    )
    parser.add_argument(
        "--baselines",
        type=names,
        metavar="B,B",
        help="codec2-450, codec2-700c, opus-6, encodec, encodec=ID_OR_FOLDER, or none (those whose tools are on PATH)",
    )


def add_judges(parser: argparse.ArgumentParser) -> None:
    """Declare the options that say who judges."""
    parser.add_argument(
        "--asr", metavar="A", required=True, help="Whisper: folder or Hugging Face id; openai/whisper-large-v3 is usual"
    )
    parser.add_argument(
        "--sv",
        metavar="V",
        help="speaker model: campplus, wavlm_large_finetune.pth, or folder or id of a WavLM (x-vector)",
    )
    parser.add_argument("--mos", metavar="U", help="opinion model: distillmos, dnsmos, or UTMOS22's weights")


def names(text: str) -> tuple[str, ...]:
    """A list with commas, as a tuple."""
    found = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not found:
        raise argparse.ArgumentTypeError("no name given")
    return found


def seeds(text: str) -> tuple[int, ...]:
    """Seeds with commas, as a tuple. Raises an error of argparse for anything else."""
    return tuple(dict.fromkeys(options.seed(part) for part in text.split(",")))


def run(args: argparse.Namespace) -> int:
    """Run `tadicodec evaluate`. Returns 0 when every utterance has its result, failures included: they are figures of
    the report. Raises InputError."""
    from tadicodec.eval.report.markdown import summary_lines
    from tadicodec.eval.report.report import make_report, write_report
    from tadicodec.eval.results import open_results
    from tadicodec.eval.run import run as run_jobs

    evaluation, settings, device = prepare(args)
    progress = on_terminal()
    with open_results(evaluation.out, settings, args.overwrite) as file:
        results = run_jobs(evaluation, file, progress)
        report = make_report(evaluation, results, header(args, evaluation, settings, device))
        write_report(evaluation, report)
    document = report.document()
    del document["utterances"]
    say(json.dumps(document) if args.json else summary_lines(report, str(evaluation.out)))
    return 0


def prepare(args: argparse.Namespace) -> tuple[Evaluation, dict[str, Any], str]:
    """What to run, the settings that its results depend on, and the device. Raises InputError."""
    import torch

    from tadicodec.cli.loading import load_codec
    from tadicodec.eval.run import Evaluation
    from tadicodec.eval.systems.baselines import load_baselines
    from tadicodec.eval.systems.system import RecordingRow, Setup, load_system
    from tadicodec.eval.utterances.cases import read_cases
    from tadicodec.eval.utterances.recordings import Recordings

    device = args.device or ("cuda" if torch.cuda.is_available() else "cpu")
    chosen, recordings = read_cases(args.input, args.split, args.limit), Recordings()
    setup = Setup(
        chosen=chosen,
        recordings=recordings,
        load_codec=lambda: load_codec(args),
        conditions=args.conditions,
        steps=args.steps,
        guidance=args.guidance,
        generated=args.generated,
    )
    system = load_system(args.system, setup)
    rows = system.rows()
    if chosen.recorded:
        baselines = () if args.baselines == ("none",) else args.baselines
        rows = [RecordingRow(recordings), *rows, *load_baselines(baselines, recordings, device)]
    judges = load_judges(args, device)
    settings = {"input": chosen.fingerprint, "system": args.system, "device": torch.device(device).type}
    settings |= judges.names() | system.settings()
    return Evaluation(chosen, rows, args.seeds, judges, recordings, Path(args.out)), settings, device


def load_judges(args: argparse.Namespace, device: str) -> Judges:
    """The models of --asr, --sv and --mos. Raises InputError."""
    from tadicodec.eval.judges.panel import Judges, load_embedder, load_mos, load_transcriber

    with redirect_stdout(sys.stderr):  # some packages announce themselves; --json is for machines
        return Judges(
            asr=load_transcriber(args.asr, device),
            sv=load_embedder(args.sv, device) if args.sv else None,
            mos=load_mos(args.mos, device) if args.mos else None,
        )


def header(args: argparse.Namespace, evaluation: Evaluation, settings: dict[str, Any], device: str) -> dict[str, str]:
    """What the report says of itself, in the order it is shown."""
    from tadicodec.eval.report.report import hardware, versions

    judges, chosen = evaluation.judges.names(), evaluation.chosen
    shown = {key: settings[key] for key in settings if key not in ("input", "system", "device", *judges)}
    return {
        "system": args.system + "".join(f", {key} {value}" for key, value in shown.items()),
        "ASR": judges["asr"] or "none",
        "speaker model": judges["sv"] or "none",
        "opinion model": judges["mos"] or "none",
        "input": f"{chosen.name} (content {chosen.fingerprint}), {len(chosen.cases)} utterances"
        + (f" of {', '.join(args.split)}" if args.split else ""),
        "seeds": ", ".join(map(str, evaluation.seeds)),
        "command": shlex.join(["tadicodec", *sys.argv[1:]]),
        "hardware": hardware(device),
        "versions": ", ".join(f"{name} {number}" for name, number in versions().items()),
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
    }
