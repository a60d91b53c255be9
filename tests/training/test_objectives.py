"""What a student is asked for: torch's own losses, and the formulas written out."""

from __future__ import annotations

import math

import pytest
import torch
from lessons import NO_DROPOUT
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from trainings import checkpoint

import minidistil
from minidistil.training import objectives
from minidistil.training.learners import LabelLearner, MaskedLearner, SpanLearner
from minidistil.training.objectives import (
    IGNORED,
    cosine_loss,
    hard_loss,
    in_chunks,
    several_labels_loss,
    soft_loss,
    squared_loss,
)

N, C = 7, 5


def numbers(*shape, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=draw, dtype=torch.float32).requires_grad_()


def slope(loss, of):
    return torch.autograd.grad(loss, of)[0]


def test_the_hard_loss_is_torchs_cross_entropy_of_what_counts():
    logits, labels = numbers(N, C), torch.tensor([0, 4, IGNORED, 2, 1, IGNORED, 3])
    wanted = nn.CrossEntropyLoss()(logits, labels)  # a mean over five of the seven
    found = hard_loss(logits, labels) / 5
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(slope(found, logits), slope(wanted, logits))


@pytest.mark.parametrize("temperature", [1.0, 2.0, 3.5])
def test_the_soft_loss_is_torchs_divergence_times_t_squared(temperature):
    logits, teacher = numbers(N, C), numbers(N, C, seed=1).detach()
    wanted = temperature**2 * nn.KLDivLoss(reduction="batchmean")(
        (logits / temperature).log_softmax(-1), (teacher / temperature).softmax(-1)
    )
    found = soft_loss(logits, teacher, temperature) / N
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(slope(found, logits), slope(wanted, logits))


def test_the_soft_loss_is_the_formula():
    student, teacher, heat = [1.0, -2.0, 0.5], [0.3, 0.1, -1.0], 2.0

    def shares(scores):
        powers = [math.exp(score / heat) for score in scores]
        return [power / sum(powers) for power in powers]

    pairs = zip(shares(teacher), shares(student), strict=True)
    wanted = heat**2 * sum(p * (math.log(p) - math.log(q)) for p, q in pairs)
    found = soft_loss(torch.tensor([student]), torch.tensor([teacher]), heat)
    assert float(found) == pytest.approx(wanted, rel=1e-5)


def test_t_squared_keeps_gradients_as_large_at_any_temperature():
    # Hinton et al. 2015: at high temperatures, that of (q - p) / C, whatever T is.
    logits, teacher = numbers(N, C), numbers(N, C, seed=1).detach()
    sizes = [
        float(slope(soft_loss(logits, teacher, heat), logits).norm())
        for heat in (20.0, 40.0)
    ]
    assert sizes[0] == pytest.approx(sizes[1], rel=0.05)


def test_the_cosine_loss_is_torchs():
    states, teacher = numbers(N, C), numbers(N, C, seed=1).detach()
    wanted = nn.CosineEmbeddingLoss()(states, teacher, torch.ones(N))
    found = cosine_loss(states, teacher) / N
    torch.testing.assert_close(found, wanted)
    torch.testing.assert_close(slope(found, states), slope(wanted, states))


def test_other_labels_have_torchs_losses():
    logits, labels = numbers(N, C), numbers(N, C, seed=1).detach()
    wanted = nn.MSELoss()(logits, labels)
    torch.testing.assert_close(squared_loss(logits, labels) / (N * C), wanted)
    classes = (labels > 0).float()
    wanted = nn.BCEWithLogitsLoss()(logits, classes)
    torch.testing.assert_close(several_labels_loss(logits, classes) / (N * C), wanted)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_losses_of_16_bits_are_computed_in_32(dtype):
    logits, teacher = numbers(N, C).to(dtype), numbers(N, C, seed=1).to(dtype)
    assert soft_loss(logits, teacher, 2.0).dtype == torch.float32
    assert soft_loss(logits, teacher, 2.0).equal(
        soft_loss(logits.float(), teacher.float(), 2.0)
    )
    assert cosine_loss(logits, teacher).dtype == torch.float32
    assert hard_loss(logits, torch.zeros(N).long()).dtype == torch.float32


# In chunks


@pytest.mark.parametrize("rows", [0, 1, 4, 5, 13])
def test_chunks_have_the_same_sums_and_gradients(monkeypatch, rows):
    monkeypatch.setattr(objectives, "CHUNK", 4)
    layer = nn.Linear(6, 11)
    labels = torch.arange(rows) % 11

    def losses(states, labels):
        logits = layer(states)
        return hard_loss(logits, labels), logits.square().sum()

    found = []
    for sums in (in_chunks, lambda f, *x: f(*x)):
        states = numbers(rows, 6)
        one, two = sums(losses, states, labels)
        grads = torch.autograd.grad(2 * one + two, [states, *layer.parameters()])
        found.append([one, two, *grads])
    for each, wanted in zip(*found, strict=True):
        torch.testing.assert_close(each, wanted, rtol=1e-5, atol=1e-5)


