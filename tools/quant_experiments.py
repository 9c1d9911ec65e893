"""The small experiment of each quantization method: its paper's central claim on a codec and prepared speech.

    python tools/quant_experiments.py EXPERIMENT --data FEATURES --out RESULTS [--model M] [--steps N] [--seeds 3]

EXPERIMENT is glm, lr_qat, stores (what LR-QAT keeps of a weight), l4q, intervention, zero_qat, zero_rates, roste,
stability (GLM-130B's stabilisers), deployment, or all.
Results are `RESULTS/NAME.json`, one row an arm and seed, and a plot beside it. `val` is the imitation loss (squared
error over variance, averaged over the compared outputs) on the split "valid" with fixed noise.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from quant_arms import (
    STORES,
    Arm,
    Row,
    Setting,
    add_side_branches,
    block_layers,
    correlations,
    freeze_as,
    full_training,
    merge_side_branches,
    round_whole,
    spiked,
    timed,
    train_side_branches,
)
from quant_stability import stability

from tadicodec.codec import Codec
from tadicodec.data.features import Features
from tadicodec.integers.onnx_linear import use_onnxruntime
from tadicodec.outputs import write_bytes
from tadicodec.quant import zero_qat
from tadicodec.quant.codec_quantizer import quantize_codec, sizes
from tadicodec.quant.conversion import convert, each_trained, prepare
from tadicodec.quant.intervention import Interventions
from tadicodec.quant.job import Job
from tadicodec.quant.tune import Backward, Forward


def glm(setting: Setting) -> Iterator[Row]:
    """Rounding to nearest at 8, 4 and 3 bits: one scale a matrix, a row, or a group."""
    for bits in (8, 4, 3):
        whole = Arm(setting, setting.job("glm", bits))
        round_whole(whole.model, bits)
        yield {"arm": f"{bits} bits, matrix", "val": whole.val()}
        for group in (0, 128, 32):
            fits = all(
                not group or layer.in_features % group == 0 for layer in block_layers(setting.codec.model).values()
            )
            if fits:
                arm = Arm(setting, setting.job("glm", bits, group=group)).prepare()
                yield {"arm": f"{bits} bits, " + (f"g{group}" if group else "row"), "val": arm.val()}


RATES = (3e-4, 1e-3, 3e-3, 1e-2)  # of LR-QAT's corrections; full training's weights learn at a tenth of each


def lr_qat(setting: Setting) -> Iterator[Row]:
    """Quality and memory against full training with learned scales (LSQ), with and without checkpoints; each arm at
    four rates. The merged integers are those trained."""
    for bits in (4, 3):
        yield {"arm": f"{bits} bits, nearest", "val": Arm(setting, setting.job("glm", bits)).prepare().val()}
        searched = Arm(setting, setting.job("lr_qat", bits, rank=1)).prepare()
        yield {"arm": f"{bits} bits, nearest, searched scales", "val": searched.val()}
        for rate in RATES:
            for name, checkpoints in (("LSQ", False), ("LSQ, checkpoints", True)):
                tuning = {"lr": rate / 10, "scale_lr": 1e-5}
                full = full_training(Arm(setting, setting.job("lr_qat", bits, tuning=tuning)), checkpoints)
                row = {"arm": f"{bits} bits, {name}, rate {rate / 10:g}", "bytes": full.bytes()}
                yield {**row, "val": None if checkpoints else full.train()[-1][1]}  # the same numbers, less memory
            for rank in (1, 8, 32):
                tuning = {"lr": rate, "scale_lr": 1e-5}
                arm = Arm(setting, setting.job("lr_qat", bits, rank=rank, tuning=tuning)).prepare()
                row = {"arm": f"{bits} bits, rank {rank}, rate {rate:g}", "bytes": arm.bytes()}
                yield {**row, "val": arm.train()[-1][1], "largest_difference_after_merging": merging_error(arm)}


def merging_error(arm: Arm) -> float:
    """The largest difference between the integers that were trained and those of the converted network."""
    trained = [layer.integers().levels.clone() for layer in each_trained(arm.model)]
    names = [name for name, module in arm.model.named_modules() if hasattr(module, "integers")]
    convert(arm.model)
    merged = [arm.model.get_submodule(name).levels() for name in names]
    return max(float((a - b).abs().max()) for a, b in zip(trained, merged, strict=True))


def stores(setting: Setting) -> Iterator[Row]:
    """Why LR-QAT's byte trains better than its float: clipping to the grid, or weights that a byte puts on x.5?"""
    tuning = {"lr": 1e-3, "scale_lr": 1e-5}
    for name in STORES:
        arm = Arm(setting, setting.job("lr_qat", 3, rank=8, store="float", tuning=tuning)).prepare()
        ties = freeze_as(arm, name)
        start, *_, last = arm.train()
        yield {"arm": name, "ties": ties, "start": start[1], "val": last[1]}
    for store in ("fixed", "integer"):
        arm = Arm(setting, setting.job("lr_qat", 3, rank=8, store=store, tuning=tuning)).prepare()
        start, *_, last = arm.train()
        yield {"arm": f"store: {store}", "start": start[1], "val": last[1]}


