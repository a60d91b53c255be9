"""The multiple-choice pipeline, beside transformers' model: it has no such pipeline."""

from __future__ import annotations

import json
from types import MappingProxyType

import pytest
import torch
import transformers
from click.testing import CliRunner
from real_weights import write_trained
from texts import generated, words

from minidistil import (
    AutoModelForMultipleChoice,
    AutoTokenizer,
    Engine,
    pipeline,
)
from minidistil.cli import main
from minidistil.pipelines import reading

TASK = "multiple-choice"
LIMIT = 48  # the small checkpoint's positions
SKY = {"prompt": "The sky is", "choices": ["blue.", "a film about itself.", "good"]}


@pytest.fixture(scope="module")
def folder(folder_of):
    return folder_of("DistilBertForMultipleChoice")


@pytest.fixture(scope="module")
def choose(folder):
    return pipeline(TASK, folder)


def load_reference(folder):
    """Give a function from a prompt and texts to their scores, by transformers."""
    model = transformers.DistilBertForMultipleChoice.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)

    @torch.inference_mode()
    def scores(prompt, texts, **options):
        batch = tokenizer(
            [prompt] * len(texts), texts, padding=True, return_tensors="pt", **options
        )
        rows = {"input_ids", "attention_mask"}
        inputs = {name: batch[name][None] for name in rows}  # (1, C, T)
        return model(**inputs).logits[0].softmax(dim=0).tolist()

    return scores


@pytest.fixture(scope="module")
def reference(folder):
    return load_reference(folder)


def check(answers, choices, scores, tolerance=1e-6):
    """Compare answers with the choices and their scores, in the order of a problem."""
    order = sorted(range(len(choices)), key=lambda i: -scores[i])
    assert [answer["index"] for answer in answers] == order
    assert [answer["choice"] for answer in answers] == [choices[i] for i in order]
    assert [list(answer) for answer in answers] == [["choice", "index", "score"]] * len(
        choices
    )
    found = [answer["score"] for answer in answers]
    assert found == pytest.approx([scores[i] for i in order], abs=tolerance)
    assert {*map(type, found)} == {float}


# What goes in and what comes out


@pytest.mark.parametrize(
    "problem",
    [
        SKY,
        {"prompt": "", "choices": ["blue", "good"]},
        {"prompt": "Это ☕", "choices": ["你好", "Ünïcödé film", "[MASK]"]},
        {"prompt": words(20), "choices": (words(9), words(12, start=3))},
        {"prompt": "a", "choices": [words(1 + i, start=i) for i in range(9)]},
    ],
    ids=lambda problem: problem["prompt"][:9],
)
def test_choices_have_the_scores_of_transformers_model(choose, reference, problem):
    choices = [*problem["choices"]]
    check(choose(problem), choices, reference(problem["prompt"], choices))


def test_a_question_is_read_before_each_choice(choose, reference):
    question = "Which colour has it?"
    texts = [f"{question} {choice}" for choice in SKY["choices"]]
    expected = reference(SKY["prompt"], texts)
    check(choose({**SKY, "question": question}), SKY["choices"], expected)


@pytest.mark.parametrize("question", [None, ""])
def test_no_question_is_none(choose, question):
    assert choose({**SKY, "question": question}) == choose(SKY)


def test_generated_problems_have_the_scores_of_transformers_model(choose, reference):
    texts = generated(80, longest=14)
    problems = [
        {"prompt": texts[i], "choices": texts[i + 1 : i + 3 + i % 3]}
        for i in range(0, 75, 5)
    ]
    for problem, answers in zip(problems, choose(problems), strict=True):
        scores = reference(problem["prompt"], problem["choices"])
        check(answers, problem["choices"], scores)


def test_trained_weights_give_the_scores_of_transformers_model(tmp_path):
    folder = write_trained(tmp_path, "DistilBertForMultipleChoice")
    prompt = "She put the bread into the oven."
    choices = ["An hour later it was baked.", "The oven flew away.", "Not bad"]
    answers = pipeline(TASK, folder)({"prompt": prompt, "choices": choices})
    check(answers, choices, load_reference(folder)(prompt, choices), 1e-5)


def test_the_same_choice_twice_has_one_score(choose):
    answers = choose({"prompt": "a", "choices": ["film", "end", "film"]})
    scores = {answer["index"]: answer["score"] for answer in answers}
    assert scores[0] == pytest.approx(scores[2], abs=1e-7)


def test_a_list_an_iterator_and_a_mapping_of_any_kind_are_answered(choose):
    assert choose([SKY]) == [choose(SKY)]
    assert choose([]) == []
    assert [*choose(iter([SKY, SKY]))] == choose([SKY, SKY])
    assert choose(MappingProxyType(SKY)) == choose(SKY)


def test_an_iterator_is_read_as_its_answers_are_taken(choose, monkeypatch):
    monkeypatch.setattr(reading, "CHUNK", 2)
    taken = []

    def problems():
        for i in range(5):
            taken.append(i)
            yield SKY

    answers = choose(problems())
    assert taken == []
    next(answers)
    assert taken == [0]
    assert len([*answers]) == 4


