"""The encoder can be exported: no check of its inputs reads a value while traced."""

from __future__ import annotations

import pytest
import torch
from reference import ATTENTIONS, ENCODER, OURS, SMALL, ids_for, right_padded, twins
from torch import Tensor, nn


class LastHiddenState(nn.Module):
    """What is exported returns tensors: an exported program knows no result types."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.encoder(input_ids, attention_mask).last_hidden_state


@pytest.mark.parametrize("attention", ATTENTIONS)
@torch.no_grad()
def test_an_exported_encoder_gives_the_same_answer_at_any_size(attention):
    encoder = LastHiddenState(twins(OURS, ENCODER, attention=attention, **SMALL)[0])
    ids = ids_for(ENCODER, 3, 7, 53)
    batch, tokens = torch.export.Dim("batch"), torch.export.Dim("tokens", max=40)
    sizes = {0: batch, 1: tokens}
    program = torch.export.export(
        encoder, (ids, right_padded(ids)), dynamic_shapes=(sizes, sizes)
    )
    exported = program.module()
    for shape in ((3, 7), (2, 11)):
        ids = ids_for(ENCODER, *shape, 53)
        ours, theirs = (run(ids, right_padded(ids)) for run in (encoder, exported))
        torch.testing.assert_close(theirs, ours, rtol=1e-5, atol=1e-5)
