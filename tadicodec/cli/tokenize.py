"""A corpus to parquet shards of tokens, for training language models on. Started again, it makes what is missing;
started by `accelerate launch` or `torchrun`, its processes share the work; with --ray, the machines of a cluster do."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import TYPE_CHECKING

from tadicodec.cli import options
from tadicodec.cli.closing import on_terminal, report, say
from tadicodec.cli.loading import load_codec
from tadicodec.errors import InputError

if TYPE_CHECKING:
    from tadicodec.data.corpora.datasets_table import TableOptions
    from tadicodec.data.corpora.entry import Corpus
    from tadicodec.data.token_corpus import Done, Progress, Share

ROLES = ("audio", "text", "speaker", "id")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `tadicodec tokenize`."""
    parser.add_argument(
        "corpus",
        metavar="CORPUS",
        help="a manifest (.jsonl), a folder of audio, WebDataset shards ('x-{000..012}.tar'), a saved dataset, lhotse "
        "cuts, or hf:USER/NAME of the Hugging Face hub",
    )
    parser.add_argument("out", metavar="OUT", help="folder for the shards")
    parser.add_argument("--shard-minutes", type=options.positive, default=60, metavar="N", help="speech a shard (60)")
    parser.add_argument("--overwrite", action="store_true", help="replace shards of another corpus or codec")
    options.add_strict(parser)
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")
    parser.add_argument("--dataset-config", metavar="C", help="configuration of a Hugging Face dataset")
    parser.add_argument("--split", metavar="S", help="split of a Hugging Face dataset (default: all)")
    parser.add_argument("--stream", action="store_true", help="read a Hugging Face dataset without storing it")
    parser.add_argument("--columns", metavar="ROLE=NAME,...", help=f"columns of a dataset for {', '.join(ROLES)}")
    parser.add_argument(
        "--valid-every",
        type=options.count,
        default=20,
        metavar="N",
        help="in a corpus without splits, each N-th recording is for validation (20); 0: none",
    )
    parser.add_argument(
        "--ray",
        nargs="?",
        const="local",
        metavar="ADDRESS",
        help="share the work out on a Ray cluster: its address, auto, or this machine (default)",
    )
    parser.add_argument("--workers", type=options.positive, metavar="N", help="with --ray: workers (default: all fit)")
    options.add_model(parser)


def run(args: argparse.Namespace) -> int:
    """Run `tadicodec tokenize` and return its exit code. Raises InputError."""
    from tadicodec.data.corpora.opening import open_corpus
    from tadicodec.data.token_corpus import Share
    from tadicodec.guards.extras import need

    need("pyarrow", "a token corpus")
    if args.workers is not None and args.ray is None:
        raise InputError("--workers is for --ray; several processes of one machine are torchrun's")
    corpus = open_corpus(args.corpus, table_options(args), valid_every=args.valid_every)
    share = Share.from_environment()
    if args.device is None and share.world > 1:
        args.device = device_of(share.local)
    done = tokenize(args, corpus, share)
    if args.json:
        document = {"utterances": done.utterances, "kept": done.kept, "shards": done.shards, "bad": len(done.bad)}
        say(json.dumps({"action": "tokenized", "process": share.rank, "processes": share.world, **document}))
    else:
        whose = f" (process {share.rank} of {share.world})" if share.world > 1 else ""
        kept = f", {done.kept} of them already there" if done.kept else ""
        bad = f", {len(done.bad)} LEFT OUT" if done.bad else ""
        shards = "1 shard" if done.shards == 1 else f"{done.shards} shards"
        say(f"tokenized {done.utterances} recordings{kept}{bad} in {shards} of {args.out}{whose}")
    return 0


def tokenize(args: argparse.Namespace, corpus: Corpus, share: Share) -> Done:
    """Do the work, with a progress bar on a terminal. Raises InputError."""
    from tqdm import tqdm

    from tadicodec.data.cluster import Place, tokenize_on_ray
    from tadicodec.data.token_corpus import tokenize_corpus

    hidden = not on_terminal() or share.rank != 0
    settings = {"shard_seconds": 60.0 * args.shard_minutes, "overwrite": args.overwrite, "strict": args.strict}
    with tqdm(unit="recording", disable=hidden) as bar:
        progress = listing(bar.update)
        if args.ray is None:
            return tokenize_corpus(corpus, args.out, load_codec(args), share=share, progress=progress, **settings)
        place = Place(args.ray, args.model, "float32" if args.dtype == options.AUTO else args.dtype, args.workers)
        args.device = "cpu"  # here; the workers have their own
        return tokenize_on_ray(corpus, args.out, load_codec(args), place, progress=progress, **settings)


def listing(advance: Callable[[int], object]) -> Progress:
    """A callback that lists each bad recording on stderr."""
    from tadicodec.data.token_corpus import Progress

    return Progress(lambda bad: report(f"{bad.id}: {bad.reason}"), advance)


def table_options(args: argparse.Namespace) -> TableOptions:
    """The options of corpora that are tables. Raises InputError for columns that are not ROLE=NAME."""
    from tadicodec.data.corpora.datasets_table import TableOptions

    columns = {}
    for part in (args.columns or "").split(",") if args.columns else []:
        role, _, name = part.partition("=")
        if role not in ROLES or not name:
            raise InputError(f"--columns {part!r}: give ROLE=NAME, a role is one of {', '.join(ROLES)}")
        columns[role] = name
    return TableOptions(args.dataset_config, args.split, args.stream, columns or None)


def device_of(local: int) -> str:
    """The GPU of process number `local` on this machine, if it has one of its own."""
    import torch

    return f"cuda:{local % torch.cuda.device_count()}" if torch.cuda.is_available() else "cpu"
