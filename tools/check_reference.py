"""Compare this package with what the published code computed: python tools/check_reference.py FOLDER

FOLDER is a codec or masked language model in the published layout with an expected.safetensors. Prints one line a
tensor (name, maximum absolute error) and exits 1 when indices differ, an error exceeds 1e-4 in float32, or a tensor
could not be computed.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from tadicodec.audio.mel import MelSpectrogram
from tadicodec.checkpoint import load_config, load_weights, read_tensors, vocoder_file
from tadicodec.config import SolverConfig
from tadicodec.errors import InputError
from tadicodec.model import quantizer
from tadicodec.model.autoencoder import Autoencoder
from tadicodec.model.vocoder import Vocoder
from tadicodec.tts.folder import load_tts
from tadicodec.tts.masked import Words
from tadicodec.tts.model_config import MASKED, read_tts_config

TOLERANCE = 1e-4
GIVEN = ("wav", "text_ids", "flow_xt", "flow_t", "noise", "prompt_frames", "bsq_in", "mgm_x", "mgm_t", "mgm_text_ids")


DECODED = r"dec_(\d+)steps_cfg(\d+(?:\.\d+)?)(?:_rescale(\d+(?:\.\d+)?))?"


def solver_of(name: str) -> SolverConfig | None:
    """What a decoded tensor's name says: dec_8steps_cfg2_rescale075 is 8 steps, guidance 2, rescale 0.75 (also the
    default). None: another kind of tensor."""
    found = re.fullmatch(DECODED, name)
    if found is None or int(found[1]) < 1:
        return None
    rescale = found[3] or "075"
    if "." not in rescale:
        rescale = f"{rescale[0]}.{rescale[1:]}"  # file names leave out the point
    return SolverConfig(int(found[1]), float(found[2]), float(rescale))


class Reference:
    """Everything a codec's expected.safetensors holds, computed by this package from its given tensors."""

    def __init__(self, folder: Path) -> None:
        config = load_config(folder)
        self.mel = MelSpectrogram(config.mel)
        self.model = Autoencoder(config.autoencoder).eval()
        load_weights(self.model, folder / "model.safetensors")
        self.vocoder = Vocoder(config.vocoder).eval()
        load_weights(self.vocoder, vocoder_file(folder))
        self.expected = read_tensors(folder / "expected.safetensors")

    def compute(self) -> dict[str, Callable[[], Tensor]]:
        given = self.expected
        return {
            "log_mel": lambda: self.mel.log_mel(given["wav"][None])[0],
            "mel_norm": lambda: self.mel(given["wav"][None])[0],
            "encoder_hidden": lambda: self.model.encoder(given["mel_norm"][None])[0],
            "encoder_hidden_padded_row1": self.padded_row,
            "vq_emb": lambda: quantizer.quantize(self.model.latents(given["mel_norm"][None]))[0],
            "indices": lambda: self.model.encode(given["mel_norm"][None])[0],
            "bsq_out": lambda: quantizer.quantize(self.unit()),
            "bsq_indices": lambda: quantizer.to_codes(self.unit()),
            "bsq_loss": lambda: torch.sub(*quantizer.entropies(self.unit()[None])),
            "bsq_commit": lambda: (self.unit() - quantizer.quantize(self.unit())).square().sum(-1).mean(),
            "bsq_cb_entropy": lambda: quantizer.entropies(self.unit()[None])[1],
            "cond_upsampled": lambda: self.model.condition(self.quantized())[0],
            "flow_pred_cond": lambda: self.velocity(conditional=True),
            "flow_pred_uncond": lambda: self.velocity(conditional=False),
            "vocoder_wav": lambda: self.vocoder(given["mel_norm"][None])[0],
            **{name: partial(self.decode, solver) for name in given if (solver := solver_of(name))},
        }

    def unit(self) -> Tensor:
        return torch.nn.functional.normalize(self.expected["bsq_in"], dim=-1)

    def quantized(self) -> Tensor:
        return quantizer.from_codes(self.expected["indices"], self.model.config.vq_emb_dim)[None]

    def padded_row(self) -> Tensor:
        """An item of a right-padded batch: its first frames beside the whole clip, as the batch's second row."""
        mel = self.expected["mel_norm"]
        frames = self.expected["encoder_hidden_padded_row1"].shape[0]
        short = torch.zeros_like(mel)
        short[:frames] = mel[:frames]
        return self.model.encoder(torch.stack([mel, short]), torch.tensor([mel.shape[0], frames]))[1, :frames]

    def velocity(self, conditional: bool) -> Tensor:
        condition = self.expected["cond_upsampled"][None]
        text = self.model.text_emb(self.expected["text_ids"][None]) if conditional else None
        condition = condition if conditional else torch.zeros_like(condition)
        given = self.model.decoder.prepare(condition, text)
        return self.model.decoder(self.expected["flow_xt"][None], self.expected["flow_t"], given)[0]

    def decode(self, solver: SolverConfig) -> Tensor:
        """Target frames given the clean prompt frames before them."""
        given, held = self.expected, int(self.expected["prompt_frames"])
        noise = torch.cat([given["mel_norm"][:held], given["noise"]])[None]
        mel = self.model.decode(
            given["indices"][None],
            noise,
            solver,
            text_ids=given["text_ids"][None],
            prompt=noise,
            prompt_lengths=torch.tensor([held]),
        )
        return mel[0, held:]


