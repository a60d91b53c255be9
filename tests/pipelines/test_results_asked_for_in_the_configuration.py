"""A config.json that asks for tuples or more results disturbs nobody inside."""

from __future__ import annotations

import pytest
from checkpoints import write_checkpoint

from minidistil import load, pipeline
from minidistil.explainer import explain
from minidistil.explainer.ablation import ablations
from minidistil.explainer.attribution import attribute
from minidistil.weights import export, verify

ASKED = {"return_dict": False, "output_hidden_states": True, "output_attentions": True}
SEQUENCE = "DistilBertForSequenceClassification"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    return [
        write_checkpoint(
            tmp_path_factory.mktemp("folder"),
            SEQUENCE,
            attn_implementation="eager",
            **asked,
        )
        for asked in ({}, ASKED)
    ]


USES = {
    "engine": lambda folder, _: pipeline("text-classification", folder)("a film"),
    "model": lambda folder, _: pipeline(
        "text-classification", load(folder), tokenizer=folder
    )("a film"),
    "explain": lambda folder, _: explain("a film", folder).answer.tolist(),
    "reasons": lambda folder, _: attribute(explain("a film", folder)).tokens.tolist(),
    "ablations": lambda folder, _: repr(ablations(explain("a film", folder))),
    "verify": lambda folder, _: [
        (check.name, check.status) for check in verify(folder).checks
    ],
    "export": lambda folder, path: export(folder, path / "model.onnx").batches,
}


@pytest.mark.parametrize("use", USES)
def test_the_results_are_those_of_a_plain_configuration(use, folders, tmp_path):
    plain, asking = (USES[use](folder, tmp_path) for folder in folders)
    if use == "reasons":  # gradients of weights that lie elsewhere in memory
        plain = pytest.approx(plain, abs=1e-6)
    assert asking == plain


def test_the_file_really_asks(folders):
    assert load(folders[1]).config.return_dict is False
