"""What a frozen encoder says of each clip: it is the same every time, so it is computed the first time only."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from tadicodec.model import quantizer
from tadicodec.model.autoencoder import Autoencoder
from tadicodec.pipeline.reading import read_text
from tadicodec.text.tokens import ByteTokenizer
from tadicodec.train.task import Batch

NEVER = 1e9  # a time behind every frame, for the padding of a text


class KnownCodes:
    """Codes, the times of characters and what is read in codes, by clip, kept on the CPU (a hundred hours are 20
    MB)."""

    def __init__(self, codec: Autoencoder) -> None:
        self.codec = codec
        self.codes: dict[str, Tensor] = {}
        self.times: dict[tuple[str, bytes], Tensor] = {}
        self.texts: dict[str, Tensor] = {}

    @torch.no_grad()
    def __call__(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """A batch -> quantized vectors [B, T, 14] and, for an aligned model, the frames [B, L] at which characters
        begin."""
        device = batch["mel"].device
        with torch.autocast(device.type, enabled=False):  # the codes that inference will see
            self.listen(batch, [i for i, name in enumerate(batch["ids"]) if name not in self.codes])
            codes = pad_sequence([self.codes[name].long() for name in batch["ids"]], batch_first=True).to(device)
            quantized = quantizer.from_codes(codes, self.codec.config.vq_emb_dim)
            if not self.codec.config.aligned or batch["text_ids"].shape[1] == 0:
                return quantized, None
            keys = [(name, key_of(batch, i)) for i, name in enumerate(batch["ids"])]
            self.align(batch, quantized, [i for i, key in enumerate(keys) if key not in self.times], keys)
            times = pad_sequence([self.times[key] for key in keys], batch_first=True, padding_value=NEVER)
            return quantized, times.to(device)

    @torch.no_grad()
    def misread(self, batch: Batch, rows: Tensor) -> Batch:
        """The same batch with other texts in the chosen rows (bool [B]): those that a decoder without a text reads in
        their codes (`pipeline/reading.py`)."""
        device = batch["text_ids"].device
        texts = [row[:size] for row, size in zip(batch["text_ids"].cpu(), batch["text_lengths"].tolist())]
        with torch.autocast(device.type, enabled=False):
            self.listen(batch, [i for i, name in enumerate(batch["ids"]) if name not in self.codes])
            for i in rows.nonzero()[:, 0].tolist():
                texts[i] = self.read(batch["ids"][i])
        sizes = torch.tensor([len(text) for text in texts])
        read = {"text_ids": pad_sequence(texts, batch_first=True), "text_lengths": sizes}
        return {**batch, **{name: value.to(device) for name, value in read.items()}}

    def read(self, name: str) -> Tensor:
        """The bytes [L] of the text that is read in a clip's codes."""
        if name not in self.texts:
            text = read_text(self.codec, self.codes[name].long())
            self.texts[name] = torch.tensor(ByteTokenizer().encode(text), dtype=torch.long)
        return self.texts[name]

    def listen(self, batch: Batch, rows: list[int]) -> None:
        """Compute and keep the codes of these rows of a batch."""
        if not rows:
            return
        lengths = batch["lengths"][rows]
        codes = self.codec.encode(batch["mel"][rows, : int(lengths.max())], lengths).cpu()
        for i, row in enumerate(rows):
            size = int(lengths[i]) // self.codec.config.down_sample_factor
            self.codes[batch["ids"][row]] = codes[i, :size].to(torch.int32)

    def align(self, batch: Batch, quantized: Tensor, rows: list[int], keys: list[tuple[str, bytes]]) -> None:
        """Compute and keep the times of the characters in these rows of a batch."""
        if not rows:
            return
        tokens = batch["lengths"][rows] // self.codec.config.down_sample_factor
        times = self.codec.text_times(quantized[rows], batch["text_ids"][rows], tokens, batch["text_lengths"][rows])
        for i, row in enumerate(rows):
            self.times[keys[row]] = times[i, : int(batch["text_lengths"][row])].cpu()


def key_of(batch: Batch, row: int) -> bytes:
    """What tells the text of a row from others of the same clip, which may come in more than one spelling."""
    return batch["text_ids"][row, : int(batch["text_lengths"][row])].cpu().to(torch.int32).numpy().tobytes()
