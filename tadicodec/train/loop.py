"""The training loop: steps, precision, clipping, averaging, logging, checkpoints and exact resumption."""

from __future__ import annotations

import math
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from tadicodec.data.batches import BatchConfig, Position, batches_from, epoch_batches
from tadicodec.guards.fields import require_range
from tadicodec.model.convolution import Convolution
from tadicodec.outputs import only_writer
from tadicodec.train.board import Board
from tadicodec.train.prefetch import made_ahead
from tadicodec.train.schedules import OptimConfig, learning_rate
from tadicodec.train.state import TrainState
from tadicodec.train.task import Batch, Task

Collate = Callable[[list[int], torch.Generator], Batch]


@dataclass(frozen=True)
class LoopConfig:
    """How long a run trains, and how often it logs, validates and saves.

    Raises:
        InputError: a value out of range.
    """

    steps: int = 10000
    seed: int = 0
    ema: float = 0.999
    log_every: int = 50  # steps
    valid_every: int = 1000  # steps
    valid_batches: int = 16
    save_minutes: float = 5.0
    max_minutes: float = 0.0  # stop (with a checkpoint) after this long; 0: never
    compile: bool = False
    threads: int = 0  # that make batches ahead while the device computes; a CPU that computes has none to spare

    def __post_init__(self) -> None:
        require_range("loop", self, 1, math.inf, "steps", "log_every", "valid_every", "valid_batches")
        require_range("loop", self, 0, math.inf, "seed", "save_minutes", "max_minutes", "threads")
        require_range("loop", self, 0, 1, "ema")


@dataclass(frozen=True)
class Data:
    """A split: the clips' lengths in frames, how to make a batch of some of them, and how often each is heard in an
    epoch, on average (None: once)."""

    frames: list[int]
    collate: Collate
    hearings: list[float] | None = None


@dataclass(frozen=True)
class Prepared:
    """What a step takes: its batch, its random numbers from there on, and where the data order goes on."""

    batch: Batch
    generator: torch.Generator
    following: Position


