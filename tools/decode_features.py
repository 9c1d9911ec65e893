"""Features whose mels are a codec's own: what a vocoder learns last, so that it meets in training what it is given.

    python tools/decode_features.py features decoded --model my-model
    tadicodec train recipes/vocoder/default.yaml data.features=decoded init=runs/vocoder/checkpoints/step-00006000

Every clip is encoded and decoded with its text; the waves stay the recordings'. Started again, it goes on with the
shards that are missing.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from tadicodec.codec import Codec
from tadicodec.data.feature_maker import save_array
from tadicodec.data.features import INDEX, Clip, Features, read_index
from tadicodec.errors import InputError


@torch.inference_mode()
def decoded(codec: Codec, mel: np.ndarray, text: str, seed: int) -> np.ndarray:
    """[F, 128] as the codec hears it -> [F, 128] as it decodes it, F a multiple of 8; no noise is drawn twice."""
    heard = torch.from_numpy(mel)[None].to(codec.device)
    ids = torch.tensor([codec.tokenizer.encode(text)], dtype=torch.long, device=codec.device)
    noise = torch.randn(heard.shape, generator=torch.Generator().manual_seed(seed)).to(codec.device)
    made = codec.model.decode(codec.model.encode(heard), noise, codec.config.inference.solver, text_ids=ids)
    return made[0].float().cpu().numpy()


def decode_shard(codec: Codec, features: Features, clips: list[Clip], out: Path) -> None:
    """Write one shard's decoded mels beside its waves."""
    number = clips[0].shard
    made = [decoded(codec, features.mel(clip), clip.text, clip.start) for clip in clips]
    waves = f"{number:05d}.wave.npy"
    shutil.copyfile(features.folder / waves, out / waves)
    save_array(out / f"{number:05d}.mel.npy", np.concatenate(made).astype(np.float16))  # the last: it is then complete


def decode_features(source: Path, out: Path, codec: Codec) -> int:
    """Write OUT; returns the number of clips. Raises InputError for a folder without features."""
    splits = {clip.split for clip in read_index(source / INDEX)} if (source / INDEX).is_file() else {""}
    features = Features(source, min(splits))  # whichever: arrays are those of all
    clips = sorted(read_index(source / INDEX), key=lambda clip: (clip.shard, clip.start))
    out.mkdir(parents=True, exist_ok=True)
    for number, shard in tqdm(
        groupby(clips, key=lambda clip: clip.shard), unit="shard", disable=not sys.stderr.isatty()
    ):
        if not (out / f"{number:05d}.mel.npy").exists():
            decode_shard(codec, features, list(shard), out)
    shutil.copyfile(source / INDEX, out / INDEX)
    return len(clips)


def main(given: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("features", type=Path, help="made by `tadicodec prepare`")
    parser.add_argument("out", type=Path, help="folder to write")
    parser.add_argument("--model", help="model folder or Hugging Face id (default: the bundled model)")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args(given)
    try:
        codec = Codec.from_pretrained(arguments.model, arguments.device)
        clips = decode_features(arguments.features, arguments.out, codec)
    except InputError as error:
        print(f"decode_features: error: {error}", file=sys.stderr)
        return 2
    print(f"decoded {clips} clips in {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
