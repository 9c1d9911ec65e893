"""A corpus to parquet shards of tokens, for training language models on. Started again, it makes what is missing;
started by `accelerate launch` or `torchrun`, its processes share the work."""

from __future__ import annotations

import argparse
import json
import sys

from tadicodec.cli import options
from tadicodec.cli.closing import say
from tadicodec.cli.loading import load_codec


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("manifest", metavar="MANIFEST", help="JSONL file, one utterance a line")
    parser.add_argument("out", metavar="OUT", help="folder for the shards")
    parser.add_argument("--shard-minutes", type=options.positive, default=60, metavar="N", help="speech a shard (60)")
    parser.add_argument("--overwrite", action="store_true", help="replace shards of another manifest or codec")
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")
    options.add_model(parser)


def run(args: argparse.Namespace) -> int:
    from tadicodec.data.token_corpus import Share, tokenize_corpus

    share = Share.from_environment()
    if args.device is None and share.world > 1:
        args.device = device_of(share.local)
    codec = load_codec(args)
    done = tokenize_corpus(
        args.manifest,
        args.out,
        codec,
        share=share,
        shard_seconds=60.0 * args.shard_minutes,
        overwrite=args.overwrite,
        progress=sys.stderr is not None and sys.stderr.isatty() and share.rank == 0,
    )
    if args.json:
        say(json.dumps({"action": "tokenized", "process": share.rank, "processes": share.world, **vars(done)}))
    else:
        whose = f" (process {share.rank} of {share.world})" if share.world > 1 else ""
        kept = f", {done.kept} of them already there" if done.kept else ""
        say(f"tokenized {done.utterances} utterances{kept} in {done.shards} shards of {args.out}{whose}")
    return 0


def device_of(local: int) -> str:
    """A process's own GPU, if it has one."""
    import torch

    return f"cuda:{local % torch.cuda.device_count()}" if torch.cuda.is_available() else "cpu"
