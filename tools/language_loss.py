"""Loss of speech language models on tokens of real speech, and what their caches of keys and values take.

    python tools/language_loss.py bundled:ar FOLDER ... --data SHARDS

SHARDS come from `tadicodec tokenize`; the split "valid" counts. All models see the same utterances and the same hidden
codes. Ratios are to the first model; `nats` is the mean cross-entropy of a code.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from tadicodec.data.shards import TokenCorpus
from tadicodec.data.token_batches import TokenCollator, TokenData
from tadicodec.errors import InputError
from tadicodec.quant.quantizable import find_quantizable
from tadicodec.train.ar_task import ArObjective, ArTask
from tadicodec.train.masked_task import MaskedObjective, MaskedTask
from tadicodec.tts.autoregressive import SpeechLM
from tadicodec.tts.folder import load_tts
from tadicodec.tts.llama import Llama
from tadicodec.tts.masked import MaskedNetwork
from tadicodec.tts.model_config import TtsConfig
from tadicodec.tts.text_reader import load_reader

BATCH, PLACES = 8, 128


@dataclass(frozen=True)
class Loss:
    """One model's row: cross-entropy a code, its ratio to the first model's, utterances seen, and bytes that the cache
    takes for 128 places, over what float16 takes."""

    model: str
    nats: float
    ratio: float
    utterances: int
    cache_of_float16: float | None


@torch.inference_mode()
def mean_loss(folder: Path, data: Path, most: int) -> tuple[float, int, float | None]:
    """Cross-entropy a code, the number of utterances, and the cache's share of float16's bytes."""
    config, network = load_tts(folder)
    corpus = TokenCorpus(data, "valid")
    collate = TokenCollator(corpus, load_reader(config.text, folder), config, TokenData(str(data), pair=0.0))
    task: ArTask | MaskedTask
    if isinstance(network, MaskedNetwork):
        task = MaskedTask(config, network, MaskedObjective(text_drop=0.0))
    else:
        task = ArTask(config, network, ArObjective(code_drop=0.0))
    task.networks[task.ema].eval()
    generator, total, count = torch.Generator().manual_seed(0), 0.0, 0
    indices = list(range(min(len(corpus.tokens), most)))
    for first in range(0, len(indices), BATCH):
        batch = collate(indices[first : first + BATCH], generator)
        ((_, _, terms),) = task.losses(batch, generator)
        total, count = total + float(terms["codes"]) * len(batch["codes"]), count + len(batch["codes"])
    return total / count, count, cache_share(config, network)


def cache_share(config: TtsConfig, network: torch.nn.Module) -> float | None:
    """Bytes of a layer's cache over what float16 takes, measured on random keys; None for what has no such cache."""
    if not (isinstance(network, SpeechLM) and isinstance(network.lm, Llama)):
        return None
    cache, shape = config.cache.empty(), network.lm.shape
    keys = torch.randn(1, shape.num_key_value_heads, PLACES, shape.head_size)
    cache.extend(keys, keys)
    return cache.nbytes / (2 * 2 * keys.numel())


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", metavar="MODEL", help="bundled:ar, bundled:masked or a folder")
    parser.add_argument("--data", type=Path, required=True, help="shards of tokens")
    parser.add_argument("--most", type=int, default=1000, help="utterances (1000)")
    args = parser.parse_args(arguments)
    first = 0.0
    try:
        for name in args.models:
            nats, count, share = mean_loss(find_quantizable(name)[0], args.data, args.most)
            first = first or nats
            print(json.dumps(asdict(Loss(name, nats, nats / first, count, share))), flush=True)
    except InputError as error:
        print(f"language_loss: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
