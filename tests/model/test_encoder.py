"""An encoder with convolutions works at 25 Hz: padding changes nothing, and as many states and codes come out."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from tadicodec.codec import Codec
from tadicodec.errors import InputError
from tadicodec.model.autoencoder import Autoencoder
from tadicodec.model.convolution import KERNEL, Convolution, windows
from tests.conftest import tiny_codec, tiny_config, voice


def convolving() -> Autoencoder:
    torch.manual_seed(0)
    return Autoencoder(tiny_config(encoder_num_layers=2, encoder_conv_layers=2).autoencoder).eval()


@pytest.mark.parametrize("frames", [16, 19])
def test_an_item_in_a_batch_is_as_alone(frames: int) -> None:
    model, mel = convolving(), torch.randn(2, 24, 128)
    lengths = torch.tensor([24, frames])
    hidden = model.encoder(mel, lengths)
    alone = model.encoder(mel[1:, :frames])
    assert hidden.shape == (2, 12, 32) and alone.shape == (1, (frames + 1) // 2, 32)
    torch.testing.assert_close(hidden[1, : alone.shape[1]], alone[0], atol=1e-5, rtol=1e-4)
    own = model.latents(mel[1:, :frames], lengths[1:])
    torch.testing.assert_close(model.latents(mel, lengths)[1, : own.shape[1]], own[0], atol=1e-5, rtol=1e-4)


def test_convolutions_behind_attention_keep_padding_out() -> None:
    torch.manual_seed(0)
    model = Autoencoder(tiny_config(encoder_num_layers=3, encoder_conformer=True).autoencoder).eval()
    mel = torch.randn(2, 24, 128)
    plain, early = model.encoder(mel[1:, :16]), []
    hidden = model.encoder(mel, torch.tensor([24, 16]), early)
    torch.testing.assert_close(hidden[1, :16], plain[0], atol=1e-5, rtol=1e-4)
    assert early[0].shape == (2, 24, 32)
    model.encoder.conformer[2].out_proj.weight.data.zero_()
    assert not torch.allclose(model.encoder(mel[1:, :16]), plain)


def test_codes_and_letters_come_from_states_at_25_hz() -> None:
    model, mel = convolving(), torch.randn(2, 24, 128)
    codes, scores = model.listen(mel, torch.tensor([24, 16]))
    assert codes.shape == (2, 3) and codes[1, 2] == 0
    alone, said = model.listen(mel[1:, :16])
    assert torch.equal(codes[1, :2], alone[0])
    assert [len(row) for row in scores] == [12, 8]
    torch.testing.assert_close(scores[1], said[0], atol=1e-5, rtol=1e-4)


def test_impossible_shapes() -> None:
    with pytest.raises(InputError, match="encoder_conv_layers"):
        tiny_config(encoder_conv_layers=-1)
    with pytest.raises(InputError, match="voice_size"):
        tiny_config(voice_heads=2)


def test_the_convolution_is_torch_s_of_one_dimension() -> None:
    conv = Convolution(8)
    x = torch.randn(2, 15, 8)
    expected = F.conv1d(x.mT, conv.depthwise.weight, conv.depthwise.bias, padding=KERNEL // 2, groups=8).mT
    torch.testing.assert_close(conv.along_time(x), expected)
    torch.testing.assert_close(
        windows(x, step=2)[:, 1], torch.cat([x[:, 1], x[:, 2], x[:, 3]], dim=-1), atol=0.0, rtol=0.0
    )


def test_a_codec_with_convolutions_and_attentive_voices_batches_as_single(tmp_path: Path) -> None:
    codec = tiny_codec(encoder_num_layers=2, encoder_conv_layers=1, voice_size=8, voice_heads=2)
    codec.save_pretrained(tmp_path / "model")
    codec = Codec.from_pretrained(tmp_path / "model")
    waves = [voice(1.3), voice(0.7, pitch=200.0)]
    together = codec.encode(waves, 24000)
    prompt = codec.prompt(voice(0.9, pitch=150.0), 24000, text="ah")
    for i, wave in enumerate(waves):
        alone = codec.encode(wave, 24000)
        assert torch.equal(together[i].codes, alone.codes) and together[i].text == alone.text
        assert codec.decode(alone, prompt).shape[-1] == len(wave)
