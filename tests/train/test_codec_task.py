"""What the codec's objective asks of prompts and of what the encoder hears."""

from __future__ import annotations

import pytest
import torch

from tadicodec.errors import InputError
from tadicodec.model.autoencoder import Autoencoder
from tadicodec.text.normalize import LETTERS
from tadicodec.train.codec_network import heard_error
from tadicodec.train.codec_objective import CodecObjective
from tadicodec.train.codec_task import CodecTask
from tests.conftest import tiny_codec, tiny_config
from tests.train.test_known_codes import batch_of


def two_clips() -> dict:
    generator = torch.Generator().manual_seed(0)
    mels = [torch.randn(size, 128, generator=generator) for size in (48, 80)]
    batch = batch_of(["a", "b"], mels, [[3, 4], [5, 6, 7]]) | {"bandwidth": torch.tensor([128, 90])}
    letters = {"letters": batch["text_ids"], "letter_lengths": batch["text_lengths"]}
    return batch | letters | {"speaker": torch.tensor([5, -1])}


def losses(objective: CodecObjective) -> tuple[torch.Tensor, dict, CodecTask]:
    torch.manual_seed(0)
    task = CodecTask(tiny_config(voice_size=8, voice_heads=2), objective)
    ((_, loss, metrics),) = task.losses(two_clips(), torch.Generator().manual_seed(0))
    return loss, metrics, task


def test_what_the_encoder_hears_is_what_it_would_hear() -> None:
    encoder, batch = tiny_codec().model.encoder, two_clips()
    prompt = torch.tensor([0, 16])
    assert heard_error(encoder, batch["mel"], batch, prompt) == 0
    elsewhere = batch["mel"].clone()
    elsewhere[0, 48:] = 9.0  # padding
    elsewhere[1, :16] = 9.0  # the prompt
    elsewhere[1, :, 90:] = 9.0  # bins that the recording does not have
    assert heard_error(encoder, elsewhere, batch, prompt) == 0
    elsewhere[1, 40] = 9.0
    assert heard_error(encoder, elsewhere, batch, prompt) > 0


@pytest.mark.parametrize("part", ["all", "decoder"])
def test_the_prior_learns_from_what_the_encoder_hears(part: str) -> None:
    rules = {"part": part, "entropy_weight": 0.0, "prompt_probability": 0.5}
    loss, metrics, _ = losses(CodecObjective(**rules))
    more, heard, task = losses(CodecObjective(**rules, hear_weight=0.5))
    assert heard["heard"] > 0 and torch.isclose(more, loss + 0.5 * heard["heard"])
    more.backward()
    network: Autoencoder = task.networks["codec"].codec
    assert network.decoder.prior.mel_linear.weight.grad.abs().sum() > 0
    assert all((parameter.grad is None) == (part == "decoder") for parameter in network.encoder.parameters())


def test_the_ear_rests_while_the_encoder_learns() -> None:
    """The loop's moving average judges, and gets no gradient; what the codes become is the encoder's own."""
    torch.manual_seed(0)
    task = CodecTask(tiny_config(encoder_conv_layers=1, encoder_num_layers=2), CodecObjective(hear_weight=1.0))
    network = task.networks["codec"]
    kept = {name: torch.zeros_like(value) for name, value in network.state_dict().items()}
    batch = two_clips() | {"average": kept}
    ((_, _, metrics),) = task.losses(batch, torch.Generator().manual_seed(0))
    assert metrics["heard"] == 0  # an encoder of zeros hears nothing in anything
    batch["average"] = {name: value.clone() for name, value in network.state_dict().items()}
    ((_, loss, metrics),) = task.losses(batch, torch.Generator().manual_seed(0))
    loss.backward()
    assert metrics["heard"] > 0 and all(value.grad is None for value in batch["average"].values())


def test_a_damaged_prompt_leaves_what_follows_clean() -> None:
    """Prior and decoder are both given the damaged one; what they should make of the rest is the recording's."""
    torch.manual_seed(0)
    rules = CodecObjective(entropy_weight=0.0, prompt_probability=1.0, prompt_min=4, prompt_degrade=1.0)
    task, seen = CodecTask(tiny_config(voice_size=8), rules), {}
    network = task.networks["codec"]
    decoder = network.codec.decoder
    network.register_forward_pre_hook(lambda _, given: seen.update(batch=given[0], draws=given[1]))
    decoder.register_forward_pre_hook(lambda _, given: seen.update(noisy=given[0]))
    decoder.prior.register_forward_pre_hook(lambda _, given: seen.update(prior=given[2][0]))
    batch = two_clips()
    batch["heard"] = batch["mel"] + 1
    next(iter(task.losses(batch, torch.Generator().manual_seed(0))))
    damaged, held = seen["batch"]["prompt"], seen["draws"]["prompt"]
    assert torch.equal(seen["batch"]["mel"], batch["mel"]) and int(held.min()) >= 4
    for i, frames in enumerate(held.tolist()):
        assert not torch.allclose(damaged[i, :frames], batch["mel"][i, :frames])
        for given in (seen["noisy"], seen["prior"]):
            assert torch.equal(given[i, :frames], damaged[i, :frames])


