"""What the tests themselves stand on."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from answers import assert_answers
from sampling import sample


def test_a_sample_has_every_value_of_every_parameter():
    sizes = {"head": 6, "attention": 2, "mask": 5}
    cases = [
        SimpleNamespace(
            callspec=SimpleNamespace(indices=dict(zip(sizes, place, strict=True)))
        )
        for place in itertools.product(*map(range, sizes.values()))
    ]
    found = sample(cases, 6)
    assert len({id(case) for case in found}) == 6
    for name, size in sizes.items():
        values = {case.callspec.indices[name] for case in found}
        assert values == set(range(size))
    assert sample(cases, 6) == found
    assert len(sample(cases, 100)) == len(cases)


ANSWER = [[{"label": "good", "score": 0.5, "start": 3}]]
OTHERS = {
    "a score": [[{"label": "good", "score": 0.50001, "start": 3}]],
    "a word": [[{"label": "bad", "score": 0.5, "start": 3}]],
    "a place": [[{"label": "good", "score": 0.5, "start": 4}]],
    "the order of keys": [[{"score": 0.5, "label": "good", "start": 3}]],
    "a key": [[{"label": "good", "score": 0.5}]],
    "a number of another type": [[{"label": "good", "score": 0.5, "start": 3.0}]],
    "numpy's number": [[{"label": "good", "score": np.float64(0.5), "start": 3}]],
    "nesting": ANSWER[0],
    "the number of answers": [[*ANSWER[0], *ANSWER[0]]],
    "a tuple": [(*ANSWER[0],)],
    "nothing": [],
}


@pytest.mark.parametrize("other", OTHERS)
def test_answers_that_differ_are_not_the_same(other):
    with pytest.raises(AssertionError):
        assert_answers(OTHERS[other], ANSWER)


def test_answers_may_differ_by_the_tolerance_alone():
    theirs = [[{"label": "good", "score": np.float32(0.5), "start": np.int64(3)}]]
    assert_answers(ANSWER, theirs)
    assert_answers(OTHERS["a score"], ANSWER, 2e-5)
    assert_answers(OTHERS["a score"], ANSWER, relative=3e-5)


def test_vectors_are_compared_number_by_number():
    assert_answers([torch.ones(2)], [torch.ones(2)])
    others = [torch.ones(3), torch.ones(2).double(), torch.tensor([1.0, 1.1]), [1.0, 1]]
    for other in others:
        with pytest.raises(AssertionError):
            assert_answers([other], [torch.ones(2)])
