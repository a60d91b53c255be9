"""What a type checker knows: right uses pass, wrong ones are found."""

from __future__ import annotations

import dataclasses
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

import minidistil
from minidistil import DistilBertConfig, DistilBertTokenizer, pipeline
from minidistil.pipelines import TASKS, Task, keywords
from minidistil.pipelines.options import TaskOptions, TruncationOptions

ROOT = Path(minidistil.__file__).parent.parent

RIGHT = """
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from typing_extensions import assert_type

from minidistil import Engine, TextClassificationPipeline, pipeline
from minidistil import Recipe, distil, evaluate, train
from minidistil.pipelines import Pipeline, Task, answers

Label = answers.ClassificationAnswer
texts: Iterator[str] = iter(["a"])


class DataSet(torch.utils.data.Dataset[str]):
    def __len__(self) -> int:
        return 1

    def __getitem__(self, number: int) -> str:
        return "a"


classify = pipeline("sentiment-analysis", model="tiny", truncation="head", revision="a")
assert_type(classify, TextClassificationPipeline[Label])
assert_type(classify("a"), list[Label])
assert_type(classify("a")[0]["label"], str)
assert_type(classify(["a", "b"], batch_size=2), list[Label])
assert_type(classify({"text": "a", "text_pair": None}), Label)
assert_type(classify([{"text": "a"}, {"text": "b"}]), list[Label])
assert_type(classify(("a", {"text": "b"})), list[Label])
assert_type(classify(texts), Iterator[Label])
assert_type(classify("a", top_k=None), list[Label])
assert_type(classify(["a"], top_k=None), Any)
assert_type(classify(DataSet()), Any)
assert_type(classify(np.array(["a"])), Any)
ranked = pipeline("text-classification", Path("a"), top_k=None, dtype=torch.float16)
assert_type(ranked(["a"]), list[list[Label]])

tag = pipeline("ner", aggregation_strategy="max", stride=3)
assert_type(tag("a"), list[answers.EntityAnswer])
assert_type(tag(["a"])[0][0]["entity_group"], str)
assert_type(tag([["a", "b"]], is_split_into_words=True)[0][0]["word"], str)

ask = pipeline("question-answering", doc_stride=2)
assert_type(ask("a", "b"), answers.QuestionAnswer)
assert_type(ask(question="a", context="b")["answer"], str)
assert_type(ask({"question": "a", "context": "b"}), answers.QuestionAnswer)
assert_type(ask([{"question": "a", "context": "b"}])[0]["start"], int)
assert_type(ask(question=["a"], context="b"), Any)
assert_type(ask("a", "b", top_k=2), Any)
assert_type(pipeline("question-answering", top_k=2)("a", "b"), Any)

embed = pipeline("sentence-embeddings", model="tiny", pooling="cls", normalize=True)
assert_type(embed("a"), Tensor)
assert_type(embed(["a"], truncation="window"), Tensor)
assert_type(embed(texts), Iterator[Tensor])

encode = pipeline("feature-extraction")
assert_type(encode("a")[0][0][0], float)
assert_type(encode(["a"])[0][0][0][0], float)
assert_type(encode("a", return_tensors=True), Any)
assert_type(pipeline("feature-extraction", return_tensors=True)("a"), Any)

choose = pipeline("multiple-choice", max_length=9)
assert_type(choose({"prompt": "a", "choices": ["b", "c"]}), list[answers.ChoiceAnswer])
assert_type(choose([{"prompt": "a", "choices": ["b"]}])[0][0]["index"], int)

judge = pipeline("zero-shot-classification", candidate_labels="a, b", multi_label=True)
assert_type(judge("a"), answers.ZeroShotAnswer)
assert_type(judge(["a"], ["b", "c"])[0]["scores"], list[float])
assert_type(judge(sequences=["a"], candidate_labels=["b"]), Any)

fill = pipeline("fill-mask", targets=["a"], top_k=2)
assert_type(fill("[MASK]"), list[Any])
assert_type(fill(["[MASK]"], top_k=1), list[Any])

# Where nobody can know the options, what comes out is Any, and so nothing untrue.
assert_type(pipeline(model="tiny")("a"), Any)
given: dict[str, Any] = {"stride": 3, "device": "cpu"}
pipeline("ner", **given)

recipe = Recipe(epochs=3, layers=(0, 2))
result = train("tiny", "train.tsv", None, "mine", recipe=recipe, seed=3)
assert_type(result.results["accuracy"], float)
assert_type(result.steps, tuple[int, int])
distil("mine", [{"text": "a", "label": "b"}], None, "small", recipe="squad")
assert_type(evaluate("small", "test.tsv").results(), dict[str, float])


def run(pipe: TextClassificationPipeline, engine: Engine) -> None:
    assert_type(pipe("a"), list[Any])
    made = TextClassificationPipeline(engine, pipe.tokenizer, top_k=None)
    assert_type(made(["a"]), list[Any])
    pipeline("text-classification", engine, tokenizer=pipe.tokenizer)


def make(task: Task) -> Pipeline[Any]:
    return pipeline(task, **given)
"""