def test_the_prior_is_told_misread_texts() -> None:
    torch.manual_seed(0)
    task = CodecTask(tiny_config(), CodecObjective(part="decoder", entropy_weight=0.0, misread=1.0))
    network, batch, seen = task.networks["codec"], two_clips(), {}
    network.codec.aligner.out.bias.data[list(LETTERS.encode())] = torch.arange(28.0) / 4  # so that it hears letters
    network.codec.decoder.prior.register_forward_pre_hook(lambda _, given: seen.update(text=given[1]))
    next(iter(task.losses(batch, torch.Generator().manual_seed(0))))
    misread = network.known.misread(batch, torch.tensor([True, True]))
    assert misread["text_lengths"].min() > 0 and not misread["text_ids"].equal(batch["text_ids"])
    assert torch.equal(seen["text"], network.codec.text_emb(misread["text_ids"]))


def test_voices_are_told_apart_and_compared() -> None:
    """The summary of the prompt learns from the speaker's number, the prior from how its mel sums up."""
    rules = {"entropy_weight": 0.0, "prompt_probability": 0.5}
    plain, _, _ = losses(CodecObjective(**rules))
    loss, metrics, task = losses(CodecObjective(**rules, speaker_weight=0.1, voice_weight=0.2))
    assert torch.isclose(loss, plain + 0.1 * metrics["speaker"] + 0.2 * metrics["voice"])
    assert 0 < metrics["voice"] < 2
    loss.backward()
    voice = task.networks["codec"].codec.decoder.prior.prompt_voice
    assert voice.summary_linear.weight.grad.abs().sum() > 0 and task.networks["codec"].speakers.weight.grad is not None


def test_what_judges_needs_something_to_judge() -> None:
    with pytest.raises(InputError, match="speaker_weight"):
        CodecObjective(voice_weight=1.0)
    with pytest.raises(InputError, match="voice_size"):
        CodecTask(tiny_config(), CodecObjective(speaker_weight=1.0))
    with pytest.raises(InputError, match="prior_layers"):
        CodecTask(tiny_config(prior_layers=0), CodecObjective(part="decoder", entropy_weight=0.0, hear_weight=1.0))


@pytest.mark.parametrize(("part", "term"), [("transcriber", "transcript"), ("aligner", "ctc")])
def test_what_hears_learns_alone(part: str, term: str) -> None:
    """Nothing else gets a gradient, so codes stay valid."""
    rules = {"entropy_weight": 0.0, f"{term}_weight": 0.5}
    torch.manual_seed(0)
    config = tiny_config(**{f"{part}_layers": 2, f"{part}_conformer": True})
    task = CodecTask(config, CodecObjective(**rules, part=part))
    ((_, loss, metrics),) = task.losses(two_clips(), torch.Generator().manual_seed(0))
    assert set(metrics) == {term} and torch.isclose(loss, 0.5 * metrics[term])
    loss.backward()
    for name, parameter in task.networks["codec"].codec.named_parameters():
        assert (parameter.grad is not None) == name.startswith(f"{part}."), name


def test_what_a_part_alone_cannot_learn() -> None:
    for part, weight in (("transcriber", "transcript_weight"), ("aligner", "ctc_weight")):
        with pytest.raises(InputError, match=weight):
            CodecObjective(part=part)
    with pytest.raises(InputError, match="hear_weight has nothing to train where only the transcriber learns"):
        CodecObjective(part="transcriber", transcript_weight=1.0, hear_weight=1.0)
    with pytest.raises(InputError, match="transcript_weight has nothing to train where only the decoder learns"):
        CodecObjective(part="decoder", transcript_weight=1.0)
    with pytest.raises(InputError, match="misread is for part 'decoder'"):
        CodecObjective(misread=0.3)
    with pytest.raises(InputError, match="misread needs an aligner that writes bytes"):
        CodecTask(tiny_config(prior_layers=0), CodecObjective(part="decoder", entropy_weight=0.0, misread=0.3))


@pytest.mark.parametrize("convolutions", [0, 1])
def test_the_encoder_learns_from_its_middle(convolutions: int) -> None:
    """The blocks after it get nothing of this loss, those before it all."""
    torch.manual_seed(0)
    config = tiny_config(encoder_num_layers=3, encoder_conv_layers=convolutions)
    task = CodecTask(config, CodecObjective(entropy_weight=0.0, early_weight=1.0))
    network = task.networks["codec"]
    torch.nn.init.normal_(network.early.weight)
    ((_, _, metrics),) = task.losses(two_clips(), torch.Generator().manual_seed(0))
    assert metrics["early"] > 0
    encoder = network.codec.encoder
    first, last = [*encoder.convolutions, *encoder.layers][0], encoder.layers[-1]
    logits = network(two_clips(), task.draw(two_clips(), torch.Generator()))["early_logits"]
    logits.sum().backward()
    assert first.mlp.up_proj.weight.grad is not None and last.mlp.up_proj.weight.grad is None
    assert logits.shape == (2, 40 if convolutions else 80, 29)