class Trainer:
    """One run: a task, where it writes, and how it is trained."""

    def __init__(self, task: Task, out: Path, loop: LoopConfig, optim: OptimConfig, accelerator: Accelerator) -> None:
        self.task, self.out, self.loop, self.optim, self.accelerator = task, out, loop, optim, accelerator
        plain = dict(task.networks)
        optimizers = {name: self.optimizer(network) for name, network in plain.items()}
        average = deepcopy(plain[task.ema].state_dict())
        self.state = TrainState(plain, optimizers, average, processes=accelerator.num_processes)
        for name, network in plain.items():
            if loop.compile:
                compile_blocks(network)
            task.networks[name], optimizers[name] = accelerator.prepare(network, optimizers[name])
        self.average = {name: value.to(accelerator.device) for name, value in self.state.average.items()}
        self.state.average = self.average
        self.signalled = False

    def optimizer(self, network: torch.nn.Module) -> torch.optim.Optimizer:
        """AdamW; biases, gains and embeddings of one dimension are not decayed."""
        groups = [
            {"params": [p for p in network.parameters() if p.ndim >= 2], "weight_decay": self.optim.weight_decay},
            {"params": [p for p in network.parameters() if p.ndim < 2], "weight_decay": 0.0},
        ]
        return torch.optim.AdamW(groups, lr=self.optim.lr, betas=(self.optim.beta1, self.optim.beta2), fused=True)

    def run(self, train: Data, valid: Mapping[str, Data], batch: BatchConfig, progress: bool = False) -> TrainState:
        """Train up to the configured number of steps, from the newest checkpoint under `out` if there is one.

        The metrics of each `valid` split are logged under its name; pictures are of the first's first clip.

        Raises:
            InputError: another run is at it, the disk is full, or a checkpoint does not fit.
        """
        with self.alone():
            return self.run_alone(train, valid, batch, progress)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While the context is open, no other run writes `out`. The main process speaks for the others of its run."""
        with only_writer(self.out) if self.accelerator.is_main_process else nullcontext():
            yield

    def run_alone(self, train: Data, valid: Mapping[str, Data], batch: BatchConfig, progress: bool) -> TrainState:
        """`run`, once nobody else writes `out`."""
        if self.accelerator.is_main_process:
            clear_drafts(self.out)
        self.accelerator.wait_for_everyone()
        for fault in self.state.load_newest(self.out / "checkpoints"):
            if self.accelerator.is_main_process:
                print(f"tadicodec: {fault}; going on from step {self.state.step}", file=sys.stderr)
        began = last_save = time.monotonic()
        main = self.accelerator.is_main_process
        with Board(self.out, self.loop.steps, self.state.step, main=main, bar=progress) as board, stop_on_signals(self):
            for prepared in self.batches(train, batch):
                metrics = self.step(prepared)
                self.state.position = prepared.following
                self.report(board, metrics, valid, batch)
                now = time.monotonic()
                expired = bool(self.loop.max_minutes) and now - began > 60 * self.loop.max_minutes
                save, expired, self.state.interrupted = self.agree(
                    now - last_save > 60 * self.loop.save_minutes, expired
                )
                if expired or self.state.interrupted:
                    break
                if save:
                    self.save()
                    last_save = time.monotonic()
            self.save()
        return self.state

    def agree(self, save: bool, expired: bool) -> tuple[bool, bool, bool]:
        """Whether to save, to end, and whether a signal asks to: clocks of the main process, signals of any.

        All processes must do the same thing after the same step, or they wait for each other for ever.
        """
        main = self.accelerator.is_main_process
        wishes = (save and main, expired and main, self.signalled)
        if self.accelerator.num_processes == 1:
            return wishes
        votes = torch.tensor(wishes, dtype=torch.float32, device=self.accelerator.device)
        save, expired, signalled = (bool(vote) for vote in self.accelerator.reduce(votes, "sum"))
        return save, expired, signalled

    def batches(self, train: Data, config: BatchConfig) -> Iterator[Prepared]:
        """The batches of the steps that are left."""
        steps = range(self.state.step, self.loop.steps)
        order = batches_from(train.frames, config, self.state.position, train.hearings)

        def prepare(numbered: tuple[int, tuple[list[int], Position]]) -> Prepared:
            step, (indices, following) = numbered
            generator = self.generator(step)
            return Prepared(train.collate(indices, generator), generator, following)

        return made_ahead(prepare, zip(steps, order), self.loop.threads)

    def step(self, prepared: Prepared) -> dict[str, Tensor]:
        """Take one step with a prepared batch; returns its metrics."""
        torch.manual_seed(prepared.generator.initial_seed())  # dropout inside of networks knows no generator
        batch = self.to_device(prepared.batch, self.state.step)
        rate = learning_rate(self.state.step, self.loop.steps, self.optim)
        gathered: dict[str, Tensor] = {}
        losses = self.task.losses(batch, prepared.generator)
        while True:
            with self.accelerator.autocast():
                item = next(losses, None)
            if item is None:
                break
            name, loss, metrics = item
            gathered |= metrics
            gathered[f"norm/{name}"] = self.descend(name, loss, rate)
        self.state.step += 1
        self.update_average()
        return gathered

    def descend(self, name: str, loss: Tensor, rate: float) -> Tensor:
        """One optimiser step of one network; returns its gradient norm before clipping."""
        optimizer, network = self.state.optimizers[name], self.task.networks[name]
        optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        norm = self.accelerator.clip_grad_norm_(network.parameters(), self.optim.clip)
        if torch.isfinite(norm):  # one bad batch must not end a run of days
            for group in optimizer.param_groups:
                group["lr"] = rate
            optimizer.step()
        return norm.detach()

    @torch.no_grad()
    def update_average(self) -> None:
        """Exponential moving average, with a shorter memory at first."""
        decay = min(self.loop.ema, (1 + self.state.step) / (10 + self.state.step))
        network = self.state.networks[self.task.ema]
        current, frozen = network.state_dict(), {n for n, p in network.named_parameters() if not p.requires_grad}
        # What does not learn stays as it is to the bit: an average would turn -0 into 0, and a hash sees that.
        floating = [name for name, value in self.average.items() if value.is_floating_point() and name not in frozen]
        torch._foreach_lerp_([self.average[n] for n in floating], [current[n] for n in floating], 1 - decay)

    def report(self, board: Board, metrics: dict[str, Tensor], valid: Mapping[str, Data], batch: BatchConfig) -> None:
        """Log what is due after a step: metrics, validation and pictures."""
        step = self.state.step
        board.advance(metrics)
        if step % self.loop.log_every == 0:
            board.scalars("train", {**metrics, "lr": learning_rate(step, self.loop.steps, self.optim)}, step)
        if valid and (step % self.loop.valid_every == 0 or step == self.loop.steps):
            for name, data in valid.items():
                board.scalars(name, self.validate(data, batch), step)
            board.images(self.picture(next(iter(valid.values()))), step)

    @torch.no_grad()
    def validate(self, valid: Data, batch: BatchConfig) -> dict[str, Tensor]:
        """Mean metrics of the averaged network over the first batches of the split, always with the same draws."""
        config = BatchConfig(batch.frames, seed=0, rank=batch.rank, world=batch.world)
        sums: dict[str, Tensor] = {}
        batches = epoch_batches(valid.frames, config, epoch=0)[: self.loop.valid_batches]
        with self.averaged():
            for number, indices in enumerate(batches):
                generator = self.generator(number)
                prepared = self.to_device(valid.collate(indices, generator), self.state.step)
                with self.accelerator.autocast():
                    for _, _, metrics in self.task.losses(prepared, generator):
                        for name, value in metrics.items():
                            sums[name] = sums.get(name, 0) + value / len(batches)
        return {name: self.accelerator.reduce(value, "mean") for name, value in sums.items()}

    @torch.no_grad()
    def picture(self, valid: Data) -> dict[str, Tensor]:
        """Pictures of the split's first clip, by the averaged network; none on other processes than the main one."""
        if not self.accelerator.is_main_process:
            return {}
        generator = self.generator(0)
        with self.averaged(), self.accelerator.autocast():
            return self.task.sample(self.to_device(valid.collate([0], generator), self.state.step), generator)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """While the context is open, the averaged network holds its moving average, and no network drops anything
        out."""
        network = self.state.networks[self.task.ema]
        kept = {name: value.clone() for name, value in network.state_dict().items()}
        network.load_state_dict(self.average)
        modes = {module: module.training for module in self.task.networks.values()}
        try:
            for module in modes:
                module.eval()
            yield
        finally:
            network.load_state_dict(kept)
            for module, mode in modes.items():
                module.train(mode)

    def save(self) -> None:
        """Write a checkpoint and the model."""
        self.accelerator.wait_for_everyone()
        if self.accelerator.is_main_process:
            self.state.save(self.out / "checkpoints")
            with self.averaged():
                self.task.export(self.state.networks[self.task.ema], self.out / "model")
        self.accelerator.wait_for_everyone()

    def generator(self, step: int) -> torch.Generator:
        """The source of the random numbers of one step on one process."""
        words = (self.loop.seed, step, self.accelerator.process_index)
        return torch.Generator().manual_seed(int(np.random.SeedSequence(words).generate_state(1)[0]))

    def to_device(self, batch: Batch, step: int) -> Batch:
        """A batch on the run's device, with the number of the step and the moving average."""
        device = self.accelerator.device
        moved: dict[str, Any] = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in batch.items()}
        return {**moved, "step": step, "average": self.average}


