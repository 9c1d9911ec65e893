"""Arms learn another model's codes with a decoder of their own shape, and phones begin where their letters do."""

from __future__ import annotations

import codec_arms
import numpy as np
import torch

from tests.conftest import tiny_codec
from tests.train.test_codec_task import two_clips


def test_an_arm_has_its_own_shape_and_the_others_codes() -> None:
    codec = tiny_codec()
    task = codec_arms.build({"hidden_size": 48, "prior_layers": 2, "token_drop": 0.5}, codec)
    arm = task.networks["codec"]
    assert task.objective.token_drop == 0.5 and len(arm.codec.decoder.prior.layers) == 2
    loss, metrics = codec_arms.losses(task, two_clips(), torch.Generator().manual_seed(0))
    loss.backward()
    assert metrics.keys() >= {"prior", "velocity"} and arm.codec.decoder.out_linear.weight.grad.abs().sum() > 0
    mel = two_clips()["mel"]
    for name, row, frames in (("a", 0, 48), ("b", 1, 80)):
        assert torch.equal(arm.known.codes[name].long(), codec.model.encode(mel[row : row + 1, :frames])[0])


def test_phones_begin_where_their_share_of_the_letters_does() -> None:
    phones = codec_arms.Phones.__new__(codec_arms.Phones)
    phones.g2p, phones.words, phones.ids = {"night": "nIt", "a": "x"}.__getitem__, {}, {}
    ids, starts = phones.spell(b"a night.", np.arange(8) * 10.0)
    assert [list(phones.ids)[i] for i in ids] == ["x", " ", "n", "I", "t", "."]
    torch.testing.assert_close(starts, torch.tensor([0.0, 10.0, 20.0, 20 + 50 / 3, 20 + 100 / 3, 70.0]))
