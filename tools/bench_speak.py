"""Tokens a second and real-time factor of speaking, the language model and the codec apart.

    python tools/bench_speak.py --prompt samples/austen_2.flac                       # every bundled engine
    python tools/bench_speak.py --prompt voice.wav --tts-model runs/tts_ar/model --json bench_speak.json

The prompt's text is the .txt beside it. Each engine says the text once to warm up; figures are medians of the repeats,
on as many threads as torch is given (OMP_NUM_THREADS).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import torch

from tadicodec.audio.files import read_audio
from tadicodec.cli.transcripts import sidecar_text
from tadicodec.codec import Codec
from tadicodec.errors import InputError
from tadicodec.eval.speak import bundled, load_speaker
from tadicodec.speech import Prompt
from tadicodec.tts.synthesize import Options, Speaker

TEXT = "It was a bright morning, and the whole family had come down to the harbour to see the ships go out."
COLUMNS = ("engine", "tokens/s", "seconds spoken", "RTF language model", "RTF codec", "RTF total")


def once(speaker: Speaker, text: str, prompt: Prompt, options: Options, seed: int) -> tuple[float, float, int]:
    """Seconds of the language model, seconds of the codec, tokens."""
    generator = torch.Generator().manual_seed(seed)
    started = time.perf_counter()
    speeches = list(speaker.codes(text, prompt, options, generator))
    chosen = time.perf_counter()
    for speech in speeches:
        speaker.decode(speech, prompt, options, generator)
    tokens = sum(int(speech.lengths[0]) for speech in speeches)
    return chosen - started, time.perf_counter() - chosen, tokens


def measure(name: str, speaker: Speaker, prompt: Prompt, args: argparse.Namespace) -> dict[str, str | float]:
    options = Options(steps=args.steps)
    once(speaker, args.text, prompt, options, 0)
    runs = [once(speaker, args.text, prompt, options, seed) for seed in range(args.repeats)]
    rate = speaker.codec.token_rate
    figures = {
        "tokens/s": [tokens / model for model, _, tokens in runs],
        "seconds spoken": [tokens / rate for _, _, tokens in runs],
        "RTF language model": [model * rate / tokens for model, _, tokens in runs],
        "RTF codec": [codec * rate / tokens for _, codec, tokens in runs],
        "RTF total": [(model + codec) * rate / tokens for model, codec, tokens in runs],
    }
    return {"engine": name, **{key: round(statistics.median(values), 4) for key, values in figures.items()}}


def run(args: argparse.Namespace) -> int:
    codec = Codec.from_pretrained(args.model, args.device)
    names = args.tts_model or bundled()
    if not names:
        raise InputError("no speech language model is bundled; name one with --tts-model FOLDER")
    wave, sample_rate = read_audio(args.prompt)
    rows = []
    for name in names:
        speaker = load_speaker(name, codec)
        rows.append(measure(name, speaker, speaker.prompt(wave, sample_rate, sidecar_text(args.prompt)), args))
    print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS))
    for row in rows:
        print("| " + " | ".join(str(row[column]) for column in COLUMNS) + " |")
    if args.json:
        document = {"threads": torch.get_num_threads(), "device": args.device, "rows": rows}
        args.json.write_text(json.dumps(document, indent=1) + "\n")
    return 0


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompt", type=Path, required=True)
    parser.add_argument(
        "--tts-model", nargs="+", metavar="M", help="folders, ids, ar or masked (default: the bundled ones)"
    )
    parser.add_argument("--model", help="codec folder or id (default: the bundled one)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--text", default=TEXT)
    parser.add_argument("--steps", type=int, help="of the codec's decoder")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path)
    try:
        return run(parser.parse_args(arguments))
    except InputError as error:
        print(f"bench_speak: error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
