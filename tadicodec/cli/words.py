"""What is said in a recording: --text, --no-text, an ASR model, the .txt beside it, or the codec's own transcript."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

from tadicodec.cli.audio_io import is_pipe, read_wave
from tadicodec.cli.paths import Job
from tadicodec.cli.transcripts import one_text, sidecar_text
from tadicodec.errors import InputError

if TYPE_CHECKING:
    from tadicodec.codec import Codec
    from tadicodec.eval.judges.transcribe import Transcriber
    from tadicodec.speech import Speech

ASR_RATE = 16000


class Words:
    """Decides once for a command; raises InputError where options contradict each other."""

    def __init__(self, args: argparse.Namespace, folder: bool) -> None:
        asked = [args.text is not None, args.no_text, args.asr is not None]
        if sum(asked) > 1:
            raise InputError("--text, --no-text and --asr exclude each other; give one of them")
        self.withheld: bool = args.no_text
        self.text = "" if args.no_text else one_text(args.text, folder)
        self.asr: str | None = args.asr
        self.transcriber: Transcriber | None = None

    def load(self, codec: Codec) -> None:
        """Load the ASR model, if one is asked for, where the codec is. Raises InputError."""
        if self.asr is not None:
            from tadicodec.eval.judges.panel import load_transcriber

            self.transcriber = load_transcriber(self.asr, str(codec.device))

    def of(self, job: Job) -> str | None:
        """The words of one recording; None leaves them to the codec's own transcriber. Raises InputError."""
        if self.text is not None:
            return self.text
        if self.transcriber is not None:
            if is_pipe(job):
                raise InputError("--asr reads the recording twice, which a pipe does not allow; give a file")
            return self.transcriber(read_wave(job, ASR_RATE))
        return sidecar_text(job.source)

    def sent(self, speech: Speech) -> Speech:
        """An utterance as it is sent: with --no-text its text is unknown, so that who decodes it may read its codes."""
        return replace(speech, text=(None,)) if self.withheld else speech
