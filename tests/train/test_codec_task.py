"""What the codec's objective asks of prompts and of what the encoder hears."""

from __future__ import annotations

import pytest
import torch

from tadicodec.errors import InputError
from tadicodec.model.autoencoder import Autoencoder
from tadicodec.train.codec_task import CodecObjective, CodecTask, heard_error
from tests.conftest import tiny_codec, tiny_config
from tests.train.test_known_codes import batch_of


def two_clips() -> dict:
    generator = torch.Generator().manual_seed(0)
    mels = [torch.randn(size, 128, generator=generator) for size in (48, 80)]
    batch = batch_of(["a", "b"], mels, [[3, 4], [5, 6, 7]]) | {"bandwidth": torch.tensor([128, 90])}
    return batch | {"letters": batch["text_ids"], "letter_lengths": batch["text_lengths"]}


def losses(objective: CodecObjective) -> tuple[torch.Tensor, dict, CodecTask]:
    torch.manual_seed(0)
    task = CodecTask(tiny_config(voice_size=8), objective)
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


def test_the_decoder_learns_from_what_the_encoder_hears() -> None:
    rules = {"part": "decoder", "entropy_weight": 0.0, "prompt_probability": 0.5}
    loss, metrics, _ = losses(CodecObjective(**rules))
    more, heard, task = losses(CodecObjective(**rules, hear_weight=0.5))
    assert heard["heard"] > 0 and torch.isclose(more, loss + 0.5 * heard["heard"])
    more.backward()
    network: Autoencoder = task.networks["codec"].codec
    assert network.decoder.prior.mel_linear.weight.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in network.encoder.parameters())


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
    next(iter(task.losses(batch, torch.Generator().manual_seed(0))))
    damaged, held = seen["batch"]["prompt"], seen["draws"]["prompt"]
    assert torch.equal(seen["batch"]["mel"], batch["mel"]) and int(held.min()) >= 4
    for i, frames in enumerate(held.tolist()):
        assert not torch.allclose(damaged[i, :frames], batch["mel"][i, :frames])
        for given in (seen["noisy"], seen["prior"]):
            assert torch.equal(given[i, :frames], damaged[i, :frames])


def test_only_an_encoder_that_rests_can_be_asked() -> None:
    with pytest.raises(InputError, match="part: decoder"):
        CodecObjective(hear_weight=1.0)
    with pytest.raises(InputError, match="prior_layers"):
        CodecTask(tiny_config(prior_layers=0), CodecObjective(part="decoder", entropy_weight=0.0, hear_weight=1.0))