def l4q(setting: Setting) -> Iterator[Row]:
    """Joint training against rounding first and training a branch then, at the same rank; all imitate the float
    network, so nothing is adapted to another domain as in the paper."""
    tuning = {"lr": 5e-4, "scale_lr": 1e-5, "weight_decay": 0.01}
    for bits in (4, 3):
        yield {"arm": f"{bits} bits, nearest", "val": Arm(setting, setting.job("glm", bits, group=32)).prepare().val()}
        unmerged = Arm(setting, setting.job("l4q", bits, group=32, rank=4, tuning=tuning))
        prepare(unmerged.model, setting.job("glm", bits, group=32).model, unmerged.generator)
        side = add_side_branches(unmerged.model, 4, unmerged.generator)
        train_side_branches(unmerged, side)
        yield {"arm": f"{bits} bits, nearest then LoRA, unmerged", "val": unmerged.val()}
        merged = merge_side_branches(setting.codec.model, unmerged.model)
        again = Arm(setting, setting.job("glm", bits, group=32), merged).prepare()
        yield {"arm": f"{bits} bits, the same merged and rounded again", "val": again.val()}
        arm = Arm(setting, setting.job("l4q", bits, group=32, rank=4, tuning=tuning)).prepare()
        yield {"arm": f"{bits} bits, L4Q", "bytes": arm.bytes(), "val": arm.train()[-1][1]}


