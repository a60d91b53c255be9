"""An engine that is called as a model is: padded tensors in, a model's result out."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from minidistil.checkpoint.pretrained import PreTrainedModel
from minidistil.config import DistilBertConfig
from minidistil.engine.sequences import Sequences
from minidistil.heads import (
    DistilBertForMaskedLM,
    DistilBertForMultipleChoice,
    DistilBertForQuestionAnswering,
    DistilBertForSequenceClassification,
    DistilBertForTokenClassification,
    merge_choices,
)
from minidistil.inputs import check_choices, check_inputs
from minidistil.messages import unknown_keyword
from minidistil.model import DistilBertModel
from minidistil.outputs import (
    BaseModelOutput,
    MaskedLMOutput,
    ModelOutput,
    MultipleChoiceOutput,
    QuestionAnsweringOutput,
    SequenceClassifierOutput,
    TokenClassifierOutput,
)

Kind = type[PreTrainedModel]

RESULTS: dict[Kind, Callable[[Tensor], ModelOutput]] = {
    DistilBertModel: BaseModelOutput,
    DistilBertForMaskedLM: partial(MaskedLMOutput, None),
    DistilBertForSequenceClassification: partial(SequenceClassifierOutput, None),
    DistilBertForTokenClassification: partial(TokenClassifierOutput, None),
    DistilBertForQuestionAnswering: lambda logits: QuestionAnsweringOutput(
        None, logits[..., 0].contiguous(), logits[..., 1].contiguous()
    ),
    DistilBertForMultipleChoice: partial(MultipleChoiceOutput, None),
}
# In the place of padding, where a model computes what nobody reads. No answer must
# start there.
FILLERS: dict[Kind, float] = {
    DistilBertForQuestionAnswering: torch.finfo(torch.float32).min
}


def model_itself(kind: Kind) -> str:
    """How to get the model that an engine was made of, for what an engine cannot do."""
    return (
        f"load the model itself, {kind.__name__}.from_pretrained(…), or a pipeline of "
        f"it, pipeline(…, dtype=torch.float32)"
    )


def check_arguments(given: Mapping[str, object], kind: Kind) -> None:
    """Raise TypeError for what an engine does not compute, or an unknown argument."""
    for name, value in given.items():
        known = name in inspect.signature(kind.forward).parameters
        if not known and name != "return_dict":
            taken = ("input_ids", "attention_mask", "token_type_ids", "positions")
            raise unknown_keyword([name], taken, "the engine")
        # What asks for nothing is no harm.
        harmless = (None, True) if name == "return_dict" else (None, False)
        if not any(value is each for each in harmless):
            raise TypeError(
                f"an Engine computes from input_ids and attention_mask, and takes no "
                f"{name}: {model_itself(kind)}"
            )


def padded_batch(
    compute: Callable[[Sequences], Tensor],
    kind: Kind,
    config: DistilBertConfig,
    width: int,
    input_ids: Tensor,
    attention_mask: Tensor | None,
) -> ModelOutput:
    """Compute a batch as the model does; rows of padding hold no numbers of its.

    Args:
        compute: Takes sequences of ids, and returns a row for each, or for each token.
        kind: The class of the model.
        config: Its configuration.
        width: The numbers of a result, or of each row of it.
        input_ids: (B, T), of multiple choice (B, C, T).
        attention_mask: Of that shape; 0 at padding, which is at the ends.
    """
    ids, mask = input_ids, attention_mask
    if kind is DistilBertForMultipleChoice:
        check_choices(ids, None)
        merged, mask = merge_choices(ids), merge_choices(mask)
        assert merged is not None
        ids = merged
    sequences, shown = without_padding(config, ids, mask)
    found = compute(sequences)
    if kind is DistilBertForMultipleChoice:
        result = found.view(input_ids.shape[:2])
    elif kind is DistilBertForSequenceClassification:
        result = found
    else:
        filler, shape = FILLERS.get(kind, 0.0), (*input_ids.shape, width)
        result = torch.full(shape, filler, dtype=torch.float32, device="cpu")
        result[shown] = found
    return RESULTS[kind](result.to(input_ids.device))


def without_padding(
    config: DistilBertConfig, ids: Tensor, mask: Tensor | None
) -> tuple[Sequences, Tensor]:
    """The rows of ids (B, T) without the padding that the mask hides at their ends.

    Returns:
        The rows; and the tokens that are no padding, as a mask (B, T) on the CPU.

    Raises:
        TypeError, ValueError, IndexError: for what the model would refuse.
        ValueError: for a mask that hides anything else.
    """
    check_inputs(config, ids, mask, None, None)
    ids = ids.to("cpu", torch.int32)
    shown = torch.ones_like(ids, dtype=torch.bool)
    if mask is not None:
        shown = mask.to("cpu", torch.bool)
        wrong = ~shown[:, 0] | (shown[:, 1:] > shown[:, :-1]).any(dim=1)
        if wrong.any():
            raise ValueError(
                f"attention_mask hides all of row {int(wrong.int().argmax())}, or a "
                f"token before others that are read: an Engine knows padding at the "
                f"end only; pad with padding_side='right', or use the model itself"
            )
    return Sequences(ids[shown], shown.sum(dim=1)), shown
