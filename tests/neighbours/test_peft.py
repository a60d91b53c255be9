"""Adapters of peft on our models: forward, training, saving, merging, pipelines.

The same adapter weights stand on transformers' model, and the results are compared.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from answers import assert_answers
from checkpoints import draw_lively
from peft import (
    AutoPeftModelForSequenceClassification,
    IA3Config,
    LoraConfig,
    PeftModel,
    PromptTuningConfig,
)
from snippets import NO_DROPOUT, OURS, THEIRS, assert_same_results, load
from texts import words
from torch.optim import SGD

pytestmark = pytest.mark.full

TEXTS = ["the film was good", words(12), "but its end!"]
NAMES = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
# By peft's name of the task: the head, what the checkpoint says, and labels.
TASKS = {
    "SEQ_CLS": (
        "SequenceClassification",
        {"num_labels": 3},
        {"labels": torch.tensor([0, 2, 1])},
    ),
    "TOKEN_CLS": (
        "TokenClassification",
        {"id2label": dict(enumerate(NAMES))},
        {"labels": torch.arange(3 * 14).reshape(3, 14) % 5},
    ),
    "QUESTION_ANS": (
        "QuestionAnswering",
        {},
        {
            "start_positions": torch.tensor([1, 2, 1]),
            "end_positions": torch.tensor([2, 7, 3]),
        },
    ),
    "FEATURE_EXTRACTION": ("", {}, {}),
    None: ("MaskedLM", {}, {"labels": torch.arange(3 * 14).reshape(3, 14)}),
}
# peft's table has no DistilBERT: a user has to name them.
TARGETS = {
    "two": ["q_lin", "v_lin"],
    "all of a block": ["q_lin", "k_lin", "v_lin", "out_lin", "lin1", "lin2"],
    "by a pattern": r".*layer\.1\..*_lin",
}
PIPELINES = {"SEQ_CLS": "text-classification", "TOKEN_CLS": "token-classification"}


@pytest.fixture(params=TASKS, ids=str)
def task(request):
    return request.param


@pytest.fixture
def folder(folder_of, task):
    head, config, _ = TASKS[task]
    architecture = f"DistilBertFor{head}" if head else "DistilBertModel"
    return folder_of(architecture, draw=draw_lively, **NO_DROPOUT, **config)


def draw_adapter(model: PeftModel) -> None:
    """Give what is trained values of its own: half of LoRA begins as zeros."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)


def adapted(library: Any, task: str, folder: Path, **options: Any) -> tuple[Any, Any]:
    model, tokenizer = load(library, TASKS[task][0], folder)
    usual = {"r": 2, "lora_alpha": 8, "lora_dropout": 0.0}
    usual |= {"target_modules": ["q_lin", "v_lin"]}
    config = LoraConfig(task_type=task, **usual | options)
    torch.manual_seed(0)
    model = peft.get_peft_model(model, config)
    draw_adapter(model)
    return model, tokenizer


def inputs_of(tokenizer: Any) -> dict[str, torch.Tensor]:
    inputs = tokenizer(TEXTS, padding=True, return_tensors="pt")
    return {name: inputs[name] for name in ("input_ids", "attention_mask")}


def results_of(model: Any, inputs: dict[str, Any]) -> list[torch.Tensor]:
    with torch.no_grad():
        outputs = model.eval()(**inputs)
    return [value for name, value in outputs.items() if name != "loss"]


@pytest.mark.parametrize("targets", TARGETS)
def test_an_adapted_model_is_that_of_transformers(folder, task, targets):
    def snippet(library):
        chosen = TARGETS[targets]
        model, tokenizer = adapted(library, task, folder, target_modules=chosen)
        inputs = inputs_of(tokenizer)
        trained = [
            name
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
        ]
        adapter = results_of(model, inputs)
        with model.disable_adapter():
            plain = results_of(model, inputs)
        return [
            sorted(trained),
            list(model.get_nb_trainable_parameters()),
            adapter,
            plain,
        ]

    *_, with_adapter, without = assert_same_results(snippet, tolerance=1e-4)
    assert not torch.allclose(with_adapter[0], without[0], atol=1e-3)


