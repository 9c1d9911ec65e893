"""Language models for quantization experiments: a deep one of bytes, trained here, and the bundled one of codes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from quant_subjects import CALIBRATION, Subject
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from tadicodec.codec import Codec
from tadicodec.data.collate import pad
from tadicodec.data.features import Clip, Features
from tadicodec.data.shard_writer import text_starts
from tadicodec.errors import InputError
from tadicodec.integers.layout import linear_layers
from tadicodec.quant.observe import collect_inputs
from tadicodec.quant.tune import Objective
from tadicodec.train.ar_task import ArLearner, ArObjective
from tadicodec.tts.autoregressive import SpeechLM
from tadicodec.tts.folder import find_tts_model, load_tts
from tadicodec.tts.llama import Llama, LlamaShape

SHAPE = LlamaShape(64, 192, 12, 4, 4)
LENGTH, LINES = 64, 4  # bytes of a line, lines a step
TEACHER_RATE = 3e-3
HELD_CLIPS = 24
Lines = Tensor


class ByteModel(nn.Module):
    """A Llama of 12 layers over bytes: [B, S] -> logits [B, S, 256]."""

    def __init__(self) -> None:
        super().__init__()
        self.lm = Llama(SHAPE, 256)
        nn.init.normal_(self.lm.embed_tokens.weight, std=0.05)

    def forward(self, ids: Tensor) -> Tensor:
        positions = torch.arange(ids.shape[1], dtype=torch.float32)[None]
        table = self.lm.embed_tokens.weight
        return F.linear(self.lm(F.embedding(ids, table), positions), table)


class ByteSubject(Subject):
    """The language model of bytes, which imitates its float teacher: "val" is the Kullback-Leibler divergence of its
    predictions from the teacher's, in nats a byte."""

    def __init__(self, train: Features, valid: Features, folder: Path, steps: int) -> None:
        self.text, judged = (texts_of(split) for split in (train, valid))
        self.network = teacher(self.text, folder, steps)
        source = torch.Generator().manual_seed(0)
        self.judged = torch.cat([lines(judged, source) for _ in range(8)])
        with torch.no_grad():
            self.right = self.network(self.judged)

    def draw(self, generator: torch.Generator) -> Lines:
        """Lines [B, S] of a step."""
        return lines(self.text, generator)

    def error(self, model: nn.Module, ids: Lines, answers: Tensor) -> Tensor:
        """How far a model's predictions are from the teacher's."""
        wanted = answers.log_softmax(-1)
        return F.kl_div(model(ids).log_softmax(-1), wanted, log_target=True, reduction="sum") / ids.numel()

    def objectives(self, model: nn.Module, generator: torch.Generator) -> Iterator[Objective]:
        while True:
            ids = self.draw(generator)
            with torch.no_grad():
                answers = self.network(ids)
            yield lambda ids=ids, answers=answers: self.error(model, ids, answers)

    @torch.no_grad()
    def held(self, model: nn.Module) -> dict[str, float]:
        return {"val": float(self.error(model, self.judged, self.right))}

    def inputs(self, model: nn.Module, generator: torch.Generator) -> dict[str, Tensor]:
        return collect_inputs(model, linear_layers(model), lambda: model(self.draw(generator)), generator)


