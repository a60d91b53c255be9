"""transformers' Trainer trains, evaluates, saves and resumes our models as its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from reference import (
    CHOICE,
    CHOICES,
    HEADS,
    MASKED_LM,
    OURS,
    QUESTION,
    SEQUENCE,
    SMALL,
    TOKEN,
    assert_same,
    ids_for,
    twins,
)
from transformers import Trainer, TrainingArguments

from minidistil import CheckpointError
from minidistil.auto import KINDS

pytestmark = pytest.mark.full

TOKENS = 6
NO_DROPOUT = dict.fromkeys(
    ("dropout", "attention_dropout", "qa_dropout", "seq_classif_dropout"), 0.0
)


def pair_of(name: str, **config: Any) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Ours and theirs with the same weights, of the size that training starts with."""
    both = twins(OURS, name, **SMALL, **NO_DROPOUT, **config)
    for model in both:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(0.1)
    return both


def rows_for(name: str, count: int, *, labels: bool = True) -> list[dict[str, Any]]:
    """Texts as a dataset gives them; each has another number of labels that count."""
    generator = torch.Generator().manual_seed(count)

    def draw(low: int, high: int, *shape: int) -> torch.Tensor:
        return torch.randint(low, high, shape, generator=generator)

    rows = []
    for ids in ids_for(name, count, TOKENS, 53):
        row = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        row["attention_mask"][..., int(draw(2, TOKENS)) :] = 0
        if name in (MASKED_LM, TOKEN):
            row["labels"] = draw(0, 2, TOKENS).masked_fill(draw(0, 2, TOKENS) > 0, -100)
            row["labels"][0] = 1
        elif name == QUESTION:
            row |= {"start_positions": draw(0, 3), "end_positions": draw(3, TOKENS)}
            row = {key: value.squeeze() for key, value in row.items()}
        else:
            row["labels"] = draw(0, CHOICES if name == CHOICE else 2, 1).squeeze()
        if not labels:
            row = {key: row[key] for key in ("input_ids", "attention_mask")}
        rows.append({key: value.tolist() for key, value in row.items()})
    return rows


def trainer_of(
    model: torch.nn.Module, folder: Path, name: str, **arguments: Any
) -> Trainer:
    settings = {
        "use_cpu": True,
        "report_to": [],
        "disable_tqdm": True,
        "logging_steps": 1,
        "save_strategy": "no",
        "per_device_train_batch_size": 4,
        "max_steps": 3,
        "learning_rate": 1e-2,
        "optim": "sgd",  # AdamW makes as much of a rounding error as of a gradient
        "max_grad_norm": 0.0,
    }
    return Trainer(
        model,
        TrainingArguments(str(folder), **settings | arguments),
        train_dataset=rows_for(name, 12),
        eval_dataset=rows_for(name, 5),
    )


def losses(trainer: Trainer) -> list[float]:
    return [log["loss"] for log in trainer.state.log_history if "loss" in log]


def assert_same_weights(ours, theirs, tolerance=1e-6):
    reference = dict(theirs.named_parameters())
    for key, parameter in ours.named_parameters():
        torch.testing.assert_close(
            parameter, reference[key], rtol=0, atol=tolerance, msg=key
        )


@pytest.mark.parametrize("name", HEADS)
def test_training_takes_the_steps_of_transformers(name, tmp_path):
    trainers = [trainer_of(model, tmp_path, name) for model in pair_of(name)]
    for trainer in trainers:
        trainer.train()
    ours, theirs = trainers
    assert losses(ours) == pytest.approx(losses(theirs), abs=1e-5)
    assert_same_weights(ours.model, theirs.model)
    assert ours.evaluate()["eval_loss"] == pytest.approx(
        theirs.evaluate()["eval_loss"], abs=1e-5
    )


@pytest.mark.parametrize("name", HEADS)
def test_accumulated_steps_are_those_of_one_large_batch(name, tmp_path):
    ours, theirs = pair_of(name)
    parts = trainer_of(
        ours,
        tmp_path,
        name,
        per_device_train_batch_size=2,
        gradient_accumulation_steps=3,
        max_steps=2,
    )
    whole = trainer_of(
        theirs, tmp_path, name, per_device_train_batch_size=6, max_steps=2
    )
    for trainer in (parts, whole):
        trainer.train()
    assert losses(parts) == pytest.approx(losses(whole), abs=1e-5)
    assert_same_weights(ours, theirs)


