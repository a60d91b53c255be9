"""Without torch's private operators, or with broken ones, the engine is still right."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from engines import (
    FLOAT32,
    PRECISIONS,
    answers,
    difference,
    forget,
    kernels_here,
    model_of,
    sequences_of,
)
from reference import MASKED_LM, SEQUENCE

from minidistil.engine import Engine, precision as plans
from minidistil.engine.cpu import choice
from minidistil.engine.operators import products as operators

# Drawn weights; see `test_every_kind_of_model_is_close`.
TOLERANCE = {"float32": FLOAT32, "bfloat16": 0.3, "int8": 0.4}


@pytest.fixture(autouse=True)
def everything_is_tried_anew():
    forget()
    yield
    forget()


@pytest.fixture(scope="module")
def sequences():
    return sequences_of([7, 40, 1, 2, 7, 19, 7, 3], 53)


class Changed:
    """A namespace of operators, one of which is missing or another."""

    def __init__(self, real: Any, name: str, change: Callable[[Any], Any] | None):
        self._real, self._name, self._change = real, name, change

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._real, name)
        if name != self._name:
            return found
        if self._change is None:
            raise AttributeError(f"no operator {name}")
        return Called(found, self._change)


class Called:
    """An operator, and its overloads, called in another way."""

    def __init__(self, real: Any, change: Callable[[Any], Any]) -> None:
        self._real, self._change = real, change

    def __call__(self, *arguments: Any) -> Any:
        return self._change(lambda: self._real(*arguments))

    def __getattr__(self, overload: str) -> Called:
        return Called(getattr(self._real, overload), self._change)


def wrong(call: Callable[[], torch.Tensor]) -> torch.Tensor:
    return call() * 1.5 + 0.5


def nothing(call: Callable[[], torch.Tensor]) -> torch.Tensor:
    return call() * torch.nan


def refused(call: Callable[[], torch.Tensor]) -> torch.Tensor:
    raise RuntimeError("could not create a primitive")


def unwritten(call: Callable[[], torch.Tensor]) -> torch.Tensor:
    raise NotImplementedError("there is no kernel for this backend")


def of_other_arguments(call: Callable[[], torch.Tensor]) -> torch.Tensor:
    raise TypeError("takes 7 positional arguments but 6 were given")


FLOATS, INTEGERS = ("float32", "bfloat16"), ("int8",)
OPERATORS = [
    ("mkldnn", "_linear_pointwise", FLOATS),
    ("mkldnn", "_reorder_linear_weight", FLOATS),
    ("onednn", "qlinear_pointwise", INTEGERS),
    ("onednn", "qlinear_prepack", INTEGERS),
]
FAULTS = [None, wrong, nothing, refused, unwritten, of_other_arguments]
# What packs a weight returns something opaque: no number in it can be changed.
PACKING = ("_reorder_linear_weight", "qlinear_prepack")
CASES = [
    pytest.param(*operator, fault, id=f"{operator[1]}-{getattr(fault, '__name__', '')}")
    for operator in OPERATORS
    for fault in FAULTS
    if operator[1] not in PACKING or fault not in (wrong, nothing)
]


def check_plain(precision: str, sequences: list[list[int]], **config: Any) -> None:
    """The engine takes torch's kernels, is right, and says that it has no others."""
    model = model_of(SEQUENCE, **config)
    engine = Engine(model, precision)
    assert engine.kernels == "torch"
    off = difference(engine(sequences), answers(model, sequences))
    assert off < TOLERANCE[precision]
    with pytest.raises(ValueError, match=r"kernels is 'onednn', which this torch"):
        Engine(model, precision, kernels="onednn")


