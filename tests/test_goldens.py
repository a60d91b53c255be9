"""Published outputs of real checkpoints, compared with ours.

Each line of `goldens.jsonl` is a fact: what a checkpoint answered somewhere, with its
source and the tolerance that the number of printed digits allows. A line is checked
whenever its checkpoint is in the Hugging Face cache, and skipped by name otherwise.
Left out are answers that are means or maxima over several windows of a long text.

The machinery is itself checked, on checkpoints with random weights laid out as the
cache is.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
import torch
import transformers
from checkpoints import write_checkpoint
from huggingface_hub import try_to_load_from_cache

import minidistil
from minidistil.pipelines import DEFAULT_MODEL, DEFAULT_REVISION

GOLDENS = [
    json.loads(line)
    for line in (Path(__file__).parent / "goldens.jsonl")
    .read_text("utf-8")
    .splitlines()
]
REVISIONS = {DEFAULT_MODEL: DEFAULT_REVISION}
# Where SST-2's dev.tsv (872 sentences) is, for the accuracy on it.
DATA = "MINIDISTIL_SST2_DEV"

HEADS = {
    "hidden": "DistilBertModel",
    "seqcls": "DistilBertForSequenceClassification",
    "fillmask": "DistilBertForMaskedLM",
    "fillmask_ids": "DistilBertForMaskedLM",
    "mlm": "DistilBertForMaskedLM",
    "tokcls": "DistilBertForTokenClassification",
    "qa": "DistilBertForQuestionAnswering",
    "qa_logits": "DistilBertForQuestionAnswering",
    "mc": "DistilBertForMultipleChoice",
}
LONGEST_ANSWER = 15  # tokens; transformers' default


class Checkpoint:
    """A checkpoint in a cache, and the texts or ids of a golden as its inputs."""

    def __init__(self, golden, cache_dir):
        self.golden = golden
        self.where = {
            "source": golden["checkpoint"],
            "revision": REVISIONS.get(golden["checkpoint"]),
            "cache_dir": cache_dir,
            "local_files_only": True,
        }

    def tokenizer(self):
        return minidistil.AutoTokenizer.from_pretrained(**self.where)

    def model(self):
        cls = getattr(minidistil, HEADS[self.golden["task"]])
        return cls.from_pretrained(**self.where)

    def inputs(self):
        given = self.golden["input"]
        if "texts" not in given:
            names = ("input_ids", "attention_mask")
            return {name: torch.tensor(given[name]) for name in names if name in given}
        texts = [tuple(x) if isinstance(x, list) else x for x in given["texts"]]
        inputs = self.tokenizer()(texts, padding=True, return_tensors="pt")
        if "input_ids" in given:
            assert inputs["input_ids"].tolist() == given["input_ids"]
        if given.get("no_attention_mask"):
            del inputs["attention_mask"]
        return inputs


@torch.inference_mode()
def check(golden, cache_dir=None):
    """Raise an AssertionError unless the checkpoint gives what was published."""
    with warnings.catch_warnings():
        # Some goldens show what padding does without a mask.
        warnings.filterwarnings("ignore", message="input_ids holds the padding id")
        CHECKS[golden["task"]](golden, Checkpoint(golden, cache_dir))


def assert_close(got, published, tolerance):
    published = torch.tensor(published)
    assert got.shape == published.shape
    error = (got - published).abs().max().item()
    assert error <= tolerance, f"off by {error:.2e}: {got.tolist()}"


def cut(values, expression):
    """Return ``values[:,1:4]`` for such an expression; a comment may follow it."""
    subscript = expression[expression.index("[") :].split()[0]
    return eval(f"values{subscript}", {"values": values})


def check_hidden(golden, checkpoint):
    check_slice(golden, checkpoint.model()(**checkpoint.inputs()).last_hidden_state)


def check_logits_slice(golden, checkpoint):
    check_slice(golden, checkpoint.model()(**checkpoint.inputs()).logits)


def check_slice(golden, values):
    expected = golden["expected"]
    assert list(values.shape) == expected.get("shape", list(values.shape))
    part = cut(values, expected["slice"])
    assert_close(part, expected["values"], golden["tol"])


def check_seqcls(golden, checkpoint):
    expected, tolerance = golden["expected"], golden["tol"]
    inputs, model = checkpoint.inputs(), checkpoint.model()
    logits = model(**inputs).logits
    scores = logits.softmax(dim=-1)
    if "labels" in expected:
        labels = [model.config.id2label[i] for i in logits.argmax(dim=-1).tolist()]
        assert labels == expected["labels"]
    if "logits" in expected:
        assert_close(logits, expected["logits"], tolerance)
    if "probs" in expected:
        assert_close(scores, expected["probs"], tolerance)
    if "scores" in expected:
        assert_close(scores.max(dim=-1).values, expected["scores"], tolerance)
    if "last_hidden_shape" in expected:
        hidden = model.distilbert(**inputs).last_hidden_state
        assert list(hidden.shape) == expected["last_hidden_shape"]


def check_fillmask(golden, checkpoint):
    tokenizer, inputs = checkpoint.tokenizer(), checkpoint.inputs()
    (place,) = (inputs["input_ids"][0] == tokenizer.mask_token_id).nonzero()
    scores = checkpoint.model()(**inputs).logits[0, place.item()].softmax(dim=-1)
    top = golden["expected"]["top"]
    best = scores.topk(len(top))
    tokens = tokenizer.convert_ids_to_tokens(best.indices.tolist())
    assert tokens == [token for token, _, _ in top]
    if golden["tol"] is not None:
        assert best.indices.tolist() == [id for _, id, _ in top]
        assert_close(best.values, [score for _, _, score in top], golden["tol"])


def check_fillmask_ids(golden, checkpoint):
    tokenizer, inputs = checkpoint.tokenizer(), checkpoint.inputs()
    places = golden["input"]["set_mask_at"]
    for row, place in places:
        inputs["input_ids"][row, place] = tokenizer.mask_token_id
    best = checkpoint.model()(**inputs).logits.argmax(dim=-1)
    tokens = [tokenizer.convert_ids_to_tokens(int(best[i, j])) for i, j in places]
    assert tokens == golden["expected"]["argmax_tokens"]


def check_qa_logits(golden, checkpoint):
    out = checkpoint.model()(**checkpoint.inputs())
    for name, published in golden["expected"].items():
        logits = out.start_logits if name.startswith("start") else out.end_logits
        assert_close(cut(logits, name), published, golden["tol"])


def check_logits(golden, checkpoint):
    logits = checkpoint.model()(**checkpoint.inputs()).logits
    assert_close(logits, golden["expected"]["logits"], golden["tol"])


def check_tokens(golden, checkpoint):
    assert checkpoint.inputs()["input_ids"].tolist() == golden["expected"]["input_ids"]


def check_qa(golden, checkpoint):
    expected = golden["expected"]
    question, context = golden["input"]["question"], golden["input"]["context"]
    encoding = checkpoint.tokenizer()(
        [question], [context], return_tensors="pt", return_offsets_mapping=True
    )
    spans = encoding.pop("offset_mapping")[0].tolist()
    out = checkpoint.model()(encoding["input_ids"])
    is_context = torch.tensor([i == 1 for i in encoding.sequence_ids()])
    first, last, score = best_span(out.start_logits[0], out.end_logits[0], is_context)
    # An answer is of whole words.
    words = encoding.word_ids()
    of_context = [i for i, mine in enumerate(is_context.tolist()) if mine]
    start = min(spans[i][0] for i in of_context if words[i] == words[first])
    end = max(spans[i][1] for i in of_context if words[i] == words[last])
    got = (context[start:end], start, end)
    assert got == (expected["answer"], expected["start"], expected["end"])
    assert score == pytest.approx(expected["score"], abs=golden["tol"])


def best_span(start_logits, end_logits, is_context):
    """Return the first and the last token of the best answer, and its score.

    As in version 4 of transformers: of the tokens, those of the context and [CLS] (no
    answer) share the probability, and then [CLS] is not an answer.
    """
    allowed = is_context.clone()
    allowed[0] = True
    start, end = (
        logits.masked_fill(~allowed, -1e4).softmax(dim=0) * is_context
        for logits in (start_logits, end_logits)
    )
    scores = (start[:, None] * end).triu().tril(LONGEST_ANSWER - 1)  # (T, T)
    first, last = divmod(int(scores.argmax()), len(scores))
    return first, last, float(scores[first, last])


def check_dataset(golden, checkpoint):
    """Compare accuracy, loss and confusion matrix on the file that `DATA` names."""
    if DATA not in os.environ:
        pytest.skip(f"needs SST-2's dev.tsv: set {DATA} to its path")
    script = Path(__file__).parents[1] / "scripts" / "evaluate.py"
    where = ["--model", DEFAULT_MODEL, "--revision", DEFAULT_REVISION]
    command = [sys.executable, script, *where, os.environ[DATA]]
    offline = os.environ | {"HF_HUB_OFFLINE": "1"}
    output = subprocess.check_output(command, text=True, env=offline)
    printed = [line.split() for line in output.splitlines()]
    expected = golden["expected"]
    assert float(printed[0][1]) == pytest.approx(expected["accuracy"], abs=1e-4)
    assert float(printed[1][1]) == pytest.approx(expected["loss"], abs=golden["tol"])
    counts = [[int(count) for count in row[1:]] for row in printed[-2:]]
    assert counts == expected["confusion"]


CHECKS = {
    "hidden": check_hidden,
    "seqcls": check_seqcls,
    "fillmask": check_fillmask,
    "fillmask_ids": check_fillmask_ids,
    "mlm": check_logits_slice,
    "tokcls": check_logits_slice,
    "qa": check_qa,
    "qa_logits": check_qa_logits,
    "mc": check_logits,
    "tokens": check_tokens,
    "dataset": check_dataset,
}


def name_of(golden):
    given = golden["input"]
    what = given.get("texts") or given.get("question") or given.get("input_ids") or ""
    return f"{golden['checkpoint']}-{golden['task']}-{what!s:.40}"


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
# Which of the heads a checkpoint's file holds, where the task does not tell.
FILES = {"hidden": HEADS["mlm"], "tokens": HEADS["mlm"]}


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
    task = golden["task"]
    return FILES.get(task) or HEADS[task]


CHECKABLE = [golden for golden in GOLDENS if golden["task"] != "dataset"]


@pytest.mark.parametrize("golden", CHECKABLE, ids=name_of)
def test_random_weights_fail_on_numbers_and_never_crash(golden, folder_of, tmp_path):
    folder = folder_of(file_of(golden))
    cache = cache_with(tmp_path, golden["checkpoint"], folder)
    if golden["task"] == "tokens":  # the vocabulary is the real one
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
    return IDS, {"slice": "[:,1:3,1:4] ", "values": part, "shape": list(hidden.shape)}


def expect_seqcls(folder):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    inputs = dict(tokenizer(TEXTS, padding=True, return_tensors="pt"))
    logits = reference(folder, HEADS["seqcls"], inputs).logits
    probabilities = logits.softmax(dim=-1)
    return {"texts": TEXTS, "input_ids": inputs["input_ids"].tolist()}, {
        "logits": logits.tolist(),
        "probs": probabilities.tolist(),
        "labels": [f"LABEL_{i}" for i in logits.argmax(dim=-1)],
        "scores": probabilities.amax(dim=-1).tolist(),
        "last_hidden_shape": [*inputs["input_ids"].shape, 20],
    }


def expect_fillmask(folder):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.DistilBertForMaskedLM.from_pretrained(folder)
    fill = transformers.FillMaskPipeline(model=model, tokenizer=tokenizer)
    top = [
        [tokenizer.convert_ids_to_tokens(each["token"]), each["token"], each["score"]]
        for each in fill(MASKED, top_k=4)
    ]
    return {"texts": [MASKED]}, {"top": top}


def expect_mlm(folder):
    logits = reference(folder, HEADS["mlm"], IDS).logits
    part = logits[:, 1:4, 1:4].tolist()
    shape = list(logits.shape)
    return IDS, {"slice": "logits[:,1:4,1:4]", "values": part, "shape": shape}


def expect_tokcls(folder):
    logits = reference(folder, HEADS["tokcls"], IDS).logits
    return IDS, {"slice": "logits[:,1:4,:]", "values": logits[:, 1:4].tolist()}


def expect_qa_logits(folder):
    out = reference(folder, HEADS["qa_logits"], IDS)
    start, end = out.start_logits[:, 1:4], out.end_logits[:, 1:4]
    return IDS, {"start[:,1:4]": start.tolist(), "end[:,1:4]": end.tolist()}


def expect_mc(folder):
    return CHOICES, {"logits": reference(folder, HEADS["mc"], CHOICES).logits.tolist()}


def expect_qa(folder):
    """Try every span, one by one."""
    question, context = "Where do I work?", "I work at Hugging Face in Brooklyn"
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(
        question, context, return_tensors="pt", return_offsets_mapping=True
    )
    spans = inputs.pop("offset_mapping")[0].tolist()
    out = reference(folder, HEADS["qa"], inputs)
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
    expected = {"answer": context[start:end], "start": start, "end": end}
    return {"question": question, "context": context}, expected | {"score": score}


EXPECTATIONS = {
    "hidden": expect_hidden,
    "seqcls": expect_seqcls,
    "fillmask": expect_fillmask,
    "mlm": expect_mlm,
    "tokcls": expect_tokcls,
    "qa": expect_qa,
    "qa_logits": expect_qa_logits,
    "mc": expect_mc,
}


@pytest.mark.parametrize("task", EXPECTATIONS)
def test_what_transformers_computes_passes_as_a_golden(task, folder_of, tmp_path):
    golden = {"checkpoint": "someone/a-model", "task": task, "tol": 1e-5}
    folder = folder_of(file_of(golden))
    golden["input"], golden["expected"] = EXPECTATIONS[task](folder)
    check(golden, cache_with(tmp_path, golden["checkpoint"], folder))
