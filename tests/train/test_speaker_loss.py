"""Speakers told apart, voices compared: what counts, and what does not."""

from __future__ import annotations

import torch

from tadicodec.model.voice import Voice
from tadicodec.train.speaker_loss import SpeakerHead, patches, voice_error


def test_unknown_speakers_do_not_count() -> None:
    torch.manual_seed(0)
    head, summary = SpeakerHead(8), torch.randn(3, 8)
    alone = head(summary[:1], torch.tensor([7]))
    torch.testing.assert_close(head(summary, torch.tensor([7, -1, -1])), alone)
    assert head(summary, torch.full((3,), -1)) == 0
    assert head(head.weight[[7]], torch.tensor([7])) < alone  # a summary in the speaker's direction


def test_patches_hold_what_is_an_items_own() -> None:
    mel = torch.randn(2, 8, 4)
    own, held = patches(mel, torch.tensor([8, 5]), 2, after=torch.tensor([3, 0]))
    assert held.tolist() == [[0.0, 0.5, 1.0, 1.0], [1.0, 1.0, 0.5, 0.0]]
    assert torch.equal(own[0, 1], torch.cat([torch.zeros(4), mel[0, 3]])) and (own[1, 3] == 0).all()


def test_voices_are_compared_where_there_is_something_to_compare() -> None:
    torch.manual_seed(0)
    voice, mel = Voice(256, 8, 4, heads=2), torch.randn(1, 16, 128)
    batch = {"mel": mel, "lengths": torch.tensor([12]), "bandwidth": torch.tensor([100])}
    elsewhere = mel.clone()
    elsewhere[:, 12:] = elsewhere[:, :4] = elsewhere[:, :, 100:] = 9.0  # padding, prompt, bins without signal
    prompt = torch.tensor([4])
    torch.testing.assert_close(voice_error(voice.embed, elsewhere, batch, prompt, 2), torch.tensor(0.0))
    elsewhere[:, 8] = 9.0
    assert voice_error(voice.embed, elsewhere, batch, prompt, 2) > 1e-4