class Largest(TorchDispatchMode):
    """Remembers the largest tensor that is made."""

    numbers = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        for each in made if isinstance(made, (tuple, list)) else [made]:
            if isinstance(each, torch.Tensor):
                self.numbers = max(self.numbers, each.numel())
        return made


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = checkpoint(tmp_path_factory.mktemp("m"), "fill-mask", **NO_DROPOUT)
    kind = minidistil.DistilBertForMaskedLM
    student, teacher = kind.from_pretrained(folder), kind.from_pretrained(folder)
    with torch.no_grad():
        for weight in teacher.parameters():
            weight += 0.1
    return student, teacher.eval()


def a_pass(rows=6, tokens=20):
    ids = torch.randint(5, 4000, (rows, tokens), generator=torch.manual_seed(0))
    mask = torch.ones_like(ids)
    mask[1:, 15:] = 0
    places = mask.flatten().nonzero().flatten()
    labels = torch.where(places % 3 == 0, ids.flatten()[places], IGNORED)
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "places": places,
        "labels": labels,
    }


def test_words_of_a_whole_pass_are_never_there_at_once(models, monkeypatch):
    monkeypatch.setattr(objectives, "CHUNK", 16)
    student, teacher = models
    inputs, vocabulary = a_pass(), student.config.vocab_size
    learner = MaskedLearner(student, 2.0, teacher)
    largest = Largest()
    with largest:
        sum(learner(**inputs).values()).backward()
    # The product's own weights are (V, D), which is no matter of the tokens.
    assert largest.numbers == student.config.dim * vocabulary
    assert largest.numbers < len(inputs["places"]) * vocabulary
    monkeypatch.setattr(objectives, "CHUNK", 1000)
    whole = Largest()
    with whole:
        sum(learner(**inputs).values()).backward()
    assert whole.numbers == len(inputs["places"]) * vocabulary


# Of each learner


def test_masked_words_are_asked_for_as_distilbert_was(models):
    student, teacher = models
    inputs = a_pass()
    found = MaskedLearner(student, 2.0, teacher)(**inputs)
    mask = inputs["attention_mask"]
    mine = student(inputs["input_ids"], mask, output_hidden_states=True)
    yours = teacher(inputs["input_ids"], mask, output_hidden_states=True)
    read = mask.bool()
    log_q = (mine.logits[read] / 2).log_softmax(-1)
    p = (yours.logits[read] / 2).softmax(-1)
    soft = 4 * nn.KLDivLoss(reduction="sum")(log_q, p)
    hidden = inputs["labels"] != IGNORED
    labels = inputs["labels"][hidden]
    hard = nn.CrossEntropyLoss(reduction="sum")(mine.logits[read][hidden], labels)
    states = mine.hidden_states[-1][read], yours.hidden_states[-1][read]
    aim = torch.ones(len(states[0]))
    cosine = nn.CosineEmbeddingLoss(reduction="sum")(*states, aim)
    assert found.keys() == {"hard", "soft", "cosine"}
    for each, wanted in {"hard": hard, "soft": soft, "cosine": cosine}.items():
        torch.testing.assert_close(found[each], wanted, rtol=1e-4, atol=1e-3)


def test_a_teachers_answer_at_padding_is_of_no_account(tmp_path):
    folder = checkpoint(tmp_path, "question-answering", **NO_DROPOUT)
    model = minidistil.DistilBertForQuestionAnswering.from_pretrained(folder)
    inputs = a_pass()
    mask = inputs["attention_mask"]
    teacher = numbers(6, 20, 2).detach()
    learner = SpanLearner(model, 2.0)
    starts, ends = torch.arange(6), torch.arange(6) + 3
    found = [
        learner(inputs["input_ids"], starts, ends, mask, filled)["soft"]
        for filled in (
            teacher,
            teacher.masked_fill(mask[..., None] == 0, -math.inf),
            teacher.masked_fill(mask[..., None] == 0, 1e4),
        )
    ]
    assert found[0].isfinite()
    assert found[0].equal(found[1])
    assert found[0].equal(found[2])
    # Row by row, and without padding.
    out = model(inputs["input_ids"], mask)
    wanted = 0.0
    for row, count in enumerate(mask.sum(1).tolist()):
        for side, logits in enumerate((out.start_logits, out.end_logits)):
            log_q = (logits[row, :count] / 2).log_softmax(-1)
            p = (teacher[row, :count, side] / 2).softmax(-1)
            wanted += 4 * nn.KLDivLoss(reduction="sum")(log_q, p) / 2
    torch.testing.assert_close(found[0], wanted, rtol=1e-5, atol=1e-5)


def test_a_student_of_texts_learns_from_labels_and_from_answers(tmp_path):
    folder = checkpoint(tmp_path, "text-classification", **NO_DROPOUT)
    model = minidistil.DistilBertForSequenceClassification.from_pretrained(folder)
    inputs, labels = a_pass(), torch.arange(6) % 3
    teacher = numbers(6, 3).detach()
    ids, mask = inputs["input_ids"], inputs["attention_mask"]
    found = LabelLearner(model, None, 3.0)(ids, labels, mask, teacher=teacher)
    logits = model(ids, mask).logits
    assert found["hard"].equal(hard_loss(logits, labels))
    assert found["soft"].equal(soft_loss(logits, teacher, 3.0))
