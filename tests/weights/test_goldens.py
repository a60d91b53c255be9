"""Published outputs of real checkpoints, compared with ours.

Each line of ``weights/goldens.jsonl`` is a fact: what a checkpoint answered somewhere,
with its source and the tolerance that the number of printed digits allows. A line is
checked whenever its checkpoint is in the Hugging Face cache, and skipped by name
otherwise. Left out are answers that are means or maxima over several windows of a long
text.

The code that compares (`minidistil.weights.goldens`) is itself checked, on checkpoints
with random weights laid out as the cache is.
"""

from __future__ import annotations

import os
import warnings

import pytest
import torch
import transformers
from checkpoints import write_checkpoint
from huggingface_hub import snapshot_download, try_to_load_from_cache

import minidistil
from minidistil.auto import KINDS
from minidistil.pipelines import DEFAULT_MODEL, DEFAULT_REVISION
from minidistil.weights import goldens
from minidistil.weights.verification import run_with_model

GOLDENS = goldens.goldens()
REVISIONS = {DEFAULT_MODEL: DEFAULT_REVISION}
# Where SST-2's dev.tsv (872 sentences) is, for the accuracy on it.
DATA = "MINIDISTIL_SST2_DEV"


def check(golden, cache_dir=None):
    """Raise an AssertionError unless the checkpoint gives what was published."""
    if "dataset" in golden["input"]:
        check_dataset(golden)
        return
    where = {
        "source": golden["checkpoint"],
        "revision": REVISIONS.get(golden["checkpoint"]),
        "cache_dir": cache_dir,
        "local_files_only": True,
    }
    run, labels = None, {}
    if golden["kind"] is not None:
        model = KINDS[golden["kind"]].from_pretrained(**where)
        run, labels = run_with_model(model), model.config.id2label
    subject = goldens.Subject(
        run, lambda: minidistil.AutoTokenizer.from_pretrained(**where), labels
    )
    with warnings.catch_warnings():
        # Some goldens show what padding does without a mask.
        warnings.filterwarnings("ignore", message="input_ids holds the padding id")
        goldens.check(golden, subject)


def check_dataset(golden):
    """Compare accuracy, loss and confusion matrix on the file that `DATA` names."""
    if DATA not in os.environ:
        pytest.skip(f"needs SST-2's dev.tsv: set {DATA} to its path")
    folder = snapshot_download(
        DEFAULT_MODEL, revision=DEFAULT_REVISION, local_files_only=True
    )
    measure = minidistil.evaluate(folder, os.environ[DATA])
    found, expected = measure.results(), golden["expected"]
    assert found["accuracy"] == pytest.approx(expected["accuracy"], abs=1e-4)
    assert found["loss"] == pytest.approx(expected["loss"], abs=golden["tol"])
    assert measure.details()["confusion"]["counts"] == expected["confusion"]


def name_of(golden):
    return f"{golden['checkpoint']}-{goldens.title(golden)}"


def is_cached(repo, revision):
    names = ("config.json", "model.safetensors")
    paths = [try_to_load_from_cache(repo, name, revision=revision) for name in names]
    return all(isinstance(path, str) for path in paths)


@pytest.mark.hub
@pytest.mark.parametrize("golden", GOLDENS, ids=name_of)
def test_a_real_checkpoint_gives_what_was_published(golden):
    repo = golden["checkpoint"]
    revision = REVISIONS.get(repo)
    if not is_cached(repo, revision):
        option = f" --revision {revision}" if revision else ""
        pytest.skip(f"{repo} is not in the cache: hf download {repo}{option}")
    check(golden)


# The machinery, on random weights

COMMIT = "0123456789abcdef0123456789abcdef01234567"
ENCODER, MASKED_LM = "DistilBertModel", "DistilBertForMaskedLM"
SEQUENCE, TOKENS = (
    "DistilBertForSequenceClassification",
    "DistilBertForTokenClassification",
)
QUESTION, CHOICE = "DistilBertForQuestionAnswering", "DistilBertForMultipleChoice"


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory):
    made = {}

    def folder_of(architecture):
        if architecture not in made:
            folder = tmp_path_factory.mktemp(architecture)
            sizes = {"vocabulary": 30522, "max_position_embeddings": 512}
            made[architecture] = write_checkpoint(folder, architecture, **sizes)
        return made[architecture]

    return folder_of


def cache_with(cache, repo, folder):
    """Lay a folder out as the Hugging Face cache does: blobs, links to them, a ref."""
    root = cache / f"models--{repo.replace('/', '--')}"
    commit = REVISIONS.get(repo, COMMIT)
    snapshot = root / "snapshots" / commit
    for directory in (snapshot, root / "blobs", root / "refs"):
        directory.mkdir(parents=True)
    (root / "refs" / "main").write_text(commit)
    for file in folder.iterdir():
        blob = root / "blobs" / f"blob-of-{file.name}"
        blob.symlink_to(file)
        (snapshot / file.name).symlink_to(blob)
    return cache


def file_of(golden):
    """The class whose file an encoder's or a tokenizer's golden is checked on too."""
    return MASKED_LM if golden["kind"] in (ENCODER, None) else golden["kind"]


