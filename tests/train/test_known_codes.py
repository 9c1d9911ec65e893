"""What a frozen encoder said is remembered, and is what it would say again."""

from __future__ import annotations

import torch

from tadicodec.pipeline.reading import read
from tadicodec.text.normalize import LETTERS
from tadicodec.text.tokens import ByteTokenizer
from tadicodec.train.known_codes import KnownCodes
from tests.conftest import tiny_codec


def batch_of(names: list[str], mels: list[torch.Tensor], texts: list[list[int]]) -> dict:
    lengths = torch.tensor([len(mel) for mel in mels])
    pad = torch.nn.utils.rnn.pad_sequence
    return {
        "ids": names,
        "mel": pad(mels, batch_first=True),
        "lengths": lengths,
        "text_ids": pad([torch.tensor(text) for text in texts], batch_first=True),
        "text_lengths": torch.tensor([len(text) for text in texts]),
    }


def test_remembered_equals_computed() -> None:
    codec = tiny_codec().model.eval()
    generator = torch.Generator().manual_seed(0)
    mels = [torch.randn(size, 128, generator=generator) for size in (48, 80, 64)]
    texts = [[3, 4], [5, 6, 7, 8], [9]]
    known = KnownCodes(codec)
    known(batch_of(["a"], mels[:1], texts[:1]))
    quantized, times = known(batch_of(["a", "b", "c"], mels, texts))  # one remembered, two new
    again, later = known(batch_of(["c", "b"], mels[:0:-1], texts[:0:-1]))
    assert torch.equal(quantized[2, :8], again[0, :8]) and torch.equal(times[1], later[1])
    for i, mel in enumerate(mels):
        codes = codec.encode(mel[None])
        assert torch.equal(known.codes["abc"[i]].long(), codes[0])
        alone = codec.text_times(quantized[i : i + 1, : codes.shape[1]], torch.tensor([texts[i]]), None, None)
        assert torch.equal(times[i, : len(texts[i])], alone[0])


def test_another_spelling_is_aligned_anew() -> None:
    known = KnownCodes(tiny_codec().model.eval())
    mel = torch.randn(64, 128, generator=torch.Generator().manual_seed(0))
    for text in ([1, 2, 3], [1, 3]):
        _, times = known(batch_of(["a"], [mel], [text]))
        assert times.shape == (1, len(text))
    assert len(known.times) == 2 and len(known.codes) == 1


def test_misread_texts_are_those_of_a_decoder_without_a_text() -> None:
    codec = tiny_codec()
    generator = torch.Generator().manual_seed(0)
    torch.nn.init.normal_(codec.model.aligner.out.weight, std=0.5, generator=generator)
    codec.model.aligner.out.bias.data[list(LETTERS.encode())] = 5.0  # so that it hears letters
    mels = [torch.randn(size, 128, generator=generator) for size in (48, 80, 64)]
    known = KnownCodes(codec.model.eval())
    batch = batch_of(["a", "b", "c"], mels, [[3, 4], [5, 6, 7, 8], [9]])
    misread = known.misread(batch, torch.tensor([False, True, True]))
    for i, mel in enumerate(mels):
        text = misread["text_ids"][i, : misread["text_lengths"][i]].tolist()
        found = ByteTokenizer().encode(read(codec.renderer, codec.model.encode(mel[None])[0]))
        assert text == [found, [3, 4]][i == 0]
        assert not i or found
    _, times = known(misread)
    assert times.shape == misread["text_ids"].shape
    assert known.misread(batch, torch.zeros(3, dtype=torch.bool))["text_ids"].equal(batch["text_ids"])
