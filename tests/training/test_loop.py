"""The loop: a step is what it would be in one piece, and nobody waits within it."""

from __future__ import annotations

import copy
from contextlib import nullcontext
from functools import partial

import pytest
import torch
import transformers
from checkpoints import draw_lively
from lessons import HEADS, NO_DROPOUT, models, sentence
from test_tasks_against_transformers import CASES
from torch import nn
from trainings import RECIPE, checkpoint, training_of, weights, with_sgd
from transformers import AutoTokenizer, get_linear_schedule_with_warmup
from waits import NoWaits, WaitError

import minidistil
from minidistil.training import learners
from minidistil.training.loop import Step, groups

TEXTS = "text-classification"
PLAIN = {**RECIPE, "largest_gradient": 1e9, "warm_up": 0, "learning_rate": 0.01}
DISTIL = {**PLAIN, "soft": 5.0, "hard": 2.0, "cosine": 1.0, "masked": 0.3}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Checkpoints of all heads, without dropout and with."""

    made = {}

    def place(task, dropout=False, **config):
        key = repr((task, dropout, config))
        if key not in made:
            options = config if dropout else NO_DROPOUT | config
            folder = tmp_path_factory.mktemp(task)
            made[key] = checkpoint(folder, task, draw=draw_lively, **options)
        return made[key]

    return place


def teacher_in(folder):
    teacher = minidistil.DistilBertForMaskedLM.from_pretrained(folder)
    with torch.no_grad():
        for number, weight in enumerate(teacher.parameters()):
            weight += 0.1 * torch.randn(
                weight.shape, generator=torch.manual_seed(number)
            )
    return teacher


def close(found, wanted):
    largest = max(float(each.abs().max()) for each in wanted.values())
    assert found.keys() == wanted.keys()
    for name, right in wanted.items():
        torch.testing.assert_close(
            found[name], right, rtol=1e-6, atol=1e-6 * max(1.0, largest)
        )


# A step is one step


@pytest.mark.parametrize("pass_rows", [1, 4, 5])
@pytest.mark.parametrize("task", HEADS)
def test_passes_of_any_size_are_one_large_batch(place, task, pass_rows):
    learnt = []
    for rows in (pass_rows, 6):
        training = with_sgd(training_of(place(task), task, PLAIN | {"pass_rows": rows}))
        for _ in zip(range(4), training.steps(), strict=False):
            pass
        learnt.append((weights(training), training.progress))
    (some, noted), (whole, wanted) = learnt
    close(some, whole)
    assert noted.sums.keys() == wanted.sums.keys() == {"hard", "gradient"}
    for name, value in wanted.sums.items():
        assert float(noted.sums[name]) == pytest.approx(float(value), rel=1e-5)


@pytest.mark.parametrize("pass_rows", [1, 4])
def test_passes_of_a_distillation_are_one_large_batch(place, pass_rows):
    task, learnt = "fill-mask", []
    for rows in (pass_rows, 6):
        teacher = teacher_in(place(task))
        recipe = DISTIL | {"pass_rows": rows}
        training = with_sgd(training_of(place(task), task, recipe, teacher=teacher))
        for _ in zip(range(4), training.steps(), strict=False):
            pass
        learnt.append((weights(training), training.progress))
    (some, noted), (whole, wanted) = learnt
    close(some, whole)
    assert wanted.sums.keys() == {"hard", "soft", "cosine", "gradient"}
    for name, value in wanted.sums.items():
        assert float(noted.sums[name]) == pytest.approx(float(value), rel=1e-5)


@pytest.mark.parametrize("case", CASES)
def test_a_step_is_the_step_of_transformers(place, case):
    task, make = CASES[case]
    rows, changes, batch = make(None, AutoTokenizer.from_pretrained(place(task)))
    changes.pop("ignore_mismatched_sizes", None)
    folder = place(task, **changes)
    _, theirs = models(folder, HEADS[task][0])
    optimizer = torch.optim.SGD(theirs.parameters(), lr=PLAIN["learning_rate"])
    loss = theirs(**batch).loss
    loss.backward()
    optimizer.step()
    recipe = PLAIN | {"batch_size": len(rows), "pass_rows": len(rows), "epochs": 1}
    training = with_sgd(training_of(folder, task, recipe, rows=rows))
    assert [*training.steps()] == [1]
    assert float(training.progress.sums["hard"]) == pytest.approx(float(loss), rel=1e-6)
    close(
        {name.removeprefix("model."): x for name, x in weights(training).items()},
        dict(theirs.named_parameters()),
    )


@pytest.mark.parametrize("task", ["text-classification", "fill-mask"])
def test_blocks_that_are_computed_again_draw_the_same_dropout(place, task):
    learnt = []
    for again in (False, True):
        training = with_sgd(training_of(place(task, dropout=True), task, PLAIN))
        if again:
            training.student.model.gradient_checkpointing_enable()
        next(training.steps())
        learnt.append(weights(training))
    close(*learnt)


def test_dropout_is_another_in_each_step_and_pass(place):
    task = "text-classification"
    training = with_sgd(training_of(place(task, dropout=True), task, PLAIN))
    drawn = []
    real = training.student.forward

    def forward(**inputs):
        drawn.append(torch.rand(3).tolist())
        return real(**inputs)

    training.student.forward = forward
    for _ in training.steps():
        pass
    assert len(drawn) == len({*map(tuple, drawn)}) > training.progress.step


def test_other_words_are_hidden_in_each_step(place):
    # Of lengths that are all different: a batch is the same rows in the same order.
    rows = [{"text": " ".join(sentence(i, 20 + i))} for i in range(8)]
    recipe = {**PLAIN, "epochs": 3, "batch_size": 8, "pass_rows": 8}
    lessons = training_of(place("fill-mask"), "fill-mask", recipe, rows=rows).lessons
    batches = [lessons.plan.batch(number).tolist() for number in range(3)]
    assert batches == [[7, 6, 5, 4, 3, 2, 1, 0]] * 3
    found = [lessons.step(number).passes[0]() for number in range(3)]
    assert len({tuple(each["places"].tolist()) for each in found}) == 3


def test_the_student_learns_in_training_mode_whatever_an_evaluation_has_left(place):
    training = training_of(place("text-classification"), "text-classification")
    for _ in zip(range(2), training.steps(), strict=False):
        assert all(module.training for module in training.student.modules())
        training.student.eval()


def test_a_teacher_does_not_learn_and_drops_nothing(place):
    teacher = teacher_in(place("fill-mask", dropout=True)).train()
    before = copy.deepcopy(teacher.state_dict())
    folder = place("fill-mask", dropout=True)
    training = training_of(folder, "fill-mask", DISTIL, teacher=teacher)
    for _ in training.steps():
        assert not any(module.training for module in teacher.modules())
    assert all(weight.grad is None for weight in teacher.parameters())
    assert all(before[name].equal(x) for name, x in teacher.state_dict().items())
    assert not any(name.startswith("_teacher") for name in weights(training))


# The optimizer


def test_the_gradient_is_clipped_to_its_norm(place):
    recipe = PLAIN | {"largest_gradient": 0.01, "learning_rate": 1.0}
    training = with_sgd(training_of(place("text-classification"), TEXTS, recipe))
    before = weights(training)
    next(training.steps())
    steps = [weights(training)[name] - x for name, x in before.items()]
    length = float(torch.cat([each.flatten() for each in steps]).norm())
    assert length == pytest.approx(0.01, rel=1e-3)
    assert float(training.progress.sums["gradient"]) > 0.1


@pytest.mark.parametrize("warm_up", [0, 2, 5, 0.3])
def test_the_learning_rate_is_that_of_transformers(place, warm_up):
    recipe = PLAIN | {"warm_up": warm_up, "epochs": 3}
    training = with_sgd(training_of(place("text-classification"), TEXTS, recipe))
    steps = training.lessons.steps
    other = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=recipe["learning_rate"])
    rising = warm_up if warm_up >= 1 else warm_up * steps
    schedule = get_linear_schedule_with_warmup(other, rising, steps)
    for _ in training.steps():
        (group,) = training.optimizer.param_groups
        assert group["lr"] == pytest.approx(schedule.get_last_lr()[0], rel=1e-12)
        other.step()
        schedule.step()


@pytest.mark.parametrize("task", HEADS)
def test_what_decays_is_what_decays_in_transformers_trainer(place, task):
    training = training_of(place(task), task)
    _, theirs = models(place(task), HEADS[task][0])
    wanted = transformers.Trainer.get_decay_parameter_names(None, theirs)
    decaying, others = groups(training.student, 0.25)
    assert decaying["weight_decay"] == 0.25
    assert others["weight_decay"] == 0.0
    names = {id(x): name for name, x in training.student.model.named_parameters()}
    assert {names[id(x)] for x in decaying["params"]} == {*wanted} & {*names.values()}
    assert len(decaying["params"]) + len(others["params"]) == len(names)


def test_adamw_is_torchs_own_with_the_numbers_of_the_recipe(place):
    task = "text-classification"
    recipe = {**PLAIN, "betas": (0.7, 0.8), "epsilon": 1e-3, "weight_decay": 0.3}
    training = training_of(place(task), task, recipe)
    theirs = copy.deepcopy(training.student)
    plain = torch.optim.AdamW(
        groups(theirs, 0.3), lr=0.01, betas=(0.7, 0.8), eps=1e-3, foreach=False
    )
    steps = training.lessons.steps
    for number in range(3):
        for inputs in training.lessons.step(number).passes:
            count = training.lessons.step(number).counts["hard"]
            (theirs(**inputs())["hard"] / count).backward()
        for group in plain.param_groups:
            group["lr"] = training.recipe.rate(number, steps)
        plain.step()
        plain.zero_grad()
    for _ in zip(range(3), training.steps(), strict=False):
        pass
    close(weights(training), dict(theirs.named_parameters()))


def test_without_a_fused_adamw_the_plain_one_is_taken(place, monkeypatch):
    real = torch.optim.AdamW

    def refuse(*arguments, fused=False, **options):
        if fused:
            raise RuntimeError("`fused=True` requires other devices")
        return real(*arguments, **options)

    wanted = training_of(place("text-classification"), TEXTS)
    monkeypatch.setattr(torch.optim, "AdamW", refuse)
    found = training_of(place("text-classification"), TEXTS)
    for training in (wanted, found):
        next(training.steps())
    close(weights(found), weights(wanted))


# 16 bits


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_in_16_bits_the_student_learns_too(place, precision):
    recipe = {**RECIPE, "precision": precision, "epochs": 6}
    training = training_of(place("text-classification"), TEXTS, recipe)
    losses = []
    for _ in training.steps():
        losses.append(float(training.progress.sums["hard"]))
        training.progress.sums = {}
    assert sum(losses[-3:]) < 0.8 * sum(losses[:3])
    assert training.diverged_in() is None
    assert all(x.dtype == torch.float32 for x in weights(training).values())


def test_in_float16_a_step_whose_gradient_is_too_large_is_not_taken(place):
    recipe = {**PLAIN, "precision": "float16"}
    training = training_of(place("text-classification"), TEXTS, recipe)
    training.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**40)
    before = weights(training)
    next(training.steps())
    assert all(x.equal(before[name]) for name, x in weights(training).items())
    assert training.diverged_in() is None
    assert training.scaler.get_scale() == 2.0**39


# What goes wrong


@pytest.mark.parametrize("what", ["weights", "gradient"])
def test_the_first_step_that_diverges_is_remembered(place, what):
    training = training_of(place("text-classification"), TEXTS)
    weight = next(training.student.parameters())
    for done in training.steps():
        if done == 2 and what == "weights":
            with torch.no_grad():
                weight.fill_(float("inf"))
        if done == 2 and what == "gradient":
            weight.register_hook(lambda found: found * float("nan"))
        assert training.diverged_in() == (None if done < 3 else 2)


# No wait


def without_waits(training):
    """Take some steps; what they are made of is there before."""
    real, lessons = training.lessons.step, training.lessons
    steps = [real(number) for number in range(3)]
    made = [
        Step([partial(dict, make()) for make in step.passes], step.counts)
        for step in steps
    ]
    lessons.step = made.__getitem__
    lessons.tokens = lambda number: 1
    with NoWaits():
        for _ in zip(range(2), training.steps(), strict=False):
            pass
    assert training.progress.step == 2


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("task", HEADS)
def test_nothing_in_a_step_waits_for_the_device(place, task, precision):
    recipe = {**RECIPE, "precision": precision}
    training = training_of(place(task, dropout=True), task, recipe)
    training.student.model.gradient_checkpointing_enable()
    without_waits(training)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_nothing_in_a_step_of_a_distillation_waits_for_the_device(place, precision):
    folder = place("fill-mask", dropout=True)
    recipe = {**DISTIL, "precision": precision}
    without_waits(training_of(folder, "fill-mask", recipe, teacher=teacher_in(folder)))


@pytest.mark.parametrize(
    "look",
    [
        lambda x: x.item(),
        lambda x: bool(x.sum() > 0),
        lambda x: x.nonzero(),
        lambda x: x[x > 0],
        lambda x: x.masked_select(x > 0),
        lambda x: torch.equal(x, x),
    ],
)
def test_a_wait_is_seen(look):
    with NoWaits(), pytest.raises(WaitError):
        look(torch.ones(1))


def test_without_the_word_that_all_is_checked_a_step_waits(place, monkeypatch):
    monkeypatch.setattr(learners, "checked_before", nullcontext)
    with pytest.raises(WaitError):
        without_waits(training_of(place("text-classification"), TEXTS))