@pytest.mark.parametrize(("space", "name", "needed", "fault"), CASES)
def test_a_faulty_operator_is_not_used(
    space, name, needed, fault, sequences, monkeypatch
):
    changed = Changed(getattr(torch.ops, space), name, fault)
    monkeypatch.setattr(torch.ops, space, changed)
    for precision in needed:
        check_plain(precision, sequences)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_torch_without_onednn_is_no_trouble(precision, sequences, monkeypatch):
    monkeypatch.setattr(torch._C, "_has_mkldnn", False)
    assert not torch.backends.mkldnn.is_available()
    check_plain(precision, sequences)
    check_plain(precision, sequences, activation="relu")


@pytest.mark.parametrize("precision", PRECISIONS)
def test_one_missing_operator_leaves_the_other_precisions_fast(precision, monkeypatch):
    expected = kernels_here(precision)[-1]
    space = "mkldnn" if precision == "int8" else "onednn"
    forget()
    for lost_space, name, _ in OPERATORS:
        if lost_space == space:
            changed = Changed(getattr(torch.ops, space), name, None)
            monkeypatch.setattr(torch.ops, space, changed)
    engine = Engine(model_of(SEQUENCE), precision, kernels=expected)
    assert engine.kernels == expected


def test_int8_keeps_its_head_right_without_the_float_operators(sequences, monkeypatch):
    changed = Changed(torch.ops.mkldnn, "_linear_pointwise", None)
    monkeypatch.setattr(torch.ops, "mkldnn", changed)
    model = model_of(MASKED_LM)
    found = Engine(model, "int8")(sequences)
    assert difference(found, answers(model, sequences)) < TOLERANCE["int8"]


@pytest.mark.skipif("onednn" not in kernels_here("int8"), reason="no int8 product here")
def test_where_sums_overflow_weights_have_seven_bits(sequences, monkeypatch):
    asked = []

    def quantize(weight, largest, real=operators.quantize_weight):
        asked.append(largest)
        return real(weight, largest)

    monkeypatch.setattr(operators, "sums_are_exact", functools.cache(lambda: False))
    monkeypatch.setattr(operators, "quantize_weight", quantize)
    model = model_of(SEQUENCE)
    found = Engine(model, "int8", kernels="onednn")(sequences)
    assert set(asked) == {63}
    assert difference(found, answers(model, sequences)) < 2 * TOLERANCE["int8"]


@pytest.mark.skipif("onednn" not in kernels_here("int8"), reason="no int8 product here")
def test_sums_that_saturate_are_noticed(monkeypatch):
    def saturated(call):
        return call().clamp(max=32767.0)

    monkeypatch.setattr(
        torch.ops, "onednn", Changed(torch.ops.onednn, "qlinear_pointwise", saturated)
    )
    assert not operators.sums_are_exact()


@pytest.mark.skipif("onednn" not in kernels_here(), reason="no packed product here")
@pytest.mark.parametrize(
    ("plain", "packed", "taken"),
    # Where they are nearly alike, no process chooses otherwise than the next.
    [(2.0, 1.0, "onednn"), (1.0, 2.0, "torch"), (0.95, 1.0, "onednn")],
)
def test_the_faster_kernels_are_taken_and_can_be_overruled(
    plain, packed, taken, monkeypatch
):
    times = itertools.cycle(
        [9 * plain, packed, plain, 9 * packed]
    )  # disturbed by turns
    threads = []

    def seconds(work):
        threads.append(torch.get_num_threads())
        return next(times)

    monkeypatch.setattr(choice, "_seconds", seconds)
    model, before = model_of(SEQUENCE), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert Engine(model).kernels == taken
        assert {*threads} == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    for kernels in ("onednn", "torch"):
        assert Engine(model, kernels=kernels).kernels == kernels


@pytest.mark.parametrize("fast", [True, False])
def test_int8_is_right_with_either_float_between(fast, sequences, monkeypatch):
    monkeypatch.setattr(plans, "bfloat16_is_fast", lambda: fast)
    model = model_of(SEQUENCE)
    found = Engine(model, "int8")(sequences)
    assert difference(found, answers(model, sequences)) < TOLERANCE["int8"]