# Each is one mistake, and what the checker says of it.
WRONG = {
    'pipeline("text-clasification")': "No overload variant",
    'pipeline("text-classification", topk=3)': "No overload variant",
    'pipeline("text-classification", stride=3)': "No overload variant",
    'pipeline("text-classification", max_length="9")': "No overload variant",
    'pipeline("text-classification", top_k="3")': "No overload variant",
    'pipeline("ner", ignore_labels=3)': "No overload variant",
    'pipeline("ner", devise="cpu")': "No overload variant",
    'pipeline("text-classification", model=3)': "No overload variant",
    'pipeline("text-classification", truncation=3)': "No overload variant",
    'pipeline("ner", is_split_into_word=True)': "No overload variant",
    'pipeline("question-answering", max_answer_len="1")': "No overload variant",
    'pipeline("sentence-embeddings", pooling=3)': "No overload variant",
    'pipeline("feature-extraction", return_tensor=True)': "No overload variant",
    'pipeline("multiple-choice", top_k=3)': "No overload variant",
    'pipeline("zero-shot-classification", multi_label="no")': "No overload variant",
    'pipeline("fill-mask", target="b")': "No overload variant",
    "classify(3)": "No overload variant",
    'classify("a")[0]["lable"]': 'TypedDict "ClassificationAnswer" has no key "lable"',
    'classify("a")["label"]': "No overload variant",
    'classify("a")[0]["score"].upper()': '"float" has no attribute "upper"',
    'ranked(["a"])[0]["label"]': "No overload variant",
    'tag("a")[0]["entitty"]': 'TypedDict "EntityAnswer" has no key "entitty"',
    'ask("a", "b")["anwser"]': 'TypedDict "QuestionAnswer" has no key "anwser"',
    'embed("a")["label"]["score"].shape.x': 'has no attribute "x"',
    'encode("a")[0][0][0].upper()': '"float" has no attribute "upper"',
    'choose({})[0]["label"]': 'TypedDict "ChoiceAnswer" has no key "label"',
    'judge("a", 3)': "No overload variant",
    'judge("a", "b")["label"]': 'TypedDict "ZeroShotAnswer" has no key "label"',
    "fill(3)": "No overload variant",
    'train("tiny", "train.tsv", None)': "Missing positional argument",
    'train("tiny", 3, None, "mine")': "incompatible type",
    'Recipe(epochs="3")': "incompatible type",
    'evaluate("mine", "a.tsv").results()["loss"].x': 'has no attribute "x"',
}
MADE = """
from minidistil import Recipe, evaluate, pipeline, train
classify = pipeline("text-classification")
ranked = pipeline("text-classification", top_k=None)
tag = pipeline("ner")
ask = pipeline("question-answering")
embed = pipeline("sentence-embeddings")
encode = pipeline("feature-extraction")
choose = pipeline("multiple-choice")
judge = pipeline("zero-shot-classification")
fill = pipeline("fill-mask")
"""