def intervention(setting: Setting) -> Iterator[Row]:
    """Ternary weights, 8-bit activations: steps to a validation loss with and without the teacher's signals."""
    changes = {"activation": {"bits": 8, "symmetric": True}, "group": 32}
    share = max(setting.steps * 3 // 20, 1)
    for name, intervene, mode in (
        ("imitation only", 0, "gradual"),
        ("gradual", share, "gradual"),
        ("output", share, "output"),
        ("map", share, "map"),
    ):
        tuning = {"lr": 3e-4, "intervene": intervene, "mode": mode}
        arm = Arm(setting, setting.job("teacher_intervention", 2, tuning=tuning, **changes)).prepare()
        with Interventions(arm.model, arm.lessons.teacher) as interventions:
            curve = arm.train(max(setting.steps // 10, 1), interventions)
        yield {"arm": name, "curve": curve, "val": curve[-1][1]}


def zero(setting: Setting) -> Iterator[Row]:
    """W4A4 from losses alone against backward passes, with and without common random numbers, by evaluations."""
    changes = {"activation": {"bits": 4}}
    for variant in ("scales", "light", "full"):
        tuning = {"lr": 3e-2}
        arm = Arm(setting, setting.job("zero_qat", 4, variant=variant, tuning=tuning, **changes)).prepare()
        yield {
            "arm": f"losses only, {variant}",
            "correlation": correlations(arm, min(24, max(setting.steps, 3))),
            "bytes": arm.bytes(backward=False),
            "evaluations": 2 * setting.steps,
            "val": arm.train()[-1][1],
        }
    for name, fixed in (("common random numbers", True), ("fresh random numbers", False)):
        arm = Arm(setting, setting.job("zero_qat", 4, variant="scales", tuning={"lr": 3e-2}, **changes)).prepare()
        stepper, objectives = Forward(arm.model, arm.job.tune, arm.generator), arm.lessons.objectives()
        for step in range(setting.steps):
            objective = next(objectives)
            stepper.step(step, objective if fixed else lambda: next(objectives)())  # noqa: B023
        yield {"arm": f"losses only, scales, {name}", "evaluations": stepper.optimizer.evaluations, "val": arm.val()}
    arm = Arm(setting, setting.job("zero_qat", 4, variant="scales", tuning={"lr": 1e-3, "scale_lr": 1e-3}, **changes))
    arm.prepare()
    yield {"arm": "before training", "val": arm.val()}
    stepper, objectives = Backward(arm.model, arm.job.tune, 0, setting.steps), arm.lessons.objectives()
    for step in range(setting.steps):
        stepper.step(step, next(objectives))
    yield {"arm": "backward passes", "bytes": arm.bytes(), "evaluations": setting.steps, "val": arm.val()}


def zero_rates(setting: Setting) -> Iterator[Row]:
    """W4A4 scales and smoothing from losses alone, at four rates, and how far they moved."""
    changes = {"activation": {"bits": 4}, "variant": "scales"}
    yield {"arm": "before training", "val": Arm(setting, setting.job("zero_qat", 4, **changes)).prepare().val()}
    for rate in (0.01, 0.03, 0.1, 0.3):
        arm = Arm(setting, setting.job("zero_qat", 4, tuning={"lr": rate}, **changes)).prepare()
        parameters = [p for layer in each_trained(arm.model) for p in layer.scales()]
        before = torch.cat([p.detach().flatten() for p in parameters])
        row = {"arm": f"rate {rate:g}", "evaluations": 2 * setting.steps, "val": arm.train()[-1][1]}
        moved = torch.cat([p.detach().flatten() for p in parameters]) - before
        yield {**row, "moved_in_perturbations": float(moved.square().mean().sqrt()) / zero_qat.LOG_STEP}


def roste(setting: Setting) -> Iterator[Row]:
    """W4A4: error and loss, before and after training, where all, none or the better layers are rotated."""
    for name, model in (("natural", None), ("spiked (constructed)", spiked(setting.codec.model))):
        for rotation in ("none", "all", "adaptive"):
            activation = {"bits": 4, "clip": 0.95, "floor": True}
            changes = {"activation": activation, "rotation": rotation, "tuning": {"lr": 1e-4}}
            arm = Arm(setting, setting.job("roste", 4, **changes), model)
            inputs = arm.lessons.layer_inputs()
            prepare(arm.model, arm.job.model, arm.generator, inputs)
            layers = {n: m for n, m in arm.model.named_modules() if hasattr(m, "error")}
            errors = [float(layer.error(inputs[n])) for n, layer in layers.items() if n in inputs]
            turned = sum(layer.signs is not None for layer in layers.values())
            start, *_, last = arm.train()
            row = {"arm": f"{name}, {rotation}", "error": sum(errors) / len(errors), "rotated": turned}
            yield {**row, "layers": len(layers), "start": start[1], "val": last[1]}


def deployment(setting: Setting) -> Iterator[Row]:
    """Size, time of a decode and agreement of codes with the float encoder, for a table of settings."""
    mels = [torch.from_numpy(setting.valid.mel(clip))[None] for clip in setting.valid.clips[:8]]
    codes = [setting.codec.model.encode(mel) for mel in mels]
    yield {"arm": "float32", **timed(setting.codec, codes)}
    yield {"arm": "bfloat16", **timed(copy.deepcopy(setting.codec).to("cpu", torch.bfloat16), codes)}
    for bits, group in ((8, 0), (4, 32)):
        job = Job.from_sections({"quantization": {"bits": bits, "group": group}})
        result = quantize_codec(setting.codec, job)
        same = [float((result.model.encode(mel) == code).float().mean()) for mel, code in zip(mels, codes, strict=True)]
        row = {"share": sizes(setting.codec, result, job)["model"]["share"], "agreement": sum(same) / len(same)}
        yield {"arm": f"glm {bits} bits, torch", **row, **timed(result, codes)}
        use_onnxruntime(result.model)
        yield {"arm": f"glm {bits} bits, ONNX Runtime", **row, **timed(result, codes)}


EXPERIMENTS: dict[str, Callable[[Setting], Iterator[Row]]] = {
    "glm": glm,
    "lr_qat": lr_qat,
    "l4q": l4q,
    "intervention": intervention,
    "stores": stores,
    "zero_qat": zero,
    "zero_rates": zero_rates,
    "roste": roste,
    "stability": stability,
    "deployment": deployment,
}


def plot(rows: list[Row], path: Path) -> None:
    """Validation loss against step where there are curves, else a bar an arm."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    value = "val" if "val" in rows[0] else "seconds"
    if all("curve" in row for row in rows):
        for row in rows:
            axes.plot(*zip(*row["curve"]), label=f"{row['arm']}, seed {row['seed']}", linewidth=1)
        axes.set(xlabel="step", ylabel="validation loss", yscale="log")
        axes.legend(fontsize=6)
    else:
        axes.barh([f"{row['arm']} ({row['seed']})" for row in rows], [row[value] or 0 for row in rows])
        axes.set(xlabel="validation loss" if value == "val" else value, xscale="log")
        axes.tick_params(labelsize=6)
        axes.invert_yaxis()
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", choices=[*EXPERIMENTS, "all"])
    parser.add_argument("--model", default=None, help="model folder or id (default: the bundled one)")
    parser.add_argument("--data", required=True, help="folder made by `tadicodec prepare`")
    parser.add_argument("--out", required=True, help="folder for the results")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--frames", type=int, default=1200, help="of speech a step and a validation batch (1200)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args(arguments)
    codec = Codec.from_pretrained(args.model, device=args.device)
    splits = [Features(args.data, split, max_frames=min(800, args.frames)) for split in ("train", "valid")]
    for name in EXPERIMENTS if args.experiment == "all" else [args.experiment]:
        rows = []
        for seed in range(args.seeds):
            for row in EXPERIMENTS[name](Setting(codec, *splits, args.steps, args.frames, seed)):
                rows.append({"seed": seed, **row})
                print(json.dumps(rows[-1]), flush=True)
        folder = Path(args.out)
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / f"{name}.json", (json.dumps(rows, indent=1) + "\n").encode(), overwrite=True)
        plot(rows, folder / f"{name}.png")


if __name__ == "__main__":
    main()
