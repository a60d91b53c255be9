"""Where a device computes while the host reads on, answers stay what they are.

No device is needed: an engine on a CPU is made to look like one that computes later,
when its results are waited for.
"""

from __future__ import annotations

import warnings

import pytest
import torch
from checkpoints import draw_lively
from tasks import TASKS

from minidistil import Engine, pipeline
from minidistil.pipelines import running

COUNT = 23
LONG = "the film is good " * 20  # more than can be read


@pytest.fixture(params=TASKS)
def task(request):
    return request.param


@pytest.fixture
def pipe(task, folder_of):
    head, config, options, _ = TASKS[task]
    return pipeline(task, folder_of(head, draw=draw_lively, **config), **options)


@pytest.fixture
def later(monkeypatch):
    """Start small slices ahead, each computed when it is waited for; note the order."""
    events = []
    real = Engine.start

    def start(self, sequences, wanted=None):
        number = len([each for each in events if each[0] == "start"])
        events.append(("start", number))

        def wait():
            events.append(("wait", number))
            return real(self, sequences, wanted)()

        return wait

    def use():
        monkeypatch.setattr(Engine, "start", start)
        monkeypatch.setattr(running.Running, "_ahead", running.AHEAD)
        monkeypatch.setattr(running, "SLICE", 3)
        monkeypatch.setattr(running, "TOGETHER", 9)
        monkeypatch.setattr(running, "TOKENS", 16)
        return events

    return use


def inputs_of(task):
    """Inputs of different lengths, some of them too long."""
    made = []
    for number in range(COUNT):
        text = LONG if number % 7 == 3 else "a good film " * (1 + number % 4)
        match task:
            case "question-answering":
                one = {"question": "who is it", "context": text}
            case "multiple-choice":
                one = {"prompt": text, "choices": ["good", "the man"]}
            case "fill-mask":
                one = f"[MASK] {text}"
            case _:
                one = text
        made.append(one)
    return made


def numbers(answer):
    """Tensors as lists."""
    return answer.tolist() if isinstance(answer, torch.Tensor) else answer


def close(answer):
    """The answer, within rounding: batches are not the same."""
    if isinstance(answer, float):
        return pytest.approx(answer, abs=1e-5)
    if isinstance(answer, dict):
        return {key: close(value) for key, value in answer.items()}
    return [close(each) for each in answer] if isinstance(answer, list) else answer


@pytest.mark.parametrize("form", [list, iter])
def test_every_answer_is_the_same_and_in_its_place(pipe, task, later, form):
    texts = inputs_of(task)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is truncated
        expected = [*pipe(texts)]
        later()
        found = [*pipe(form(texts))]
    assert len(found) == COUNT
    assert [*map(numbers, found)] == [close(numbers(each)) for each in expected]


def test_more_is_started_before_the_first_is_waited_for(folder_of, later):
    pipe = pipeline("text-classification", folder_of(draw=draw_lively))
    events = later()
    pipe(["a film"] * 9)
    order = [("start", 0), ("start", 1), ("start", 2), ("wait", 0), ("wait", 1)]
    assert events == [*order, ("wait", 2)]


@pytest.mark.parametrize("place", [0, 4, 10, 17])
def test_what_comes_before_a_text_that_is_refused_is_answered(folder_of, later, place):
    pipe = pipeline("text-classification", folder_of(draw=draw_lively))
    texts = ["a film"] * COUNT
    texts[place] = LONG
    later()
    answers = pipe(iter(texts), truncation="error")
    for _ in range(place):
        next(answers)
    with pytest.raises(ValueError, match=f"text {place}: a text has"):
        next(answers)
    with pytest.raises(ValueError, match=f"text {place}: a text has"):
        pipe(texts, truncation="error")
