"""The card of what was trained: facts for the hub, and what a reader wants to know."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from huggingface_hub.repocard import metadata_load
from pages import HOSTILE, MARKUP
from reports import distilled

from minidistil.training.card import Origin, model_card

KIND = "DistilBertForSequenceClassification"
START = Origin("someone/a-model", "someone/a-model", "apache-2.0")


def card_of(run: dict[str, Any], **options: Any) -> str:
    return model_card(run, **{"name": "small", "kind": KIND, "origin": START} | options)


def tables(card: str) -> list[list[list[str]]]:
    """The cells of each table, without its head."""
    found = re.findall(r"\n\|[^\n]*\n\|(?:---\|)+\n((?:\|[^\n]*\|\n)*)", card)
    return [
        [re.split(r" (?<!\\)\| ", line[2:-2]) for line in lines.splitlines()]
        for lines in found
    ]


def test_the_hub_reads_its_facts(tmp_path):
    run = distilled()
    path = tmp_path / "README.md"
    path.write_text(card_of(run, datasets=["stanfordnlp/sst2"]), "utf-8")
    facts = metadata_load(path)
    assert facts == {
        "base_model": "someone/a-model",
        "datasets": ["stanfordnlp/sst2"],
        "library_name": "minidistil",
        "license": "apache-2.0",
        "pipeline_tag": "text-classification",
        "tags": ["distilbert"],
        "model-index": facts["model-index"],
    }


def test_the_hub_reads_the_figures_of_the_best_evaluation():
    run = distilled()
    results = run["evaluations"][3]["results"]
    results |= {"matthews": 0.5, "f1_macro": 0.25, "spearman": math.nan}
    data = ModelCard(card_of(run)).data
    assert {
        x.metric_name: (x.metric_type, x.metric_value) for x in data.eval_results
    } == {
        "accuracy": ("accuracy", results["accuracy"]),
        "matthews": ("matthews_correlation", 0.5),
        "f1_macro": ("f1", 0.25),
    }
    assert {(x.dataset_name, x.task_type) for x in data.eval_results} == {
        ("sst2/dev.tsv", "text-classification")
    }
    assert data.model_name == "small"


def test_the_tables_have_the_numbers_of_the_run():
    run = distilled()
    figures, labels, data, counts, recipe, environment = tables(card_of(run))
    best, teacher = run["evaluations"][3]["results"], run["teacher"]["results"]
    assert figures == [
        [name, f"{best[name]:.4f}", f"{teacher[name]:.4f}"] for name in best
    ]
    assert labels[0] == ["NEGATIVE", "0.9000", "0.8915", "428"]
    assert data == [
        ["train", "sst2/train.tsv", "1,000", "3 (empty text)", "12"],
        ["dev", "sst2/dev.tsv", "872", "0", "0"],
    ]
    assert counts == [["NEGATIVE", "250", "428"], ["POSITIVE", "747", "444"]]
    assert len(recipe) == len(run["recipe"])
    assert ["learning\\_rate", "0.0001", "5e-5"] in recipe
    assert ["epochs", "3", ""] in recipe
    assert environment == [
        [name, str(value)] for name, value in run["environment"].items()
    ]


def test_it_says_how_to_repeat_it_and_what_it_came_from():
    run = distilled() | {"state": "finished"}
    card = card_of(run, teacher=Origin("mine"))
    assert f"```\n{run['command']}\n```" in card
    assert "distilled from mine, starting from someone/a-model." in card
    assert "not finished" not in card
    assert "Measured on the 872 rows of sst2/dev.tsv" in card


def test_a_student_of_its_teachers_layers_is_said_to_be_one():
    run = distilled()
    card = card_of(run, origin=None, teacher=START)
    assert "distilled from someone/a-model, starting from its layers 0, 2, 4." in card
    assert "random" not in card
    run["recipe"]["layers"] = None
    assert "random weights" in card_of(run, origin=None, teacher=START)


def test_a_card_of_an_unfinished_training_says_so():
    run = distilled() | {"state": "interrupted"}
    assert (
        "**The training is not finished: it is interrupted, at step 1,000 of 1,200"
        in (card_of(run))
    )


def test_what_was_not_measured_has_no_figures():
    run = distilled() | {"best": None, "details": {}, "state": "finished"}
    card = card_of(run)
    assert "It has not been measured." in card
    assert "model-index" not in card


@pytest.mark.parametrize(
    ("start", "teacher", "expected"),
    [
        ("mit", "mit", "mit"),
        ("mit", None, None),
        (None, "mit", None),
        ("mit", "apache-2.0", None),
    ],
)
def test_a_licence_is_stated_only_if_it_is_known(start, teacher, expected):
    known = {"origin": Origin("a", None, start), "teacher": Origin("b", None, teacher)}
    card = card_of(distilled(), **known)
    assert ModelCard(card).data.license == expected
    assert ("not known here" in card) == (None in (start, teacher))


def test_weights_from_nowhere_have_no_licence_and_no_base():
    card = card_of(distilled(), origin=None)
    assert ModelCard(card).data.license is None
    assert ModelCard(card).data.base_model is None
    assert "random weights" in card


def test_the_card_of_a_start_is_read(tmp_path: Path):
    assert Origin.of("tiny") == Origin(
        "tiny", "sentence-transformers/all-MiniLM-L6-v2", "apache-2.0"
    )
    (tmp_path / "README.md").write_text("no facts", "utf-8")
    assert Origin.of(tmp_path) == Origin(tmp_path.name)


@pytest.mark.parametrize("facts", ["license: [", "- a\n- b", "license: [a, b]", "\0"])
def test_a_start_with_a_broken_card_has_no_licence(tmp_path: Path, facts):
    (tmp_path / "README.md").write_text(f"---\n{facts}\n---\n", "utf-8")
    assert Origin.of(tmp_path).licence is None


def test_no_path_of_a_home_gets_into_a_card():
    run = distilled()
    run["data"]["train"]["files"] = ["/home/someone/secret/train.tsv"]
    run["data"]["dev"]["files"] = ["/home/someone/secret/dev.tsv"]
    run["command"] = ""
    card = card_of(run)
    assert "someone/secret" not in card
    assert "train.tsv" in card


def test_hostile_names_stay_in_their_cells():
    run = distilled()
    names = [HOSTILE, *MARKUP, "a | b\n| c |", "```\n# d", "---\nlicense: evil\n---"]
    run["data"]["train"]["labels"] = dict.fromkeys(names, 1)
    run["recipe"] |= {name: name for name in names}
    run["command"] = "echo ```` \n# heading"
    run["details"]["per_label"] = [{"label": name, "f1": 0.5} for name in names]
    card = card_of(run, name=HOSTILE)
    assert ModelCard(card).data.license == "apache-2.0"
    assert ModelCard(card).data.model_name == HOSTILE
    assert [len(table[0]) for table in tables(card)] == [3, 2, 5, 3, 3, 2]
    assert all(len({len(row) for row in table}) == 1 for table in tables(card))
    assert "\n`````\necho ```` " in card
    plain = card.split("\n---\n", 1)[1]
    assert re.findall(r"^#.*", plain, re.M)[1:] == [
        *("## How good it is", "## Data", "## How it was made"),
        *("## How to repeat it", "## Limits", "## Licence and sources"),
    ]
    outside = re.sub(r"`````.*?`````", "", plain, flags=re.S)
    assert not re.search(r"(?<!\\)<", outside)


def test_of_very_many_labels_the_card_shows_some_and_counts_the_rest():
    run = distilled()
    run["data"]["train"]["labels"] = {f"label {i}": i for i in range(200)}
    run["data"]["dev"]["labels"] = {}
    run["details"]["per_label"] = [{"label": str(i), "f1": 0.5} for i in range(100)]
    card = card_of(run)
    assert [len(table) for table in tables(card)][1:4] == [50, 2, 50]
    assert "And 50 more labels." in card
    assert "And 150 more labels." in card