def compile_blocks(network: torch.nn.Module) -> None:
    """Compile repeated blocks in place; names in the state_dict stay.

    One compilation serves all blocks of a kind: measured here, it takes 30 s where compiling the whole network takes
    four minutes, for the same speed.
    """
    # Kinds of block x with or without gradients x batches of one x masks: more variants than torch's default of 8.
    torch._dynamo.config.recompile_limit = max(64, torch._dynamo.config.recompile_limit)
    for module in network.modules():
        if isinstance(module, Convolution):  # the processor's own convolution is compiled once a length, not once
            module.along_time = torch.compiler.disable(module.along_time)  # type: ignore[method-assign]
        if isinstance(module, torch.nn.ModuleList):
            for block in module:
                block.compile(dynamic=True)


@contextmanager
def stop_on_signals(trainer: Trainer) -> Iterator[None]:
    """While the context is open, SIGTERM and Ctrl-C finish the step and write a checkpoint instead of losing
    minutes."""

    def stop(signum: int, frame: Any) -> None:
        trainer.signalled = True
        signal.signal(signum, before[signum])  # a second one ends the program at once

    before: dict[int, Any] = {}
    for number in (signal.SIGTERM, signal.SIGINT):
        before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def clear_drafts(out: Path) -> None:
    """Remove what a killed run left half-written."""
    for draft in [*out.glob("checkpoints/.step-*"), *out.glob(".model-*")]:
        shutil.rmtree(draft, ignore_errors=True)