@pytest.mark.parametrize("labels", [True, False], ids=["labels", "no labels"])
@pytest.mark.parametrize("name", HEADS)
def test_predictions_are_those_of_transformers(name, labels, tmp_path):
    rows = rows_for(name, 5, labels=labels)
    found, expected = (
        trainer_of(model, tmp_path, name).predict(rows) for model in pair_of(name)
    )
    for left, right in zip(found[:2], expected[:2], strict=True):
        left, right = (x if isinstance(x, tuple) else (x,) for x in (left, right))
        for one, other in zip(left, right, strict=True):
            assert (one is None) == (other is None)
            assert one is None or (one == other).all()


def assert_opens_in_both(folder: Path, name: str, model: torch.nn.Module) -> None:
    ids = ids_for(name, 2, TOKENS, 53)
    with torch.no_grad():
        expected = model.eval()(ids)
        for kind in (KINDS[name], getattr(transformers, name)):
            found = kind.from_pretrained(folder).eval()(ids)
            # Weights that lie elsewhere in memory can give another last bit.
            assert_same(found, expected, tolerance=1e-6)


@pytest.mark.parametrize("name", HEADS)
def test_what_the_trainer_saves_opens_in_both_libraries(name, tmp_path):
    ours, _ = pair_of(name)
    trainer = trainer_of(ours, tmp_path, name, save_strategy="steps", save_steps=3)
    trainer.train()
    trainer.save_model(tmp_path / "final")
    for folder in ("checkpoint-3", "final"):
        assert_opens_in_both(tmp_path / folder, name, ours)


@pytest.mark.parametrize("name", HEADS)
def test_a_resumed_training_ends_as_one_that_went_on(name, tmp_path):
    saving = {"save_strategy": "steps", "save_steps": 2, "max_steps": 4}
    whole, _ = pair_of(name)
    trainer_of(whole, tmp_path, name, **saving).train()
    again, _ = pair_of(name)
    resumed = trainer_of(again, tmp_path, name, **saving)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    assert_same_weights(again, whole, tolerance=0)


@pytest.mark.parametrize("name", [SEQUENCE, MASKED_LM])
def test_the_best_checkpoint_is_loaded_at_the_end(name, tmp_path):
    ours, _ = pair_of(name)
    trainer = trainer_of(
        ours,
        tmp_path,
        name,
        save_strategy="steps",
        eval_strategy="steps",
        save_steps=1,
        eval_steps=1,
        learning_rate=5.0,  # so that later steps make it worse
        load_best_model_at_end=True,
    )
    trainer.train()
    best = Path(trainer.state.best_model_checkpoint)
    assert_opens_in_both(best, name, ours)


@pytest.mark.parametrize("how", ["bf16", "gradient_checkpointing", "torch_compile"])
def test_the_switches_of_the_trainer_are_those_of_transformers(how, tmp_path):
    options = {how: True}
    if how == "torch_compile":
        options["torch_compile_backend"] = "aot_eager"
    both = [trainer_of(m, tmp_path, SEQUENCE, **options) for m in pair_of(SEQUENCE)]
    for trainer in both:
        trainer.train()
    found, expected = map(losses, both)
    assert found == pytest.approx(expected, abs=1e-2 if how == "bf16" else 1e-5)


def test_a_batch_where_nothing_is_masked_does_not_end_the_training(tmp_path):
    ours, _ = pair_of(MASKED_LM)
    trainer = trainer_of(ours, tmp_path, MASKED_LM, per_device_train_batch_size=2)
    for row in trainer.train_dataset:
        row["labels"] = [-100] * TOKENS
    with pytest.warns(UserWarning, match="the loss of this batch is 0"):
        trainer.train()
    assert losses(trainer) == [0, 0, 0]


def test_a_diverged_training_is_not_saved(tmp_path):
    ours, _ = pair_of(SEQUENCE)
    with torch.no_grad():
        ours.classifier.bias.fill_(torch.nan)
    with pytest.raises(CheckpointError, match=r"classifier\.bias.* NaN"):
        trainer_of(ours, tmp_path, SEQUENCE).save_model(tmp_path / "final")


@pytest.mark.parametrize(
    ("labels", "kind"),
    [([0.5, 2.0, 1.0], "regression"), ([1.0, 0.0, 1.0], "multi_label_classification")],
)
def test_the_kind_of_problem_is_saved_as_by_transformers(labels, kind, tmp_path):
    count = 1 if kind == "regression" else 3
    for model, place in zip(
        pair_of(SEQUENCE, num_labels=count), ("ours", "theirs"), strict=True
    ):
        trainer = trainer_of(model, tmp_path, SEQUENCE)
        for i, row in enumerate(trainer.train_dataset):
            row["labels"] = labels[i % 3] if count == 1 else labels
        trainer.train()
        trainer.save_model(tmp_path / place)
    saved = [
        transformers.AutoConfig.from_pretrained(tmp_path / place).problem_type
        for place in ("ours", "theirs")
    ]
    assert saved == [kind, kind]