@pytest.fixture(scope="module")
def found(made_once, request):
    """What mypy finds: for each file the errors by their line."""
    # Kept between runs: to read torch's types takes half a minute.
    cache = request.config.cache.mkdir("mypy")

    def make(folder):
        (folder / "right.py").write_text(RIGHT)
        (folder / "wrong.py").write_text(MADE + "\n".join(WRONG))
        result = subprocess.run(
            [
                *(sys.executable, "-m", "mypy", "--strict", "--python-version=3.10"),
                *("--no-error-summary", f"--cache-dir={cache}", "right.py", "wrong.py"),
            ],
            cwd=folder,
            env=os.environ | {"MYPYPATH": str(ROOT)},
            capture_output=True,
            text=True,
        )
        assert not result.stderr, result.stderr
        (folder / "errors").write_text(result.stdout)

    found = (made_once("typed", make) / "errors").read_text()
    errors = {"right.py": {}, "wrong.py": {}}
    for name, line, text in re.findall(r"^(.*?):(\d+): error: (.*)$", found, re.M):
        errors[name].setdefault(int(line), []).append(text)
    return errors


@pytest.mark.full
def test_right_uses_pass(found):
    assert found["right.py"] == {}


@pytest.mark.full
def test_each_wrong_use_is_found(found):
    before = len(MADE.splitlines())
    for line, (use, message) in enumerate(WRONG.items(), before + 1):
        errors = found["wrong.py"].pop(line, [])
        assert any(message in error for error in errors), (use, errors)
    assert found["wrong.py"] == {}, "the pipelines themselves are made rightly"


# The form of the answers depends on these, so that the signatures have them.
APART = {"return_tensors", "top_k"}
KEYWORDS = {
    "feature-extraction": keywords.TruncationKeywords,
    "fill-mask": keywords.FillMaskKeywords,
    "multiple-choice": keywords.TruncationKeywords,
    "question-answering": keywords.QuestionKeywords,
    "sentence-embeddings": keywords.EmbeddingKeywords,
    "sentiment-analysis": keywords.ClassificationKeywords,
    "text-classification": keywords.ClassificationKeywords,
    "token-classification": keywords.TokenKeywords,
    "ner": keywords.TokenKeywords,
    "zero-shot-classification": keywords.ZeroShotKeywords,
}


def typed(keywords):
    return {
        name: kind.__forward_arg__ for name, kind in keywords.__annotations__.items()
    }


def loading():
    """What `pipeline` takes for every task beside its options."""
    parameters = inspect.signature(pipeline).parameters
    taken = {name: each.annotation for name, each in parameters.items()}
    return {name: taken[name] for name in taken.keys() - {"task", "model", "options"}}


@pytest.mark.parametrize("task", TASKS)
def test_the_keywords_are_the_options(task):
    fields = dataclasses.fields(TASKS[task].options_class)
    known = {field.name: field.type for field in fields} | loading()
    given = typed(KEYWORDS[task])
    assert given.items() <= known.items()
    assert known.keys() - given.keys() <= APART


def test_the_keywords_that_all_tasks_share_are_their_options():
    for options, given in [
        (TaskOptions, keywords.TaskKeywords),
        (TruncationOptions, keywords.TruncationKeywords),
    ]:
        fields = {field.name: field.type for field in dataclasses.fields(options)}
        assert typed(given) == fields | loading()


@pytest.mark.parametrize("task", TASKS)
def test_a_call_refuses_an_unknown_option(task):
    tokenizer = DistilBertTokenizer.from_pretrained("tiny")
    config = DistilBertConfig(
        vocab_size=len(tokenizer),
        dim=8,
        n_heads=1,
        n_layers=1,
        hidden_dim=8,
        id2label={0: "entailment", 1: "contradiction"},
    )
    pipe = TASKS[task](TASKS[task].kind(config).eval(), tokenizer)
    with pytest.raises(TypeError, match="no argument 'batchsize'; did you mean"):
        pipe("a [MASK]", batchsize=3)
    with pytest.raises(TypeError, match="no argument 'device'"):
        pipe("a [MASK]", device="cpu")
    with pytest.raises(ValueError, match="batch_size is '3'"):
        pipe("a [MASK]", batch_size="3")


def test_each_task_has_its_overload():
    source = inspect.getsource(sys.modules["minidistil.pipelines.tasks"])
    overloads = source.split("@overload")[1:]
    named = [re.findall(r'"([\w-]+)"', each.split(" = None")[0]) for each in overloads]
    assert {name for names in named for name in names} == TASKS.keys()
    assert {*get_args(Task)} == TASKS.keys()
