"""Every argument of the model and of its heads can be seen: by help() and editors."""

from __future__ import annotations

import inspect

import pytest
import transformers

import minidistil
from minidistil import DistilBertModel
from minidistil.auto import KINDS

HEADS = [kind for kind in KINDS.values() if kind is not DistilBertModel]
LABELS = {"labels", "num_items_in_batch"}
SPANS = {"start_positions", "end_positions", "num_items_in_batch"}


def arguments(function) -> dict[str, inspect.Parameter]:
    parameters = dict(inspect.signature(function).parameters)
    parameters.pop("self", None)
    return parameters


@pytest.mark.parametrize("kind", HEADS)
def test_a_head_takes_what_the_encoder_takes_and_labels(kind):
    question = kind is minidistil.DistilBertForQuestionAnswering
    own = SPANS if question else LABELS
    encoder, head = arguments(DistilBertModel.forward), arguments(kind.forward)
    assert head.keys() == encoder.keys() | own
    for name in encoder:
        assert head[name] == encoder[name]
    for name in own:
        assert head[name].default is None
        assert head[name].kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize("kind", KINDS.values())
def test_an_instance_and_a_class_show_their_arguments(kind):
    for parameters in (arguments(kind.forward), arguments(kind)):
        kinds = [each.kind for each in parameters.values()]
        assert inspect.Parameter.VAR_POSITIONAL not in kinds
    assert list(arguments(kind)) == ["config", "attn_implementation"]
    # What catches a misspelt name is last, and called what it is.
    *_, last = arguments(kind.forward).values()
    assert (last.name, last.kind) == ("unknown", inspect.Parameter.VAR_KEYWORD)


@pytest.mark.parametrize("kind", KINDS.values())
def test_the_arguments_of_transformers_have_their_names(kind):
    theirs = arguments(getattr(transformers, kind.__name__).forward)
    assert theirs.keys() - {"kwargs"} <= arguments(kind.forward).keys()
