"""A model with adapters of peft runs in a pipeline as it is."""

from __future__ import annotations

import pytest
from answers import assert_answers
from checkpoints import draw_lively
from peft import LoraConfig, get_peft_model
from tasks import TASKS

from minidistil import DistilBertTokenizer, Engine, explain, heads, model, pipeline

KINDS = {**vars(heads), **vars(model)}


def with_adapter(folder, head, **options):
    plain = KINDS[head].from_pretrained(folder)
    # Not zeros, as before training: the adapter changes the answers.
    config = LoraConfig(
        target_modules=["q_lin", "v_lin"], init_lora_weights=False, **options
    )
    return get_peft_model(plain, config).eval()


@pytest.mark.parametrize("task", TASKS)
def test_the_answers_are_those_of_the_merged_model(task, folder_of):
    head, config, options, inputs = TASKS[task]
    folder = folder_of(head, draw=draw_lively, **config)
    tokenizer = DistilBertTokenizer.from_pretrained(folder)
    adapted = with_adapter(folder, head)

    def answers(of):
        return pipeline(task, of, tokenizer=tokenizer, **options)(inputs)

    found = answers(adapted)
    with adapted.disable_adapter():
        assert str(answers(adapted)) != str(found)
    merged = adapted.merge_and_unload()
    assert_answers(found, answers(merged), 1e-4)
    engine = answers(Engine(merged))
    assert_answers(engine, found, 1e-4)


def test_the_task_is_found_in_the_model_inside(folder_of):
    folder = folder_of(draw=draw_lively)
    tokenizer = DistilBertTokenizer.from_pretrained(folder)
    adapted = with_adapter(folder, "DistilBertForSequenceClassification")
    assert pipeline(model=adapted, tokenizer=tokenizer).task == "text-classification"


def test_an_adapter_that_drops_out_is_refused_until_eval(folder_of):
    folder = folder_of(draw=draw_lively)
    tokenizer = DistilBertTokenizer.from_pretrained(folder)
    adapted = with_adapter(
        folder, "DistilBertForSequenceClassification", lora_dropout=0.5
    )
    pipe = pipeline(model=adapted, tokenizer=tokenizer)
    first = pipe("a film")
    assert pipe("a film") == first
    for module in adapted.modules():
        if "lora_dropout" in module._modules:
            module.lora_dropout.train()
    with pytest.raises(ValueError, match="training mode"):
        pipe("a film")


def test_who_takes_plain_layers_alone_says_to_merge(folder_of):
    folder = folder_of(draw=draw_lively)
    tokenizer = DistilBertTokenizer.from_pretrained(folder)
    adapted = with_adapter(folder, "DistilBertForSequenceClassification")
    for take in (
        lambda: Engine(adapted),
        lambda: pipeline(model=adapted, tokenizer=tokenizer, precision="int8"),
        lambda: explain("a film", adapted, tokenizer=tokenizer),
        lambda: explain("a film", pipeline(model=adapted, tokenizer=tokenizer)),
    ):
        with pytest.raises(TypeError, match=r"of peft around .*merge_and_unload\(\)"):
            take()


def test_the_adapter_is_what_is_saved(folder_of, tmp_path):
    folder = folder_of(draw=draw_lively)
    tokenizer = DistilBertTokenizer.from_pretrained(folder)
    adapted = with_adapter(folder, "DistilBertForSequenceClassification")
    pipeline(model=adapted, tokenizer=tokenizer).save_pretrained(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"adapter_config.json", "adapter_model.safetensors"} <= names