class MaskedReference:
    """The same for a masked language model."""

    def __init__(self, folder: Path) -> None:
        self.network = load_tts(folder)[1]
        self.expected = read_tensors(folder / "expected.safetensors")

    def compute(self) -> dict[str, Callable[[], Tensor]]:
        return {
            "mgm_hidden": lambda: self.hidden(self.words()),
            "mgm_hidden_notext": lambda: self.hidden(None),
            "mgm_logits": lambda: self.network.logits(self.hidden(self.words())),
        }

    def words(self) -> Words:
        ids = self.expected["mgm_text_ids"][None]
        return Words(ids, torch.tensor([ids.shape[1]]))

    def hidden(self, words: Words | None) -> Tensor:
        return self.network.hidden(self.expected["mgm_x"][None], self.expected["mgm_t"], words)[0]


def load_reference(folder: Path) -> Reference | MaskedReference:
    """Whichever model lies in the folder. Raises InputError."""
    for needed in ("config.json", "expected.safetensors"):
        if not (folder / needed).is_file():
            raise InputError(f"{folder}: no {needed}; give a model folder with the tensors to compare with")
    try:
        masked = read_tts_config(folder / "config.json").engine == MASKED
    except InputError:  # not a language model: load_config says what is wrong with it as a codec
        masked = False
    return MaskedReference(folder) if masked else Reference(folder)


def error_of(result: Tensor, expected: Tensor) -> float:
    result = result.reshape(expected.shape)
    if expected.is_floating_point():
        return float((result.double() - expected.double()).abs().max())
    return 0.0 if torch.equal(result.to(expected.dtype), expected) else float("inf")


@torch.no_grad()
def check(folder: Path) -> bool:
    reference, passed = load_reference(folder), True
    computed = reference.compute()
    for name, expected in sorted(reference.expected.items()):
        if name in GIVEN:
            continue
        if name not in computed:
            print(f"{name:32s} not computed")
            passed = False
            continue
        try:
            error = error_of(computed[name](), expected)
        except (RuntimeError, IndexError, KeyError) as problem:  # of other shapes, or what it is made of is not given
            print(f"{name:32s} not computed ({str(problem).splitlines()[0]})")
            passed = False
            continue
        good = error <= TOLERANCE
        print(f"{name:32s} {error:.3e}{'' if good else '  FAILED'}")
        passed &= good
    return passed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    try:
        return 0 if check(parser.parse_args().folder) else 1
    except InputError as error:
        print(f"check_reference: error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
