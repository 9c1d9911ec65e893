"""Token files (.tdc) back to speech, in the voice of the prompt they carry or of --prompt."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from tadicodec.cli import options
from tadicodec.cli.audio_io import write_blocks
from tadicodec.cli.closing import Receipt, Tally
from tadicodec.cli.coding import decode_items
from tadicodec.cli.jobs import Worker, run_work
from tadicodec.cli.loading import Sampling, load_codec, make_prompt, read_voice
from tadicodec.cli.paths import PIPE, Job, pair
from tadicodec.cli.pipes import binary_input
from tadicodec.cli.transcripts import one_text
from tadicodec.errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from tadicodec.codec import Codec
    from tadicodec.speech import Prompt
    from tadicodec.tdc.container import TokenFile
    from tadicodec.tdc.header import Header
    from tadicodec.tdc.token_stream import TokenStream


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `tadicodec decode`."""
    options.add_paths(parser)
    options.add_model(parser)
    options.add_text(parser, "the text stored in the file, or what can be read in the codes")
    options.add_prompt(parser)
    options.add_coder(parser)
    options.add_sampling(parser)
    parser.add_argument(
        "--chunk",
        type=seconds,
        metavar="S",
        help="decode so many seconds at a time (default: 1.44 from pipe to pipe, or else what the model takes at once)",
    )


def seconds(text: str) -> float:
    """The value of --chunk. Raises an error of argparse where it is out of range."""
    value = float(text)
    if not 0.64 <= value <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is not between 0.64 and 3600")
    return value


def run(args: argparse.Namespace) -> int:
    """Run `tadicodec decode` and return its exit code. Raises InputError."""
    from tadicodec.audio.files import WRITABLE

    work = pair(args.input, args.output, [".tdc"], list(WRITABLE), args.overwrite)
    text = one_text(args.text, work.folder)
    voice = read_voice(args)
    codec = load_codec(args)
    tally = Tally("decoded")
    decoder = Decoder(codec, text, make_prompt(codec, voice), args)
    if args.input == PIPE == args.output:
        tally.receipts.append(decoder.relay(work.jobs[0]))
    else:
        run_work(work, decoder, args.batch_size, tally, args.strict)
    return tally.close(args.json, work.piped)


class Decoder(Worker):
    """Turns token files into waves."""

    def __init__(self, codec: Codec, text: str | None, prompt: Prompt | None, args: argparse.Namespace) -> None:
        self.codec, self.text, self.prompt, self.chunk = codec, text, prompt, args.chunk
        self.sampling, self.overwrite = Sampling(args.steps, args.guidance, args.seed), args.overwrite
        self.coder: str | None = args.coder
        self.measured: dict[Job, TokenFile] = {}  # reading a squeezed file takes a while

    def measure(self, job: Job) -> float:
        self.measured[job] = self.read(job)
        return self.measured[job].header.samples

    def process(self, jobs: list[Job]) -> list[tuple[Iterable[np.ndarray], TokenFile]]:
        files = [self.measured.pop(job) if job in self.measured else self.read(job) for job in jobs]
        items = [file.speech if self.text is None else replace(file.speech, text=(self.text,)) for file in files]
        prompts = [file.prompt if self.prompt is None else self.prompt for file in files]
        waves = decode_items(self.codec, items, prompts, self.sampling, self.chunk)
        return list(zip(waves, files, strict=True))

    def read(self, job: Job) -> TokenFile:
        """Read a token file and make sure that this model can decode it. Raises InputError."""
        from tadicodec.tdc.container import read_token_file

        file = read_token_file(binary_input() if job.source is None else job.source, self.coder)
        self.check(job.name, file.header)
        return file

    def check(self, name: str, header: Header) -> None:
        """Raise InputError unless this model made the codes and the prompt that they need is there."""
        if header.weights != self.codec.weights:
            raise InputError(
                f"{name} was made by model {header.model!r} (weights {header.weights!r}), this is "
                f"{self.codec.name!r} ({self.codec.weights!r}); give the right one with --model"
            )
        if header.prompt["source"] == "hash":
            wanted = header.prompt["hash"]
            if self.prompt is None:
                raise InputError(f"{name} needs the speaker prompt {wanted!r}; give it with --prompt")
            if self.prompt.hash != wanted:
                raise InputError(f"{name} was made for the speaker prompt {wanted!r}, --prompt is {self.prompt.hash!r}")

    def write(self, job: Job, result: tuple[Iterable[np.ndarray], TokenFile]) -> Receipt:
        waves, file = result
        write_blocks(job, waves, file.header.samples, self.codec.sample_rate, self.overwrite)
        return file_receipt(file)

    def relay(self, job: Job) -> Receipt:
        """Decode from pipe to pipe: sound goes out while later codes are still to come. Raises InputError."""
        from tadicodec.tdc.container import ContainerError
        from tadicodec.tdc.token_stream import TokenStream

        try:
            tokens = TokenStream(binary_input(), self.coder)
            header = tokens.header
            self.check(job.name, header)
            write_blocks(job, self.waves(tokens), header.samples, self.codec.sample_rate, self.overwrite)
        except ContainerError as error:
            raise type(error)(f"{job.name}: {error}") from None
        return Receipt(header.samples / self.codec.sample_rate, header.codes, tokens.size, tokens.code_bits)

    def waves(self, tokens: TokenStream) -> Iterator[np.ndarray]:
        """Blocks [n] as soon as the codes for them are there. Where a prompt comes behind the codes, all of them are
        read first."""
        from tadicodec.pipeline.streaming import STREAM_SECONDS, Utterance, open_stream

        header, prompt, codes = tokens.header, self.prompt, tokens.codes()
        if header.prompt_bytes:
            file = tokens.read_whole()
            prompt, codes = (file.prompt if prompt is None else prompt), iter(file.speech.codes)
        (generator,) = self.sampling.keywords(1)["generator"]
        stream = open_stream(
            self.codec.renderer,
            Utterance(header.codes, header.samples, header.text if self.text is None else self.text, prompt),
            self.codec.limits.solver(self.sampling.steps, self.sampling.guidance),
            generator,
            seconds=STREAM_SECONDS if self.chunk is None else self.chunk,
        )
        for part in codes:
            yield from (wave.numpy() for wave in stream.feed(part))


def file_receipt(file: TokenFile) -> Receipt:
    """What is known of a token file."""
    header = file.header
    bits = None if file.costs is None else file.costs.speech
    return Receipt(header.samples / header.sample_rate, header.codes, file.size, bits)