# What is refused


@pytest.mark.parametrize(
    "value",
    [
        None,
        "a prompt",
        {},
        {"prompt": "a"},
        {"choices": ["a", "b"]},
        {**SKY, "more": 1},
        {"prompt": 3, "choices": ["a", "b"]},
        {**SKY, "question": 3},
        {"prompt": "a", "choices": "ab"},
        {"prompt": "a", "choices": b"ab"},
        {"prompt": "a", "choices": ["a", 3]},
        {"prompt": "a", "choices": None},
        {"prompt": "a", "choices": iter(["a", "b"])},
        {"prompt": "a", "choices": {"a", "b"}},
        {"prompt": "a", "choices": {"a": 1, "b": 2}},
        ["a", "b"],
    ],
)
def test_what_is_no_problem_is_refused(choose, value):
    with pytest.raises(TypeError, match=r"prompt 1 (is|has) .*expected"):
        choose([SKY, value])


def test_a_string_alone_is_refused(choose):
    with pytest.raises(
        TypeError, match=r'the prompt is \'a film\', expected \{"prompt"'
    ):
        choose("a film")


@pytest.mark.parametrize("choices", [[], ["one"], ["", "two"], ["one", " "]])
def test_fewer_than_two_choices_and_empty_ones_are_refused(choose, choices):
    with pytest.raises(ValueError, match=r"the prompt has the choices .* two or more"):
        choose({"prompt": "a", "choices": choices})


def test_a_list_is_checked_before_anything_is_computed(choose, monkeypatch):
    monkeypatch.setattr(reading, "CHUNK", 1)
    monkeypatch.setattr(Engine, "__call__", None)
    with pytest.raises(TypeError, match="prompt 1"):
        choose([SKY, "a"])


def test_an_unknown_option_is_refused_with_the_nearest(choose):
    with pytest.raises(TypeError, match="did you mean 'truncation'"):
        choose(SKY, trunkation="head")


# Prompts that are too long

LONG = words(100)


def test_the_beginning_of_a_long_prompt_is_read(choose, reference):
    problem = SKY | {"prompt": LONG}
    # Each choice is read whole, and leaves another room for the prompt.
    options = {"truncation": "only_first", "max_length": LIMIT}
    expected = reference(LONG, SKY["choices"], **options)
    check(choose(problem, truncation="head"), SKY["choices"], expected)


def test_that_a_prompt_is_cut_is_told(choose):
    with pytest.warns(UserWarning, match="only its beginning is read"):
        choose(SKY | {"prompt": LONG})


def test_windows_are_the_same_for_all_choices_and_their_scores_averaged(
    choose, reference
):
    choices = ["good", "a film end", "too long"]
    room = LIMIT - 3 - 3
    step = room - room // 4
    starts = [*range(0, 100 - room, step), 100 - room]
    tokens = LONG.split()
    each = [
        reference(" ".join(tokens[start : start + room]), choices) for start in starts
    ]
    means = [sum(scores) / len(each) for scores in zip(*each, strict=True)]
    answers = choose({"prompt": LONG, "choices": choices}, truncation="window")
    check(answers, choices, means)


def test_a_long_prompt_can_be_refused(choose):
    with pytest.raises(ValueError, match="100 tokens"):
        choose(SKY | {"prompt": LONG}, truncation="error")


def test_a_choice_that_leaves_no_room_is_refused(choose):
    with pytest.raises(ValueError, match=r"90 tokens, which of the 48 .*shorten it"):
        choose({"prompt": "a", "choices": ["a", words(90)]}, truncation="head")


# Where the model comes from


def test_a_loaded_model_answers_as_its_folder_does(choose, folder, reference):
    model = AutoModelForMultipleChoice.from_pretrained(folder)
    loaded = pipeline(TASK, model, tokenizer=AutoTokenizer.from_pretrained(folder))
    scores = reference(SKY["prompt"], SKY["choices"])
    check(loaded(SKY, batch_size=2), SKY["choices"], scores)
    check(choose(SKY), SKY["choices"], scores)


def test_a_model_of_another_kind_is_refused(folder):
    with pytest.raises(ValueError, match="missing"):
        pipeline("fill-mask", folder)


# The command


def run(folder, *arguments):
    return CliRunner().invoke(main, ["choose", "--model", str(folder), *arguments])


def test_the_command_prints_a_line_for_each_choice(folder, choose):
    result = run(folder, SKY["prompt"], *SKY["choices"])
    assert result.stdout.splitlines() == [
        f"{answer['score']:.4f}  {answer['choice']}" for answer in choose(SKY)
    ]


def test_the_commands_json_is_the_answer(folder, choose):
    result = run(folder, "--json", "-q", "Which?", SKY["prompt"], *SKY["choices"])
    record = json.loads(result.stdout)
    assert record["prompt"] == SKY["prompt"]
    assert record["choices"] == choose({**SKY, "question": "Which?"})


def test_the_command_refuses_one_choice(folder):
    result = run(folder, "The sky is", "blue")
    assert result.exit_code == 1
    assert "expected two or more" in result.stderr
