"""Which shape of the encoder tells letters apart soonest: arms that learn CTC alone, on one source's clips, each for as
many CPU seconds.

    python tools/encoder_arms.py features --source kokoro_mixes --seconds 300

An arm is an encoder with one matrix from its states to letters; nothing else of the codec is trained. What it prints is
the loss a character on training clips and on the last 32, which it does not hear. 2.87 is what letter frequencies alone
give: who stays there has learned nothing. The whole recipe is compared by tools/codec_arms.py.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor, nn

from tadicodec.config import AutoencoderConfig
from tadicodec.data.features import Clip, Features
from tadicodec.errors import InputError
from tadicodec.model.encoder import Encoder
from tadicodec.model.transcriber import CHARACTERS
from tadicodec.text.normalize import to_letters
from tadicodec.train.ctc_loss import ctc_loss

ARMS = {  # convolution blocks (at 25 Hz), transformer blocks (at 50 Hz without others), convolutions behind those
    "3 blocks": (0, 3, False),
    "8 blocks": (0, 8, False),
    "3 blocks, convolutions behind": (0, 3, True),
    "6 convolutions, 3 blocks": (6, 3, False),
    "8 convolutions, 1 block": (8, 1, False),
}
HELD, CLIPS, WARMUP, EVERY = 32, 5, 100, 100
RATE, LONGEST = 1e-3, 400  # frames


class Arm(nn.Module):
    """An encoder and the letters of its states."""

    def __init__(self, convolutions: int, blocks: int, conformer: bool = False) -> None:
        super().__init__()
        self.config = AutoencoderConfig(
            hidden_size=256,
            num_heads=4,
            intermediate_size=768,
            encoder_num_layers=blocks,
            encoder_conv_layers=convolutions,
            encoder_conformer=conformer,
        )
        self.encoder = Encoder(self.config)
        self.out = nn.Linear(256, CHARACTERS + 1)
        nn.init.zeros_(self.out.weight)

    def forward(self, batch: Sequence[Tensor]) -> Tensor:
        """The loss a character of mel [B, F, 128], lengths [B], letters [B, L] and their lengths [B]."""
        mel, lengths, letters, letter_lengths = batch
        logits = self.out(self.encoder(mel, lengths))
        return ctc_loss(logits, self.config.states(lengths), letters, letter_lengths)


def batch_of(features: Features, clips: Sequence[Clip]) -> tuple[Tensor, ...]:
    """What `Arm` takes."""
    pad = nn.utils.rnn.pad_sequence
    mels = [torch.from_numpy(features.mel(clip)) for clip in clips]
    letters = [torch.tensor(to_letters(clip.text), dtype=torch.long) for clip in clips]
    sizes = (torch.tensor([len(item) for item in items]) for items in (mels, letters))
    (lengths, letter_lengths) = sizes
    return pad(mels, batch_first=True), lengths, pad(letters, batch_first=True), letter_lengths


def train(arm: Arm, features: Features, source: str, seconds: float) -> Iterator[str]:
    """Train for so many CPU seconds; a line every 100 steps and at the end."""
    clips = [clip for clip in features.clips if clip.source == source]
    pool, held = clips[:-HELD], batch_of(features, clips[-HELD:])
    optimizer = torch.optim.AdamW(arm.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.01)
    generator, losses, began = torch.Generator().manual_seed(1), [], time.process_time()
    while (spent := time.process_time() - began) < seconds or not losses:
        for group in optimizer.param_groups:
            group["lr"] = RATE * min((len(losses) + 1) / WARMUP, 1.0)
        drawn = torch.randint(len(pool), (CLIPS,), generator=generator).tolist()
        loss = arm(batch_of(features, [pool[i] for i in drawn]))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(arm.parameters(), 0.5)
        optimizer.step()
        losses.append(loss.item())
        if len(losses) % EVERY == 0:
            yield line(arm, held, losses, spent)
    yield line(arm, held, losses, time.process_time() - began)


@torch.no_grad()
def line(arm: Arm, held: Sequence[Tensor], losses: Sequence[float], spent: float) -> str:
    newest = losses[-EVERY:]
    return (
        f"step {len(losses):5}  heard {sum(newest) / len(newest):.3f}  held out {arm(held).item():.3f}  "
        f"{spent:.0f} CPU seconds"
    )


def main(given: list[str] | None = None) -> int:
    """0 when done, 2 for what the user can mend."""
    parser = argparse.ArgumentParser(description=" ".join(__doc__.split("\n\n")[0].split()))
    parser.add_argument("features", help="made by `tadicodec prepare`")
    parser.add_argument("--source", default="kokoro_mixes", help="of the clips, as the manifest names it")
    parser.add_argument("--seconds", type=float, default=300.0, help="CPU seconds an arm")
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS), metavar="NAME")
    arguments = parser.parse_args(given)
    torch.set_num_threads(1)
    try:
        features = Features(arguments.features, "train", max_frames=LONGEST)
    except InputError as error:
        print(f"encoder_arms: error: {error}", file=sys.stderr)
        return 2
    for name in arguments.arms:
        torch.manual_seed(0)
        arm = Arm(*ARMS[name])
        print(f"{name}: {sum(p.numel() for p in arm.encoder.parameters()) / 1e6:.1f} M parameters", flush=True)
        for said in train(arm, features, arguments.source, arguments.seconds):
            print(f"  {said}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