CHECKABLE = [golden for golden in GOLDENS if "dataset" not in golden["input"]]


@pytest.mark.sample(10)
@pytest.mark.parametrize("golden", CHECKABLE, ids=name_of)
def test_random_weights_fail_on_numbers_and_never_crash(golden, folder_of, tmp_path):
    folder = folder_of(file_of(golden))
    cache = cache_with(tmp_path, golden["checkpoint"], folder)
    if golden["kind"] is None:  # the vocabulary is the real one
        check(golden, cache)
        return
    with pytest.raises(AssertionError):
        check(golden, cache)


IDS = {"input_ids": [[7, 9, 11, 13, 0]], "attention_mask": [[1, 1, 1, 1, 0]]}
CHOICES = {name: [rows] for name, rows in IDS.items()}
TEXTS = ["I've been waiting for a course.", "Bad"]
MASKED = "Hello I'm a [MASK] model."


def reference(folder, architecture, inputs):
    model = getattr(transformers, architecture).from_pretrained(folder)
    with torch.no_grad():
        return model(**{name: torch.as_tensor(value) for name, value in inputs.items()})


def expect_hidden(folder):
    hidden = reference(folder, "DistilBertModel", IDS).last_hidden_state
    part = hidden[:, 1:3, 1:4].tolist()
    return IDS, {"shape": list(hidden.shape), "output[:,1:3,1:4]": part}


def expect_seqcls(folder):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    inputs = dict(tokenizer(TEXTS, padding=True, return_tensors="pt"))
    logits = reference(folder, SEQUENCE, inputs).logits
    probabilities = logits.softmax(dim=-1)
    return {"texts": TEXTS}, {
        "input_ids": inputs["input_ids"].tolist(),
        "output": logits.tolist(),
        "probs": probabilities.tolist(),
        "labels": [f"LABEL_{i}" for i in logits.argmax(dim=-1)],
        "scores": probabilities.amax(dim=-1).tolist(),
    }


def expect_fillmask(folder):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.DistilBertForMaskedLM.from_pretrained(folder)
    fill = transformers.FillMaskPipeline(model=model, tokenizer=tokenizer)
    best = fill(MASKED, top_k=4)
    words = tokenizer.convert_ids_to_tokens([each["token"] for each in best])
    scores = [each["score"] for each in best]
    return {"texts": [MASKED]}, {"words": [words], "scores": [scores]}


def expect_mlm(folder):
    logits = reference(folder, MASKED_LM, IDS).logits
    part = logits[:, 1:4, 1:4].tolist()
    shape = list(logits.shape)
    return IDS, {"shape": shape, "output[:,1:4,1:4]": part}


def expect_tokcls(folder):
    logits = reference(folder, TOKENS, IDS).logits
    return IDS, {"output[:,1:4,:]": logits[:, 1:4].tolist()}


def expect_qa_logits(folder):
    out = reference(folder, QUESTION, IDS)
    start, end = out.start_logits[:, 1:4], out.end_logits[:, 1:4]
    return IDS, {"output[:,1:4,0]": start.tolist(), "output[:,1:4,1]": end.tolist()}


def expect_mc(folder):
    return CHOICES, {"output": reference(folder, CHOICE, CHOICES).logits.tolist()}


def expect_qa(folder):
    """Try every span, one by one."""
    question, context = "Where do I work?", "I work at Hugging Face in Brooklyn"
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(
        question, context, return_tensors="pt", return_offsets_mapping=True
    )
    spans = inputs.pop("offset_mapping")[0].tolist()
    out = reference(folder, QUESTION, inputs)
    sequence = inputs.sequence_ids(0)
    mine = [i for i, which in enumerate(sequence) if which == 1]
    weights = [
        {i: logits[0, i].exp().item() for i in [0, *mine]}
        for logits in (out.start_logits, out.end_logits)
    ]
    score, first, last = max(
        (
            weights[0][i] / sum(weights[0].values()) * weights[1][j]
            / sum(weights[1].values()),
            i,
            j,
        )
        for i in mine
        for j in mine
        if i <= j < i + 15
    )  # fmt: skip
    start, end = spans[first][0], spans[last][1]
    expected = {"answer": [context[start:end], start, end], "scores": score}
    return {"question": question, "context": context}, expected


EXPECTATIONS = {
    "hidden": (ENCODER, expect_hidden),
    "seqcls": (SEQUENCE, expect_seqcls),
    "fillmask": (MASKED_LM, expect_fillmask),
    "mlm": (MASKED_LM, expect_mlm),
    "tokcls": (TOKENS, expect_tokcls),
    "qa": (QUESTION, expect_qa),
    "qa_logits": (QUESTION, expect_qa_logits),
    "mc": (CHOICE, expect_mc),
}


@pytest.mark.parametrize("task", EXPECTATIONS)
def test_what_transformers_computes_passes_as_a_golden(task, folder_of, tmp_path):
    kind, expect = EXPECTATIONS[task]
    golden = {"checkpoint": "someone/a-model", "kind": kind, "tol": 1e-5}
    folder = folder_of(file_of(golden))
    golden["input"], golden["expected"] = expect(folder)
    check(golden, cache_with(tmp_path, golden["checkpoint"], folder))
