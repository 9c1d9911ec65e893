"""Word errors of transcripts by the search's settings, on validation speech, beside greedy decoding.

    python tools/transcript_beam.py --manifest MANIFEST --split valid_unseen --beam 4 8 --weight 0.3 0.5 --bonus 0.5 1

The encoder runs once; each setting is a search over what its transcriber found. Run it again for another codec model,
and on validation splits alone: `SearchConfig` holds the settings that ship. `cost` is its time over encoding's, `from`
and `to` are a bootstrap 95 % interval of the WER. With --codes it is the codes that are read, by the aligner, with the
settings of `pipeline/reading.py`.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import torch
from torch import Tensor

from tadicodec import Codec
from tadicodec.entropy.letter_model import letter_model
from tadicodec.entropy.prefix_search import SearchConfig, prefix_search
from tadicodec.errors import InputError
from tadicodec.eval.judges.wer import Edits, align
from tadicodec.eval.report.intervals import estimate
from tadicodec.model.transcriber import best_path
from tadicodec.pipeline.reading import SEARCH, letter_scores, read_logits
from tadicodec.pipeline.waves import pad, to_samples
from tadicodec.text.normalize import from_letters, letters_only

SETTINGS = ("beam", "weight", "bonus", "below")


class Spoken(NamedTuple):
    """What is said in an utterance, and log-probabilities [S_i, 29] of the characters of its pieces."""

    text: str
    pieces: list[Tensor]


@torch.inference_mode()
def listen(codec: Codec, manifest: Path, split: str, most: int, codes: bool) -> tuple[list[Spoken], float]:
    """At most so many utterances, spread over a split, as the transcriber hears them, or as the aligner does in their
    codes, and the seconds that took."""
    lines = [json.loads(line) for line in manifest.read_text(encoding="utf-8").splitlines()]
    chosen = sorted((line for line in lines if line["split"] == split), key=lambda line: line["id"])
    if not chosen:
        raise InputError(f"{manifest}: no utterance of the split {split!r}")
    found, seconds = [], 0.0
    for line in chosen[:: -(-len(chosen) // most)]:
        wave, rate = soundfile.read(manifest.parent / line["audio"], dtype="float32")
        begin = time.process_time()
        parts = codec.encoder.pieces([to_samples(wave, rate, codec.sample_rate)])
        pieces = [heard(codec, codec.encoder.mel(torch.from_numpy(part)), codes) for part in parts]
        seconds += time.process_time() - begin
        found.append(Spoken(letters_only(line["text"]), pieces))
    return found, seconds


def heard(codec: Codec, mel: Tensor, codes: bool) -> Tensor:
    """Log-probabilities [S, 29] of the characters of a mel [1, F, 128], or of its codes."""
    found, (scores,) = codec.model.listen(mel)
    return letter_scores(read_logits(codec.model, found[0])) if codes else scores.cpu()


def report(name: str, heard: list[Spoken], written: list[list[list[int]]], **more: float) -> None:
    """Print one setting's word errors, with their interval over utterances, and its character errors, in per cent."""
    words, characters = [], []
    for spoken, ids in zip(heard, written, strict=True):
        text = " ".join(filter(None, map(from_letters, ids)))
        words.append(align(spoken.text, text))
        characters.append(align(" ".join(spoken.text.replace(" ", "_")), " ".join(text.replace(" ", "_"))))
    found = estimated(words)
    row = {"search": name, "wer": found[0], "from": found[1], "to": found[2], "cer": estimated(characters)[0]}
    print(json.dumps(row | more), flush=True)


def estimated(edits: list[Edits]) -> list[float]:
    """An error rate and the bounds of its interval, in per cent."""
    rate = estimate([[edit.total for edit in edits]], [[edit.words for edit in edits]])
    assert rate is not None, "there are utterances"
    return [round(100 * value, 1) for value in (rate.value, rate.low, rate.high)]


def greedy(piece: Tensor) -> list[int]:
    """The best path of one piece [S, 29]."""
    return best_path(pad([piece]), torch.tensor([len(piece)]))[0]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", help="model folder (the bundled one)")
    parser.add_argument("--manifest", type=Path, required=True, help="manifest.jsonl of a corpus")
    parser.add_argument("--split", default="valid_unseen", help="(valid_unseen)")
    parser.add_argument("--most", type=int, default=60, help="utterances (60)")
    parser.add_argument("--codes", action="store_true", help="what is read in codes, not what is heard")
    for name in SETTINGS:
        parser.add_argument(f"--{name}", type=int if name == "beam" else float, nargs="+", help="(what ships)")
    args = parser.parse_args(arguments)
    try:
        found, seconds = listen(Codec.from_pretrained(args.model), args.manifest, args.split, args.most, args.codes)
    except (InputError, OSError) as error:
        print(f"transcript_beam: error: {error}", file=sys.stderr)
        return 2
    report("greedy", found, [[greedy(piece) for piece in spoken.pieces] for spoken in found])
    rows = [[np.asarray(piece) for piece in spoken.pieces] for spoken in found]
    letter_model()  # reads its file before anything is timed
    ships = SEARCH if args.codes else SearchConfig()
    for values in itertools.product(*(getattr(args, name) or [getattr(ships, name)] for name in SETTINGS)):
        config, begin = SearchConfig(*values), time.process_time()
        written = [[prefix_search(piece, letter_model(), config) for piece in pieces] for pieces in rows]
        report(repr(config), found, written, cost=round((time.process_time() - begin) / seconds, 2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
