"""Seconds, real-time factor and peak memory of each stage, and how many times faster than the published code's way.

    python tools/bench/stages.py --out bench                       # the bundled model
    python tools/bench/stages.py --full --out bench-full           # the published full size, random weights
    python tools/bench/stages.py --model FOLDER --dtype bfloat16 --device cuda --compile --out bench-gpu

Stages are encode, decode, vocoder, both ends together, the first sound of a stream, and the bundled speech language
models (AR, masked) without the codec. Writes bench.json, bench.md (table) and bench.svg (plot). Every ratio is of two
times of this one run; the plain path is float32, step by step, two passes, a mask given, nothing kept between steps
(plain_path.py), and takes turns with ours. Runs each case once to warm up (compiling is never timed) and reports the
median of the others. With --thread-time, which is for one thread of a CPU, what else the machine does does not count.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from stage_report import Row, plot, table

if TYPE_CHECKING:
    import torch

    from tadicodec.codec import Codec

Call, Clock = Callable[[], object], Callable[[], float]
Stage = Callable[["Case"], Call]


@dataclass(frozen=True)
class Case:
    """One thing to time."""

    codec: Codec
    seconds: float
    batch: int
    steps: int
    guidance: float
    prompt_seconds: float

    @property
    def frames(self) -> int:
        return int(self.seconds * 6.25) * 8


def encode(case: Case) -> Callable[[], object]:
    """Wave to codes, as `Codec.encode` computes them: float32, no mask."""
    wave = noise(case.batch, case.frames * 480)
    return lambda: case.codec.encode(wave.numpy(), 24000, "")


def encode_plain(case: Case) -> Callable[[], object]:
    import torch
    from plain_path import unfused

    codec, wave = case.codec, noise(case.batch, case.frames * 480).to(case.codec.device)
    lengths = torch.full((case.batch,), case.frames, device=codec.device)

    def run() -> object:
        with unfused(codec.model):
            return codec.model.encode(codec.spectrogram(wave), lengths).cpu()

    return run


def decode(case: Case) -> Callable[[], object]:
    """Codes, text and prompt to mel."""
    given, solver = decoder_inputs(case), case.codec.limits.solver(case.steps, case.guidance)
    return lambda: case.codec.model.decode(solver=solver, **given).cpu()


def decode_plain(case: Case) -> Callable[[], object]:
    import plain_path

    given, solver = decoder_inputs(case), case.codec.limits.solver(case.steps, case.guidance)
    solver = replace(solver, method="euler", sway=0.0, guidance_from=0.0, guidance_to=1.0)
    return lambda: plain_path.decode(case.codec.model, solver=solver, **given).cpu()


def vocoder(case: Case) -> Callable[[], object]:
    """Mel to wave."""
    mel = noise(case.batch, case.frames, 128)
    return lambda: case.codec.vocode(mel)


def vocoder_plain(case: Case) -> Callable[[], object]:
    import torch
    from plain_path import highest

    mel = noise(case.batch, case.frames, 128).to(case.codec.device)
    lengths = torch.full((case.batch,), case.frames, device=mel.device)

    def run() -> object:
        with highest(case.codec.vocoder):
            return case.codec.vocoder(mel, lengths).cpu()

    return run


def whole(case: Case) -> Callable[[], object]:
    """Encode and decode, wave to wave, as a user calls it."""
    wave = list(noise(case.batch, case.frames * 480).numpy())
    return lambda: case.codec.reconstruct(wave, 24000, TEXT, steps=case.steps, guidance=case.guidance)


def first_sound(case: Case) -> Callable[[], object]:
    """The first wave of a stream once 1.44 s of codes are there, beside which their 1.44 s count too."""
    import torch

    from tadicodec.pipeline.streaming import Utterance, open_stream

    tokens = case.frames // 8
    codes = torch.arange(min(9, tokens)) % case.codec.config.autoencoder.codebook_size

    def run() -> object:
        solver = case.codec.limits.solver(case.steps, case.guidance)
        stream = open_stream(case.codec.renderer, Utterance(tokens, tokens * 3840, None, None), solver)
        return next(stream.feed(codes))

    return run


def speak(engine: str) -> Stage:
    """Text to codes in a prompt's voice, without the codec; 6.25 / RTF is its tokens a second."""

    def stage(case: Case) -> Callable[[], object]:
        from tadicodec.speech import Prompt
        from tadicodec.tts.synthesize import Options, Speaker

        speaker, given = Speaker.from_pretrained(engine=engine, codec=case.codec), decoder_inputs(case)
        held = int(given["prompt_lengths"][0]) // 8
        letters = TEXT * 3
        prompt = Prompt(
            given["prompt"][0, : held * 8].cpu(),
            given["codes"][0, :held].cpu(),
            letters[: int(15 * case.prompt_seconds)],
            case.codec.weights,
        )
        text = (f"{TEXT} " * (1 + int(15 * case.seconds) // len(TEXT)))[: int(15 * case.seconds)]
        return lambda: list(speaker.codes(text, prompt, Options(seconds=case.seconds)))

    return stage


# name -> (what it does, the plain path or None); add a stage here
STAGES: dict[str, tuple[Stage, Stage | None]] = {
    "encode": (encode, encode_plain),
    "decode": (decode, decode_plain),
    "vocoder": (vocoder, vocoder_plain),
    "encode + decode": (whole, None),
    "first sound": (first_sound, None),
    "AR": (speak("ar"), None),
    "masked": (speak("masked"), None),
}
SINGLE = {"first sound", "AR", "masked"}  # stages that know no batches
TEXT = "unless to be rather cold hearted and rather selfish is to be ill-disposed."


def noise(*shape: int) -> torch.Tensor:
    import torch

    return 0.1 * torch.randn(shape, generator=torch.Generator().manual_seed(0))


def decoder_inputs(case: Case) -> dict[str, torch.Tensor]:
    """Codes and noise with a prompt before them, and ids of a text of about 15 letters (or 4 word pieces) a second."""
    import torch

    codec, random = case.codec, torch.Generator().manual_seed(0)
    held = int(case.prompt_seconds * 6.25)
    tokens, shape = held + case.frames // 8, codec.config.autoencoder
    letters = int((case.seconds + case.prompt_seconds) * (15 if codec.config.text_tokenizer == "bytes" else 4))
    ids = torch.randint(0, shape.text_vocab_size, (case.batch, letters), generator=random)
    start = noise(case.batch, tokens * 8, shape.mel_dim)
    given = {
        "codes": torch.randint(0, shape.codebook_size, (case.batch, tokens), generator=random),
        "noise": start,
        "text_ids": ids,
        "prompt": start,
        "prompt_lengths": torch.full((case.batch,), held * 8),
    }
    return {name: value.to(codec.device) for name, value in given.items()}


def timed(calls: Sequence[Call], repeats: int, device: torch.device, clock: Clock) -> tuple[list[float], float]:
    """Median seconds of each call by a clock, and peak memory of the first in MB: allocated on a GPU, or of the process
    in this run on a CPU. Calls take turns, so that what else the machine does hits all."""
    import torch

    def once(call: Call) -> float:
        start = clock()
        with torch.inference_mode():
            call()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return clock() - start

    once(calls[0])
    reset_peak(device)
    once(calls[0])
    memory = peak(device)
    for call in calls[1:]:
        once(call)  # warm up
    rounds = [[once(call) for call in calls] for _ in range(repeats)]
    return [statistics.median(found) for found in zip(*rounds, strict=True)], memory


def reset_peak(device: torch.device) -> None:
    import torch

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    elif os.access("/proc/self/clear_refs", os.W_OK):
        Path("/proc/self/clear_refs").write_text("5")


def peak(device: torch.device) -> float:
    import torch

    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e6
    status = Path("/proc/self/status")
    if not status.exists():
        return float("nan")
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1e3


def load(args: argparse.Namespace) -> Codec:
    """The model asked for, in the precision asked for."""
    import torch

    from tadicodec.codec import Codec

    if not args.full:
        codec = Codec.from_pretrained(args.model, args.device, getattr(torch, args.dtype))
    else:
        codec = random_codec().to(args.device, getattr(torch, args.dtype))
    return codec.compile(**({"mode": args.compile} if args.compile != "default" else {})) if args.compile else codec


def random_codec() -> Codec:
    """The published full size with random weights: as fast as the trained one."""
    import torch

    from tadicodec.codec import Codec
    from tadicodec.config import CodecConfig
    from tadicodec.model.autoencoder import Autoencoder
    from tadicodec.model.vocoder import Vocoder
    from tadicodec.text.tokens import ByteTokenizer

    torch.manual_seed(0)
    config = CodecConfig(name="full size, random weights")
    return Codec(config, Autoencoder(config.autoencoder), Vocoder(config.vocoder), ByteTokenizer())


def measure(codec: Codec, args: argparse.Namespace) -> list[Row]:
    """Every stage at every length and batch; the plain path at batch 1 unless told otherwise."""
    from tadicodec.errors import InputError

    steps = args.steps or codec.config.inference.solver.steps
    guidance = codec.config.inference.solver.guidance if args.guidance is None else args.guidance
    rows = []
    for name in args.stages:
        own, plain = STAGES[name]
        for seconds in args.seconds:
            for batch in [1] if name in SINGLE else args.batch:
                case = Case(codec, seconds, batch, steps, guidance, args.prompt_seconds)
                try:
                    run = own(case)
                except InputError as error:  # a speech language model that is not there, or speaks other codes
                    print(f"{name}: left out: {error}", flush=True)
                    continue
                calls = [run]
                if plain is not None and (batch == 1 or args.plain_batches) and not args.no_plain:
                    calls.append(plain(case))
                clock = time.thread_time if args.thread_time else time.perf_counter
                (took, *before), memory = timed(calls, args.repeats, codec.device, clock)
                rows.append(Row(name, seconds, batch, took, took / (seconds * batch), memory, *before))
                print(rows[-1].line(), flush=True)
    return rows


def circumstances(codec: Codec, args: argparse.Namespace) -> dict[str, object]:
    """What the figures depend on."""
    import torch

    from tadicodec.model.flow import count_evaluations

    solver = codec.limits.solver(args.steps, args.guidance)
    device = torch.cuda.get_device_name(codec.device) if codec.device.type == "cuda" else processor()
    return {
        "model": codec.name,
        "parameters": codec.info()["parameters"],
        "device": device,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "dtype": str(codec.dtype).removeprefix("torch."),
        "compiled": args.compile or "no",
        "solver": asdict(solver),
        "network passes a decode": count_evaluations(solver),
        "prompt_seconds": args.prompt_seconds,
        "mel error against float32": mel_error(codec, args) if "decode" in args.stages else float("nan"),
    }


def mel_error(codec: Codec, args: argparse.Namespace) -> float:
    """Relative distance of a 3 s mel from that of the plain float32 path, same noise."""
    import plain_path
    import torch

    solver = replace(
        codec.limits.solver(args.steps, args.guidance), method="euler", sway=0.0, guidance_from=0, guidance_to=1
    )
    given = decoder_inputs(Case(codec, 3.0, 1, solver.steps, solver.guidance, args.prompt_seconds))
    held = int(given["prompt_lengths"][0])
    with torch.inference_mode():
        mine = codec.model.decode(solver=solver, **given)[:, held:]
        exact = plain_path.decode(codec.model, solver=solver, **given)[:, held:]
    return float((mine - exact).norm() / exact.norm())


def processor() -> str:
    info = Path("/proc/cpuinfo")
    names = [line for line in info.read_text().splitlines() if line.startswith("model name")] if info.exists() else []
    return names[0].split(":", 1)[1].strip() if names else platform.processor() or platform.machine()


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for bench.json, bench.md and bench.svg")
    parser.add_argument("--model", help="model folder or Hugging Face id (default: the bundled model)")
    parser.add_argument("--full", action="store_true", help="the published full size with random weights")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="float32")
    parser.add_argument("--compile", nargs="?", const="default", help="torch.compile, with a mode (reduce-overhead)")
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--seconds", nargs="+", type=float, default=[3.0, 10.0, 30.0])
    parser.add_argument("--batch", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--steps", type=int)
    parser.add_argument("--guidance", type=float)
    parser.add_argument("--prompt-seconds", type=float, default=3.0)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-plain", action="store_true", help="leave out the plain path, which is slow")
    parser.add_argument("--thread-time", action="store_true", help="count the calling thread's processor time")
    parser.add_argument("--plain-batches", action="store_true", help="time the plain path in batches too")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    from tadicodec.errors import InputError

    args = parse(arguments)
    try:
        codec = load(args)
    except InputError as error:
        print(f"stages: error: {error}", file=sys.stderr)
        return 2
    about = circumstances(codec, args)
    rows = measure(codec, args)
    args.out.mkdir(parents=True, exist_ok=True)
    document = {"about": about, "rows": [asdict(row) for row in rows]}
    (args.out / "bench.json").write_text(json.dumps(document, indent=1) + "\n")
    (args.out / "bench.md").write_text(table(about, rows))
    (args.out / "bench.svg").write_text(plot(about, rows))
    print(f"{args.out}: bench.json, bench.md, bench.svg")
    return 0


if __name__ == "__main__":
    sys.exit(main())