def teacher(text: Tensor, folder: Path, steps: int) -> ByteModel:
    """The float language model: trained on the texts and kept in the folder, or what is kept there."""
    path, model = folder / f"teacher_{steps}.safetensors", ByteModel()
    if path.is_file():
        model.load_state_dict(load_file(path))
        return model.eval().requires_grad_(False)
    torch.manual_seed(0)
    model = ByteModel()
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.AdamW(model.parameters(), TEACHER_RATE, betas=(0.9, 0.95))
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = TEACHER_RATE * min((step + 1) / (steps / 20), (steps - step) / steps)
        ids = lines(text, generator)
        optimizer.zero_grad()
        F.cross_entropy(model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    folder.mkdir(parents=True, exist_ok=True)
    save_file(model.state_dict(), path)
    return model.eval().requires_grad_(False)


def texts_of(split: Features) -> Tensor:
    """All texts in a row, at least two lines of them."""
    text = torch.tensor(list(" ".join(clip.text for clip in split.clips).encode()))
    return text.repeat(1 + 2 * LENGTH // len(text))


def lines(text: Tensor, generator: torch.Generator) -> Lines:
    """Lines [B, S] from anywhere in a text."""
    starts = torch.randint(len(text) - LENGTH, (LINES,), generator=generator)
    return torch.stack([text[start : start + LENGTH] for start in starts.tolist()])


class VoiceSubject(Subject):
    """The bundled model of speech codes, to be fine-tuned on one voice: "val" is the cross-entropy of a code of that
    voice's clips which it is not trained on."""

    def __init__(self, codec: Codec, features: Features, voice: str | None) -> None:
        _, network = load_tts(find_tts_model(None, "ar"))
        assert isinstance(network, SpeechLM) and isinstance(network.lm, Llama)
        with torch.no_grad():
            table = network.table()
        network.table = lambda: table  # vectors stay as they are
        self.network = ArLearner(network, ArObjective(code_drop=0.0)).eval().requires_grad_(False)
        self.train, held = divided(clips_of(features, voice))
        self.codec, self.features = codec, features
        self.known: dict[str, Tensor] = {}
        self.times: dict[str, Tensor] = {}
        self.judged = [self.batch([clip]) for clip in held]

    def batch(self, clips: list[Clip]) -> dict[str, Tensor]:
        """Clips as the language model is trained on them: the codec tells when each letter is said."""
        codes = [self.codes(clip) for clip in clips]
        texts = [torch.tensor(self.codec.tokenizer.encode(clip.text)) for clip in clips]
        return {
            "codes": pad(codes),
            "lengths": torch.tensor([len(item) for item in codes]),
            "text_ids": pad(texts),
            "text_lengths": torch.tensor([len(item) for item in texts]),
            "starts": pad([self.starts(*pair) for pair in zip(clips, texts, strict=True)]),
        }

    @torch.no_grad()
    def codes(self, clip: Clip) -> Tensor:
        """A clip's codes [T], made once."""
        if clip.id not in self.known:
            mel = torch.from_numpy(self.features.mel(clip))
            self.known[clip.id] = self.codec.model.encode(mel[None, : len(mel) // 8 * 8])[0]
        return self.known[clip.id]

    def starts(self, clip: Clip, text: Tensor) -> Tensor:
        """The token at which each letter of a clip begins, [L]; -1, so that the duration network finds them, where the
        codec cannot tell."""
        if clip.id not in self.times:
            found = text_starts(self.codec, self.codes(clip), clip.text)
            self.times[clip.id] = torch.tensor(found) if found else torch.full((len(text),), -1.0)
        return self.times[clip.id]

    def error(self, model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        """Cross-entropy of the codes."""
        return model(batch, torch.ones(batch["codes"].shape, dtype=torch.bool))["codes"]

    def objectives(self, model: nn.Module, generator: torch.Generator) -> Iterator[Objective]:
        while True:
            chosen = int(torch.randint(len(self.train), (), generator=generator))
            batch = self.batch([self.train[chosen]])
            yield lambda batch=batch: self.error(model, batch)

    @torch.no_grad()
    def held(self, model: nn.Module) -> dict[str, float]:
        return {"val": float(torch.stack([self.error(model, batch) for batch in self.judged]).mean())}

    def inputs(self, model: nn.Module, generator: torch.Generator) -> dict[str, Tensor]:
        def run() -> None:
            for clip in self.train[: CALIBRATION // 4]:
                self.error(model, self.batch([clip]))

        return collect_inputs(model, linear_layers(model), run, generator)


def divided(clips: list[Clip]) -> tuple[list[Clip], list[Clip]]:
    """Clips to train on, and others to judge by: `HELD_CLIPS`, or half of them where they are few.

    Raises:
        InputError: one clip cannot be both.
    """
    held = min(HELD_CLIPS, len(clips) // 2)
    if held == 0:
        raise InputError(f"the voice {clips[0].speaker!r} has a single clip; at least two are needed")
    return clips[:-held], clips[-held:]


def clips_of(features: Features, voice: str | None) -> list[Clip]:
    """The clips of one voice (None: the one with the most), three seconds of it and more at first.

    Raises:
        InputError: there are none.
    """
    counts: dict[str, int] = {}
    for clip in features.clips:
        counts[clip.speaker] = counts.get(clip.speaker, 0) + 1
    name = voice or max(counts, key=lambda speaker: counts[speaker])
    if name not in counts:
        raise InputError(f"no clip of the voice {name!r}; there are {', '.join(sorted(counts)[:20])}")
    own = [clip for clip in features.clips if clip.speaker == name and clip.frames <= 300]
    return own or [clip for clip in features.clips if clip.speaker == name]
