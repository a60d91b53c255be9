"""Training with accelerate: precision, accumulation, saving, several processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import accelerate_worker
import pytest
import torch
from accelerate import Accelerator
from accelerate.utils import convert_to_fp32, send_to_device
from answers import assert_answers
from checkpoints import draw_lively
from snippets import HEADS, NO_DROPOUT, OURS, THEIRS, assert_same_results, load
from texts import words
from torch.optim import SGD, AdamW
from torch.utils.data import DataLoader

pytestmark = pytest.mark.full

WORKER = Path(accelerate_worker.__file__)
ENCODER = "DistilBertModel"


@pytest.fixture(scope="module")
def folder(folder_of):
    return folder_of(draw=draw_lively, num_labels=3, **NO_DROPOUT)


def loader_for(model: Any, batch_size: int = 4) -> DataLoader:
    rows = accelerate_worker.data(model.config.vocab_size)
    return DataLoader(rows, batch_size=batch_size)


def tensors_of(outputs: Any) -> dict[str, torch.Tensor]:
    """The results by name, the tuples among them as lists."""
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in outputs.items()
    }


@pytest.fixture(params=["", *HEADS], ids=lambda head: head or "encoder")
def outputs_of(request, folder_of):
    """What a model returns for one batch, with all that can be asked for."""
    head = request.param
    architecture = f"DistilBertFor{head}" if head else "DistilBertModel"
    folder = folder_of(architecture, **HEADS.get(head, {}))
    ids = torch.tensor([[101, 200, 300, 102], [101, 400, 102, 0]])
    mask = (ids > 0).long()
    if head == "MultipleChoice":
        ids, mask = ids[None], mask[None]

    def outputs_of(library):
        model, _ = load(library, head, folder)
        asked = {"output_hidden_states": True}
        with torch.no_grad():
            return model(input_ids=ids, attention_mask=mask, **asked)

    return outputs_of


def test_outputs_become_float32(outputs_of):
    def snippet(library):
        outputs = outputs_of(library)
        half = send_to_device(outputs, torch.device("cpu"))
        half = type(outputs)({k: _half(v) for k, v in half.items()})
        found = convert_to_fp32(half)
        assert type(found) is type(outputs)
        return [tensors_of(found), found[0]]

    assert_same_results(snippet)


def _half(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_half(each) for each in value)
    return value.bfloat16()


def test_outputs_go_to_a_device(outputs_of):
    def snippet(library):
        outputs = outputs_of(library)
        found = send_to_device(outputs, torch.device("meta"))
        assert type(found) is type(outputs)
        assert found[0].device.type == "meta"
        return [list(found), list(found[0].shape)]

    assert_same_results(snippet)


@pytest.mark.parametrize("head", HEADS)
def test_half_precision(folder_of, head):
    folder = folder_of(f"DistilBertFor{head}", **NO_DROPOUT, **HEADS[head])
    labels = {"labels": torch.tensor([1, 0])}
    if head == "QuestionAnswering":
        labels = {"start_positions": labels["labels"], "end_positions": torch.ones(2)}
        labels = {name: value.long() for name, value in labels.items()}
    elif head in ("MaskedLM", "TokenClassification"):
        labels = {"labels": torch.arange(10).reshape(2, 5) % 5}

    def snippet(library):
        accelerator = Accelerator(cpu=True, mixed_precision="bf16")
        model, tokenizer = load(library, head, folder)
        inputs = tokenizer(["the film was", "was good"], padding=True)
        batch = {
            name: torch.tensor(inputs[name]) for name in ("input_ids", "attention_mask")
        }
        if head == "MultipleChoice":
            batch = {k: torch.stack([v, v.flip(0)]) for k, v in batch.items()}
        optimizer = SGD(model.parameters(), lr=0.01)
        model, optimizer = accelerator.prepare(model, optimizer)
        model.train()
        losses = []
        for _ in range(2):
            outputs = model(**batch, **labels)
            accelerator.backward(outputs.loss)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(outputs.loss.item())
        first = outputs[1].detach()
        assert first.dtype == torch.float32
        return [losses, first, accelerator.unwrap_model(model).dtype]

    assert_same_results(snippet, tolerance=2e-2)


def test_the_bare_encoder_in_half_precision(folder_of):
    folder = folder_of("DistilBertModel", **NO_DROPOUT)

    def snippet(library):
        accelerator = Accelerator(cpu=True, mixed_precision="bf16")
        model, tokenizer = load(library, "", folder)
        model = accelerator.prepare(model)
        ids = tokenizer([words(8)], return_tensors="pt")["input_ids"]
        hidden = model(ids).last_hidden_state
        accelerator.backward(hidden.square().mean())
        words_of = accelerator.unwrap_model(model).get_input_embeddings()
        return [hidden.detach(), words_of.weight.grad.norm().item() > 0]

    assert_same_results(snippet, tolerance=2e-2)


def test_gradients_are_accumulated_and_clipped(folder):
    def snippet(library):
        accelerator = Accelerator(cpu=True, gradient_accumulation_steps=2)
        model, _ = load(library, "SequenceClassification", folder)
        loader = loader_for(model, batch_size=2)
        optimizer = SGD(model.parameters(), lr=0.05)
        model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
        model.train()
        losses, norms = [], []
        for batch in loader:
            with accelerator.accumulate(model):
                loss = model(**batch).loss
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    norm = accelerator.clip_grad_norm_(model.parameters(), 1.0)
                    norms.append(norm.item())
                optimizer.step()
                optimizer.zero_grad()
            losses.append(loss.item())
        return [losses, norms]

    losses, norms = assert_same_results(snippet, tolerance=1e-4)
    assert len(losses) == 2 * len(norms)


def test_it_is_saved_as_the_documentation_does(folder, tmp_path):
    def snippet(library):
        accelerator = Accelerator(cpu=True)
        model, tokenizer = load(library, "SequenceClassification", folder)
        model = accelerator.prepare(model)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.01
        output = tmp_path / library.__name__
        unwrapped_model = accelerator.unwrap_model(model)
        unwrapped_model.save_pretrained(
            str(output),
            is_main_process=accelerator.is_main_process,
            save_function=accelerator.save,
            state_dict=accelerator.get_state_dict(model),
        )
        if accelerator.is_main_process:
            tokenizer.save_pretrained(str(output))
        again, _ = load(library, "SequenceClassification", output)
        return [dict(again.state_dict()), (output / "model.safetensors").is_file()]

    assert_same_results(snippet)
    theirs, _ = load(THEIRS, "SequenceClassification", tmp_path / OURS.__name__)
    ours, _ = load(OURS, "SequenceClassification", tmp_path / THEIRS.__name__)
    assert_answers(dict(ours.state_dict()), dict(theirs.state_dict()))


def test_other_processes_write_nothing(folder, tmp_path):
    model, _ = load(OURS, "SequenceClassification", folder)
    model.save_pretrained(tmp_path / "none", is_main_process=False)
    assert not list(tmp_path.rglob("*.*"))


def test_a_state_is_saved_and_loaded(folder, tmp_path):
    def snippet(library):
        accelerator = Accelerator(cpu=True)
        model, _ = load(library, "SequenceClassification", folder)
        loader = loader_for(model)
        optimizer = AdamW(model.parameters(), lr=1e-3)
        model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
        model.train()

        def epoch():
            losses = []
            for batch in loader:
                loss = model(**batch).loss
                accelerator.backward(loss)
                optimizer.step()
                optimizer.zero_grad()
                losses.append(loss.item())
            return losses

        epoch()
        place = tmp_path / library.__name__
        accelerator.save_state(place)
        second = epoch()
        accelerator.load_state(place)
        again = epoch()
        assert again == pytest.approx(second, rel=1e-5)
        accelerator.save_model(model, place / "model")
        return [second, sorted(path.name for path in place.iterdir())]

    assert_same_results(snippet)


def test_a_saved_model_s_tensors_load_by_hand(folder, tmp_path):
    from accelerate import load_checkpoint_in_model

    accelerator = Accelerator(cpu=True)
    model, _ = load(OURS, "SequenceClassification", folder)
    accelerator.save_model(model, tmp_path)
    fresh = OURS.DistilBertForSequenceClassification(model.config)
    load_checkpoint_in_model(fresh, str(tmp_path))
    assert_answers(dict(fresh.state_dict()), dict(model.state_dict()))


@pytest.fixture(scope="module")
def two_processes(folder, made_once):
    """What each of two processes has seen, for both libraries."""
    names = [library.__name__ for library in (OURS, THEIRS)]

    def make(results):
        running = [
            subprocess.Popen(
                [sys.executable, str(WORKER), name, str(folder), str(results)],
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for name in dict.fromkeys(names)
        ]
        for process in running:
            said, _ = process.communicate(timeout=240)
            assert process.returncode == 0, said

    results = made_once("accelerate", make)
    return {
        name: [torch.load(results / f"{name}-{rank}.pt") for rank in range(2)]
        for name in names
    }


def test_two_processes_learn_what_those_of_transformers_learn(two_processes):
    ours = two_processes[OURS.__name__]
    theirs = two_processes[THEIRS.__name__]
    assert [one["processes"] for one in theirs] == [2, 2]
    assert_answers(ours, theirs, 1e-4)


def test_two_processes_learn_what_one_does_with_the_whole_batch(folder, two_processes):
    alone = accelerate_worker.train(OURS, str(folder), 2 * accelerate_worker.BATCH)
    assert alone["processes"] == 1
    for one in two_processes[OURS.__name__]:
        assert one["losses"] == pytest.approx(alone["losses"], rel=1e-4)
        assert len(one["labels"]) == accelerate_worker.ROWS - 1
        assert torch.equal(one["labels"], alone["labels"])
        assert_answers(one["logits"], alone["logits"], 1e-4)
        assert_answers(one["parameters"], alone["parameters"], 1e-5)
