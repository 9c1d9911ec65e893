"""Words and voices that validation counts."""

from __future__ import annotations

import torch

from tadicodec.train.codec_objective import CodecObjective
from tadicodec.train.codec_task import CodecTask
from tadicodec.train.judged import conditions, prompt_lengths
from tests.conftest import tiny_config
from tests.train.test_codec_task import two_clips

WORDS = {f"errors/{name}" for name in ("own", "read", "codes", "text", "unprompted", "prompt")}
VOICES = {"voice/text", "voice/prompt"}


def task_of(**shape: object) -> CodecTask:
    torch.manual_seed(0)
    return CodecTask(tiny_config(**shape), CodecObjective(transcript_weight=float(bool(shape["transcriber_layers"]))))


def counted(task: CodecTask) -> dict[str, float]:
    ((_, _, found),) = task.losses(two_clips(), torch.Generator().manual_seed(0))
    return {name: float(value) for name, value in found.items() if "/" in name}


def test_validation_counts_words_and_training_does_not() -> None:
    task = task_of(transcriber_layers=1)
    network = task.networks["codec"]
    assert not counted(task)
    network.eval()
    assert counted(task).keys() == WORDS
    transcriber, aligner = network.codec.transcriber, network.codec.aligner  # write spaces alone: every word is missing
    for part in (transcriber, aligner):
        torch.nn.init.zeros_(part.out.weight)
    transcriber.out.bias.data = torch.tensor([0.0] + [-9.0] * 28)
    aligner.out.bias.data = torch.full((257,), -9.0).index_fill(0, torch.tensor(ord(" ")), 0.0)
    assert set(counted(task).values()) == {1.0}


def test_voices_are_compared_where_attention_sums_them_up() -> None:
    task = task_of(transcriber_layers=1, voice_size=8, voice_heads=2)
    network = task.networks["codec"].eval()
    found = counted(task)
    assert found.keys() == WORDS | VOICES and found["voice/text"] > 0
    torch.nn.init.normal_(network.codec.decoder.prior.prompt_voice.out_linear.weight)
    heard = counted(task)
    assert heard["voice/prompt"] != found["voice/prompt"] and heard["voice/text"] == found["voice/text"]


def test_with_and_without_a_prompt_clips_begin_with_the_recording() -> None:
    network = task_of(transcriber_layers=1, voice_size=8, voice_heads=2).networks["codec"].eval()
    torch.nn.init.normal_(network.codec.decoder.prior.prompt_voice.out_linear.weight)
    batch = two_clips()
    mels = conditions(network, batch, {"keep_text": torch.ones(2)}, {})
    for item, held in enumerate(prompt_lengths(batch).tolist()):
        assert torch.equal(mels["unprompted"][item, :held], batch["mel"][item, :held])
        assert torch.equal(mels["prompt"][item, :held], batch["mel"][item, :held])
        assert torch.equal(mels["unprompted"][item, held:], mels["text"][item, held:])
        assert not torch.equal(mels["prompt"][item, held:], mels["text"][item, held:])


def test_models_that_cannot_read_count_nothing() -> None:
    task = task_of(transcriber_layers=0)
    task.networks["codec"].eval()
    assert not counted(task)