def test_it_is_trained_saved_loaded_and_merged(folder, task, tmp_path):
    head, _, labels = TASKS[task]

    def snippet(library):
        model, tokenizer = adapted(library, task, folder)
        inputs = inputs_of(tokenizer)
        optimizer = SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
        model.train()
        losses = []
        for _ in range(2):
            outputs = model(**inputs, **labels)
            loss = outputs.loss if labels else outputs[0].square().mean()
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
        trained = results_of(model, inputs)
        place = tmp_path / library.__name__
        model.save_pretrained(place)
        base, _ = load(library, head, folder)
        loaded = PeftModel.from_pretrained(base, place)
        again = results_of(loaded, inputs)
        merged = loaded.merge_and_unload()
        merged.save_pretrained(place / "merged")
        return [
            losses,
            trained,
            again,
            results_of(merged, inputs),
            sorted(path.name for path in place.iterdir() if path.suffix != ".md"),
            type(merged).__name__,
        ]

    _, trained, again, merged, *_ = assert_same_results(snippet, tolerance=1e-3)
    for one, two, three in zip(trained, again, merged, strict=True):
        torch.testing.assert_close(two, one)
        torch.testing.assert_close(three, one, atol=1e-4, rtol=1e-4)
    saved = tmp_path / OURS.__name__ / "merged"
    _, tokenizer = load(OURS, head, folder)
    inputs = inputs_of(tokenizer)
    for library in (OURS, THEIRS):
        auto = getattr(library, f"AutoModelFor{head}" if head else "AutoModel")
        found = results_of(auto.from_pretrained(saved), inputs)
        torch.testing.assert_close(found, merged, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("task", PIPELINES)
@pytest.mark.parametrize("merged", [False, True], ids=["adapted", "merged"])
def test_a_pipeline_takes_the_adapted_model(folder, task, merged):
    def snippet(library):
        model, tokenizer = adapted(library, task, folder)
        if merged:
            model = model.merge_and_unload()
        pipe = library.pipeline(PIPELINES[task], model=model, tokenizer=tokenizer)
        return [pipe(text) for text in TEXTS]

    found = assert_same_results(snippet, tolerance=1e-4)
    plain, tokenizer = load(THEIRS, TASKS[task][0], folder)
    pipe = THEIRS.pipeline(PIPELINES[task], model=plain, tokenizer=tokenizer)
    assert found != [pipe(text) for text in TEXTS]


@pytest.mark.parametrize("task", ["QUESTION_ANS"])
@pytest.mark.parametrize("merged", [False, True], ids=["adapted", "merged"])
def test_an_adapted_model_answers_questions(folder, task, merged, tmp_path, old):
    model, tokenizer = adapted(OURS, task, folder)
    theirs, _ = adapted(THEIRS, task, folder)
    theirs.merge_and_unload().save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model = model.merge_and_unload() if merged else model
    pipe = OURS.pipeline("question-answering", model=model, tokenizer=tokenizer)
    asked = {"question": "Was it good?", "context": "The film was too long, but good."}
    expected = old.ask(tmp_path, {"model_max_length": 48}, **asked)
    assert_answers(pipe(**asked), expected, 1e-4)


@pytest.mark.parametrize("task", ["FEATURE_EXTRACTION"])
@pytest.mark.parametrize("merged", [False, True], ids=["adapted", "merged"])
def test_an_adapted_encoder_gives_vectors(folder, task, merged):
    def snippet(library):
        model, tokenizer = adapted(library, task, folder)
        if merged:
            model = model.merge_and_unload()
        pipe = library.pipeline("feature-extraction", model=model, tokenizer=tokenizer)
        return [torch.as_tensor(pipe(text)).squeeze(0) for text in TEXTS]

    assert_same_results(snippet, tolerance=1e-4)


@pytest.mark.parametrize("task", ["SEQ_CLS"])
def test_activations_are_scaled(folder, task):
    def snippet(library):
        model, tokenizer = load(library, TASKS[task][0], folder)
        config = IA3Config(
            task_type=task,
            target_modules=["k_lin", "v_lin", "lin2"],
            feedforward_modules=["lin2"],
        )
        model = peft.get_peft_model(model, config)
        draw_adapter(model)
        inputs = inputs_of(tokenizer)
        return [results_of(model, inputs), results_of(model.merge_and_unload(), inputs)]

    assert_same_results(snippet, tolerance=1e-4)


@pytest.mark.parametrize("task", [task for task in TASKS if task])
def test_prompts_are_trained(folder, task):
    def snippet(library):
        model, tokenizer = load(library, TASKS[task][0], folder)
        config = PromptTuningConfig(
            task_type=task, num_virtual_tokens=3, token_dim=20, num_attention_heads=2
        )
        model = peft.get_peft_model(model, config)
        draw_adapter(model)
        return results_of(model, inputs_of(tokenizer))

    assert_same_results(snippet, tolerance=1e-4)


@pytest.mark.parametrize("task", ["SEQ_CLS"])
def test_what_is_saved_opens_with_the_base_that_it_names(folder, task, tmp_path):
    model, tokenizer = adapted(OURS, task, folder)
    model.save_pretrained(tmp_path)
    inputs = inputs_of(tokenizer)
    config = peft.PeftConfig.from_pretrained(tmp_path)
    assert Path(config.base_model_name_or_path) == folder
    opened = AutoPeftModelForSequenceClassification.from_pretrained(
        tmp_path, num_labels=3
    )
    torch.testing.assert_close(
        results_of(opened, inputs), results_of(model, inputs), atol=1e-4, rtol=1e-4
    )
