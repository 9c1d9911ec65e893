"""The codec's networks as graphs of one item: encoder, prior, one evaluation of the decoder, vocoder.

Batches are items one by one: nothing is padded, so nothing needs a mask, and an item gets what it gets alone.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tadicodec.config import CodecConfig
from tadicodec.errors import InputError
from tadicodec.model.autoencoder import Autoencoder
from tadicodec.model.decoder import Decoder, time_embedding, to_velocity
from tadicodec.model.prior import Prior
from tadicodec.model.transformer import rotary_tables
from tadicodec.model.vocoder import Vocoder, lower
from tadicodec.runtime.graph import Graph, plain

ENCODER = "encoder"
FRAMES, LETTERS = 160, 20  # of what is traced


class EncoderGraph(nn.Module):
    """mel [1, F, 128], F a multiple of 8 -> latents [1, F / 8, 14], whose signs are the code's bits, and the states
    [1, S, H] that they and the transcriber are made from."""

    def __init__(self, model: Autoencoder) -> None:
        super().__init__()
        self.encoder, self.vq_in_linear = model.encoder, model.vq_in_linear
        self.states = model.config.down_sample_factor // model.config.frames_per_state

    def forward(self, mel: Tensor) -> tuple[Tensor, Tensor]:
        states = self.encoder(mel)
        hidden = states.unflatten(1, (-1, self.states))
        middle = self.states // 2  # a token's centre lies between two states: interpolation is their mean
        pooled = hidden[:, :, middle - 1 : middle + 1].mean(2)
        return F.normalize(self.vq_in_linear(pooled), dim=-1), states


class PriorGraph(nn.Module):
    """As `Prior.forward` for one item: tokens [1, P, H], text [1, L, H] with text_lengths [1] (0: no text) and
    text_times [1, L] in decoder positions, prompt [1, F, 128] and held bool [1, F] -> [1, P, H] and mel [1, F, 128]."""

    def __init__(self, prior: Prior) -> None:
        super().__init__()
        self.prior = prior

    def forward(
        self, tokens: Tensor, text: Tensor, text_lengths: Tensor, text_times: Tensor, prompt: Tensor, held: Tensor
    ) -> tuple[Tensor, Tensor]:
        return self.prior(tokens, text, (prompt, held), text_lengths=text_lengths, text_times=text_times)


class DecoderGraph(nn.Module):
    """One evaluation: x [1, F, 128] noisy mel, time [1], start [1, L + P, H], what the decoder is told (embedded text
    first, where it is not the prior's), and the prior's mel [1, F, 128] -> velocity [1, F, 128]."""

    def __init__(self, decoder: Decoder) -> None:
        super().__init__()
        self.decoder = decoder

    def forward(self, x: Tensor, time: Tensor, start: Tensor, mel: Tensor | None = None) -> Tensor:
        decoder = self.decoder
        noisy = decoder.in_linear(x.reshape(1, -1, decoder.in_linear.in_features))
        h = start + noisy if mel is not None else start + self.behind(noisy, start)
        rotary = rotary_tables(torch.arange(h.shape[1])[None], decoder.head_size)
        embedded = decoder.diff_step_mlp(time_embedding(time, h.shape[-1]))
        for layer in decoder.layers:
            h = layer(h, rotary, None, embedded)
        out = decoder.out_linear(decoder.norm(h[:, -noisy.shape[1] :], embedded))
        out = out.reshape(1, -1, x.shape[2])
        return out if mel is None else to_velocity(mel + out, x, time)

    @staticmethod
    def behind(noisy: Tensor, start: Tensor) -> Tensor:
        """Rows [1, P, H] behind as many zeros as make them as long as start [1, L + P, H]."""
        return torch.cat([torch.zeros_like(start[:, : start.shape[1] - noisy.shape[1]]), noisy], dim=1)


class VocoderGraph(nn.Module):
    """mel [1, F, 128] -> wave [1, 480 F].

    The inverse Fourier transform is two products, of cosines and of sines: the first half of a frame is their sum, the
    second their difference backwards. They are convolutions of one frame, so that they stay in float32 where matrix
    products become integers.
    """

    cosines: Tensor
    sines: Tensor
    window: Tensor

    def __init__(self, vocoder: Vocoder) -> None:
        super().__init__()
        self.backbone, self.out = vocoder.backbone, vocoder.head.out
        self.size, self.hop = vocoder.head.istft.n_fft, vocoder.head.istft.hop
        half = self.size // 2
        one = torch.eye(half + 1, dtype=torch.float64)
        for name, parts in (("cosines", (one, 0 * one)), ("sines", (0 * one, one))):
            waves = torch.fft.irfft(torch.complex(*parts), self.size)[:, : half + 1]
            self.register_buffer(name, waves.T.float()[..., None].contiguous())  # [samples, bins, 1]
        self.register_buffer("window", torch.hann_window(self.size)[None, :, None])
        self.pad = (self.size - self.hop) // 2

    def forward(self, mel: Tensor) -> Tensor:
        log_magnitude, phase = self.out(self.backbone(mel.transpose(1, 2), None)).transpose(1, 2).chunk(2, dim=1)
        magnitude = log_magnitude.exp().clamp(max=100.0)
        even = F.conv1d(magnitude * phase.cos(), self.cosines)
        odd = F.conv1d(magnitude * phase.sin(), self.sines)
        frames = torch.cat([even + odd, (even - odd)[:, 1:-1].flip(1)], dim=1)
        envelope = self.overlapped(self.window.square() * torch.ones_like(frames[:, :1]))
        return (self.overlapped(frames * self.window) / envelope.clamp(min=1e-11))[:, self.pad : -self.pad]

    def overlapped(self, frames: Tensor) -> Tensor:
        """Frames [1, samples, F] added up, each a hop behind the one before: [1, samples + (F - 1) hop]."""
        hops = -(-self.size // self.hop)
        parts = F.pad(frames, (0, 0, 0, hops * self.hop - self.size)).unflatten(1, (hops, self.hop))
        rows = sum(F.pad(parts[:, i], (i, hops - 1 - i)) for i in range(hops))
        assert isinstance(rows, Tensor)
        whole = rows.transpose(1, 2).flatten(1)
        return whole[:, : whole.shape[1] - (hops * self.hop - self.size)]


def codec_graphs(config: CodecConfig, model: Autoencoder, vocoder: Vocoder) -> list[Graph]:
    """The graphs of a codec, with random inputs on which they are traced. A model without a prior has three.

    Raises:
        InputError: layers that cannot be exported.
    """
    network = plain(model)
    assert isinstance(network, Autoencoder)
    return [
        encoder_graph(network),
        *([] if network.decoder.prior is None else [prior_graph(network.decoder.prior, config)]),
        decoder_graph(network.decoder, config),
        vocoder_graph(vocoder, config),
    ]


def encoder_graph(model: Autoencoder) -> Graph:
    """The graph of a plain encoder. Raises InputError where a token's centre is no mean of two states."""
    module = EncoderGraph(model)
    if module.states % 2:
        raise InputError("export: an encoder with an odd number of states a token cannot be exported")
    axes = {"mel": {1: "frames"}, "latents": {1: "tokens"}, "states": {1: "states"}}
    return Graph(ENCODER, module, {"mel": noise(1, FRAMES, model.config.mel_dim)}, ("latents", "states"), axes)


def prior_graph(prior: Prior, config: CodecConfig) -> Graph:
    """The graph of a plain prior."""
    shape = config.autoencoder
    positions, size = FRAMES // shape.patch_size, shape.hidden_size
    inputs = {
        "tokens": noise(1, positions, size),
        "text": noise(1, LETTERS, size),
        "text_lengths": torch.tensor([LETTERS]),
        "text_times": torch.linspace(0, positions, LETTERS + 1)[None, :-1],
        "prompt": noise(1, FRAMES, shape.mel_dim),
        "held": (torch.arange(FRAMES) < FRAMES // 2)[None],
    }
    axes = {
        "tokens": {1: "positions"},
        "text": {1: "letters"},
        "text_times": {1: "letters"},
        "prompt": {1: "frames"},
        "held": {1: "frames"},
        "told": {1: "positions"},
        "expected": {1: "frames"},
    }
    return Graph("prior", PriorGraph(prior), inputs, ("told", "expected"), axes)


def decoder_graph(decoder: Decoder, config: CodecConfig) -> Graph:
    """The graph of one evaluation of a plain decoder."""
    shape = config.autoencoder
    inputs = {
        "x": noise(1, FRAMES, shape.mel_dim),
        "time": torch.tensor([0.25]),
        "start": noise(1, FRAMES // shape.patch_size + (0 if decoder.prior else LETTERS), shape.hidden_size),
        **({"mel": noise(1, FRAMES, shape.mel_dim)} if decoder.prior else {}),
    }
    axes = {"x": {1: "frames"}, "start": {1: "places"}, "velocity": {1: "frames"}}
    if decoder.prior:
        axes["mel"] = {1: "frames"}
    return Graph("decoder", DecoderGraph(decoder), inputs, ("velocity",), axes)


def vocoder_graph(vocoder: Vocoder, config: CodecConfig) -> Graph:
    """The graph of a vocoder, packed or not."""
    network = plain(vocoder)
    assert isinstance(network, Vocoder)
    lower(network, torch.float32)
    axes = {"mel": {1: "frames"}, "wave": {1: "samples"}}
    inputs = {"mel": noise(1, FRAMES, config.mel.num_mels)}
    return Graph("vocoder", VocoderGraph(network), inputs, ("wave",), axes)


def noise(*shape: int) -> Tensor:
    """Random numbers that are the same every time."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))
