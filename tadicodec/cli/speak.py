"""Text to speech in a prompt's voice: a text to a wave, or a file with one sentence a line to a folder of waves."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tadicodec.cli import options
from tadicodec.cli.closing import Receipt, Tally, on_terminal, report, waiting
from tadicodec.cli.loading import Voice, load_codec, read_voice
from tadicodec.cli.paths import PIPE, Job
from tadicodec.cli.pipes import binary_output
from tadicodec.cli.transcripts import given_text
from tadicodec.errors import InputError
from tadicodec.guards.streams import MOST_TEXT, read_bounded, read_text_file

if TYPE_CHECKING:
    from tadicodec.speech import Prompt
    from tadicodec.tts.synthesize import Options, Speaker


OTHER_AUDIO = (".m4a", ".aac", ".wave", ".opus", ".aiff")  # that this package does not write


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `tadicodec speak`."""
    parser.add_argument("text", metavar="TEXT", help="what to say: the text, a .txt file, or - for standard input")
    parser.add_argument(
        "output", metavar="OUT", help="an audio file or - (stdout); a folder for one wave a line of a .txt"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")
    parser.add_argument(
        "--engine", choices=("ar", "masked"), help="which bundled model speaks (default: the better one)"
    )
    parser.add_argument("--tts-model", metavar="M", help="folder or Hugging Face id of another speech language model")
    options.add_model(parser)
    parser.add_argument("--prompt", metavar="WAVE", required=True, help="a few seconds of the voice to speak in")
    parser.add_argument(
        "--prompt-text",
        metavar="T",
        help="what the prompt says (default: the .txt beside it, else what the codec hears)",
    )
    parser.add_argument(
        "--seconds", type=float, metavar="S", help="length of the speech (default: as the prompt speaks)"
    )
    options.add_sampling(parser)


def run(args: argparse.Namespace) -> int:
    """Run `tadicodec speak` and return its exit code. Raises InputError."""
    lines, jobs = read_work(args)
    voice = read_voice(args)
    with waiting(f"loading the speech model ({args.tts_model or args.engine or 'bundled'}) and its codec"):
        speaker = load_speaker(args)
    from tadicodec.tts.synthesize import Options

    assert voice is not None  # --prompt is required
    prompt = speaker.prompt(voice.wave, voice.sample_rate, voice.text) if isinstance(voice, Voice) else voice
    options = Options(args.seconds, args.steps, args.guidance)
    tally = Tally("spoke")
    speak_all(Talk(speaker, prompt, options, args), lines, jobs, tally)
    return tally.close(args.json, jobs[0].target is None)


def read_work(args: argparse.Namespace) -> tuple[list[str], list[Job]]:
    """Texts and where each one's wave goes; everything is checked before a model is loaded. Raises InputError."""
    from tadicodec.audio.files import WRITABLE
    from tadicodec.outputs import check_output
    from tadicodec.tts.sentences import speakable

    if args.output == PIPE or Path(args.output).suffix.lower() in WRITABLE:
        lines, targets = [one_text(args.text)], [None if args.output == PIPE else Path(args.output)]
        if not speakable(lines[0]):
            raise InputError("there is nothing to say: the text holds no letter and no digit")
    else:
        looks_like_audio = Path(args.output).suffix.lower() in OTHER_AUDIO and not Path(args.output).is_dir()
        if not args.text.lower().endswith(".txt") or looks_like_audio:
            ends = " or ".join(WRITABLE)
            raise InputError(
                f"{args.output}: the output's name must end in {ends} (a folder is for the lines of a .txt)"
            )
        lines = read_lines(Path(args.text))
        width = max(len(str(len(lines))), 4)
        targets = [Path(args.output) / f"{number:0{width}d}.wav" for number in range(1, len(lines) + 1)]
        targets = [target for target, line in zip(targets, lines) if line]
        lines = [line for line in lines if line]
    for target in targets:
        binary_output() if target is None else check_output(target, args.overwrite)
    return lines, [Job(Path(args.text) if len(lines) > 1 else None, target) for target in targets]


def one_text(text: str) -> str:
    """The text of a single utterance, from an option or standard input. Raises InputError."""
    if text != PIPE:
        return given_text(text) or ""
    if sys.stdin is None or sys.stdin.isatty():
        raise InputError("- reads the text from standard input; pipe it in")
    try:
        return read_bounded(sys.stdin.buffer, "standard input", MOST_TEXT).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError("standard input is not UTF-8 text") from None


def read_lines(path: Path) -> list[str]:
    """Lines without their surrounding spaces. Raises InputError."""
    try:
        lines = [line.strip() for line in read_text_file(path).splitlines()]
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; give a text file with one sentence a line") from None
    except (UnicodeDecodeError, OSError) as error:
        raise InputError(f"{path} cannot be read as UTF-8 text ({error.__class__.__name__})") from None
    if not any(lines):
        raise InputError(f"{path} holds no text")
    return lines


def load_speaker(args: argparse.Namespace) -> Speaker:
    """The speech language model and codec that the options ask for. Raises InputError."""
    from tadicodec.tts.folder import find_tts_model
    from tadicodec.tts.synthesize import Speaker

    if args.tts_model is not None and args.engine is not None:
        raise InputError("--engine chooses a bundled model; --tts-model says itself what it is")
    folder = find_tts_model(args.tts_model, args.engine)  # before a codec is loaded for nothing
    codec = load_codec(args)
    return Speaker.from_pretrained(folder, codec=codec, dtype=codec.dtype)


class Talk:
    """Everything that saying a text needs, but the text."""

    def __init__(self, speaker: Speaker, prompt: Prompt, options: Options, args: argparse.Namespace) -> None:
        self.speaker, self.prompt, self.options = speaker, prompt, options
        self.seed, self.overwrite = args.seed, args.overwrite

    def say(self, text: str, job: Job) -> Receipt:
        """Say one text into one file. Every text has the seed to itself."""
        import torch

        from tadicodec.cli.audio_io import write_wave

        generator = torch.Generator().manual_seed(self.seed)
        waves: list[Any] = []
        tokens = size = 0
        for speech in self.speaker.codes(text, self.prompt, self.options, generator):
            waves.append(self.speaker.decode(speech, self.prompt, self.options, generator))
            tokens += int(speech.lengths[0])
            size += token_bytes(speech)
        wave = torch.cat(waves).numpy()
        write_wave(job, wave, self.speaker.codec.sample_rate, self.overwrite)
        return Receipt(len(wave) / self.speaker.codec.sample_rate, tokens, size)


def token_bytes(speech: Any) -> int:
    """The size that the codes would have as a token file."""
    from tadicodec.tdc.container import to_bytes

    return len(to_bytes(speech, None))


def speak_all(talk: Talk, lines: list[str], jobs: list[Job], tally: Tally) -> None:
    """Say all texts. A single text's mistake is raised; among several it is reported, and the others are spoken."""
    from tqdm import tqdm

    if len(jobs) == 1:
        tally.receipts.append(talk.say(lines[0], jobs[0]))
        return
    for text, job in zip(tqdm(lines, unit="line", disable=not on_terminal(), leave=False), jobs):
        try:
            tally.receipts.append(talk.say(text, job))
        except InputError as error:
            report(f"{job.target}: {error}")
            tally.failed += 1
