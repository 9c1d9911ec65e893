"""Where a run's numbers and pictures go: log.jsonl, curves.png, TensorBoard (where it is installed), and the progress
bar."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from torch import Tensor

from tadicodec.outputs import whole_file, write_bytes, writing
from tadicodec.train.state import ROOM


class Board:
    """The logs of one run; only the main process has any."""

    def __init__(self, out: Path, steps: int, step: int, *, main: bool, bar: bool) -> None:
        from tqdm import tqdm

        self.main, self.writer, self.log = main, None, None
        self.bar = tqdm(total=steps, initial=step, unit="step", disable=not (main and bar))
        self.began = time.time()
        self.out = out
        if main:
            with writing(out / "log.jsonl", ROOM):
                out.mkdir(parents=True, exist_ok=True)
                self.log = reopen(out / "log.jsonl", step)
            with writing(out / "tensorboard", ROOM):
                self.writer = tensorboard(out, step)

    def __enter__(self) -> Board:
        return self

    def __exit__(self, *_: Any) -> None:
        self.bar.close()
        if self.log is not None:
            self.curves()
        for file in (self.log, self.writer):
            if file is not None:
                with suppress(OSError):  # what a full disk did not take has been said where it was written
                    file.close()

    def advance(self, metrics: dict[str, Tensor]) -> None:
        """Move the progress bar by a step and show some of the metrics beside it."""
        self.bar.update()
        if not self.bar.disable and self.bar.n % 10 == 0:
            self.bar.set_postfix({name: f"{float(value):.3f}" for name, value in metrics.items() if "/" not in name})

    def scalars(self, kind: str, values: Mapping[str, Tensor | float], step: int) -> None:
        """Log numbers of a kind ("train" or "valid") at a step. Raises InputError when they cannot be written."""
        if self.log is None:
            return
        numbers = {name: round(float(value), 6) for name, value in values.items()}
        row = {"kind": kind, "step": step, "seconds": round(time.time() - self.began, 1), **numbers}
        with writing(self.out / "log.jsonl", ROOM):
            self.log.write(json.dumps(row) + "\n")
            self.log.flush()
        with writing(self.out / "tensorboard", ROOM):
            if self.writer is not None:
                for name, value in numbers.items():
                    self.writer.add_scalar(f"{kind}/{name}", value, step)
        if kind == "valid":
            self.curves()

    def curves(self) -> None:
        """Draw the log so far into a picture beside it, if matplotlib is installed. A failure to draw does not stop the
        run."""
        from tadicodec.errors import InputError
        from tadicodec.pipeline.plots import png
        from tadicodec.train.curves import draw_curves

        with suppress(InputError, OSError):
            write_bytes(self.out / "curves.png", png(draw_curves(self.out / "log.jsonl")), overwrite=True)

    def images(self, pictures: dict[str, Tensor], step: int) -> None:
        """Log mels [bins, frames] by name, with low frequencies at the bottom."""
        if self.writer is None:
            return
        for name, mel in pictures.items():
            mel = mel.float().cpu().flip(0)
            scaled = (mel - mel.min()) / (mel.max() - mel.min()).clamp(min=1e-6)
            with writing(self.out / "tensorboard", ROOM):
                self.writer.add_image(name, scaled[None], step)
        with writing(self.out / "tensorboard", ROOM):
            self.writer.flush()


def reopen(path: Path, step: int) -> TextIO:
    """Open a log to go on, without what a killed run wrote after its last checkpoint: those steps are taken again."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    kept = [line for line in lines if step_of(line) <= step]
    with whole_file(path) as file:
        file.write("".join(line + "\n" for line in kept).encode())
    return path.open("a", encoding="utf-8")


def step_of(line: str) -> float:
    """The step of a line of the log; infinite for a line that was cut."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return math.inf


def tensorboard(out: Path, step: int) -> Any | None:
    """A writer for TensorBoard; None where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except (ImportError, OSError):
        return None
    return SummaryWriter(str(out / "tensorboard"), purge_step=step + 1)
