"""Verifying: hashes, published answers, and the distance from float64.

What is right must be found right, and what is broken wrong. The published answers that
are compared here are transformers' own, on random weights.
"""

from __future__ import annotations

import hashlib
import json
import re

import pytest
import torch
import transformers
from checkpoints import write_checkpoint
from hub_stand_in import COMMIT, point_the_hub_library_at, serving
from huggingface_hub import constants
from reference import HEADS
from safetensors.torch import load_file, save_file

import minidistil
from minidistil import engine
from minidistil.checkpoint.tensors import CheckpointError
from minidistil.config import ConfigError
from minidistil.engine import CPU_PRECISIONS as PRECISIONS
from minidistil.weights import goldens, verification
from minidistil.weights.conversion import convert
from minidistil.weights.verification import sha256, verify

REPO = "someone/a-model"
SEQUENCE = "DistilBertForSequenceClassification"
IDS = [[7, 9, 11, 13], [5, 6, 0, 0]]
MASK = [[1, 1, 1, 1], [1, 1, 0, 0]]
TEXTS = ["I've been waiting for a course.", "Bad"]
DTYPES = ("float32", "float64", "float16", "bfloat16")


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    """The hub is not asked, but by the tests that have a stand-in."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("model"))


def statuses(found):
    return {check.name: check.status for check in found.checks}


# The distance from float64


@pytest.mark.sample(6)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("kind", ["DistilBertModel", *HEADS])
def test_a_sound_checkpoint_is_right_in_every_precision(tmp_path, kind, precision):
    found = verify(write_checkpoint(tmp_path, kind), precision=precision)
    assert found.kind == kind
    assert found.right, found.checks
    assert statuses(found)[f"engine, {precision}"] == "OK"
    assert statuses(found)["model, float32"] == "OK"


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_model_is_right_in_every_type(folder, dtype, attention):
    chosen = getattr(torch, dtype)
    found = verify(folder, dtype=chosen, attn_implementation=attention)
    assert found.right, found.checks
    assert statuses(found)[f"model, {dtype}"] == "OK"
    assert found.computing.startswith(f"model in {dtype} ({attention})")


@pytest.mark.sample(1)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_trained_weights_are_right(precision):
    assert verify("tiny", precision=precision).right


def test_a_broken_engine_is_wrong(folder, monkeypatch):
    real = engine.Engine.__call__

    def broken(self, sequences, positions=None):
        return [answer * 1.001 for answer in real(self, sequences, positions)]

    monkeypatch.setattr(verification.Engine, "__call__", broken)
    found = verify(folder)
    assert not found.right
    assert statuses(found)["engine, float32"] == "WRONG"
    assert statuses(found)["model, float32"] == "OK"


def test_one_wrong_number_among_thousands_is_found(tmp_path, monkeypatch):
    real = engine.Engine.__call__

    def broken(self, sequences, positions=None):
        answers = real(self, sequences, positions)
        answers[-1][0, 0] += 0.01
        return answers

    folder = write_checkpoint(tmp_path, "DistilBertForMaskedLM")
    monkeypatch.setattr(verification.Engine, "__call__", broken)
    found = verify(folder)
    assert statuses(found)["engine, float32"] == "WRONG"


def test_a_broken_model_is_wrong(folder, monkeypatch):
    from minidistil import model

    real = model.FFN.forward

    def broken(self, x):
        y = real(self, x)
        return y if y.dtype == torch.float64 else y * 1.01

    monkeypatch.setattr(model.FFN, "forward", broken)
    assert statuses(verify(folder))["model, float32"] == "WRONG"


# Heads that are trained, new on a trained encoder, and random


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory, folder):
    torch.manual_seed(0)
    cls = minidistil.AutoModelForSequenceClassification
    new = tmp_path_factory.mktemp("new")
    # As transformers draws it: its logits have a deviation of 0.05.
    cls.from_pretrained("tiny", new_head=True).save_pretrained(new)
    return {"trained": "tiny", "new": new, "random": folder}


@pytest.fixture
def short(monkeypatch):
    """Fewer tokens, which is sooner done."""
    monkeypatch.setattr(verification, "_LENGTHS", (1, 2, 7, 32, 33))


def pack_something_else(monkeypatch, change):
    """Let engines be made of a model that was changed."""

    def from_pretrained(source, kind, precision, device, revision):
        model = kind.from_pretrained(source)
        with torch.no_grad():
            change(model)
        return engine.Engine(model, precision)

    monkeypatch.setattr(verification.Engine, "from_pretrained", from_pretrained)


def no_logits(model):
    for parameter in getattr(model, "classifier", torch.nn.Identity()).parameters():
        parameter.zero_()


def logits_swapped(model):
    for parameter in getattr(model, "classifier", torch.nn.Identity()).parameters():
        parameter.copy_(parameter.flip(0))


def last_layer_is_the_first(model):
    layers = model.encoder.transformer.layer
    layers[-1].load_state_dict(layers[0].state_dict())


def without(name):
    def change(model):
        for each, parameter in model.named_parameters():
            if each.endswith(name):
                parameter.zero_()

    return change


@pytest.mark.sample(6)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("weights", ["trained", "new", "random"])
@pytest.mark.parametrize(
    "change",
    [
        no_logits,
        logits_swapped,
        last_layer_is_the_first,
        without("ffn.lin1.bias"),
    ],
    ids=["no logits", "logits swapped", "wrong layer", "no bias"],
)
def test_an_engine_of_other_weights_is_wrong(
    checkpoints, weights, precision, change, short, monkeypatch
):
    pack_something_else(monkeypatch, change)
    found = statuses(verify(checkpoints[weights], precision=precision))
    assert found[f"engine, {precision}"] == "WRONG"
    assert found["model, float32"] == "OK"


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ["pre_classifier.bias", "classifier.bias"])
def test_a_dropped_bias_of_a_head_is_wrong(folder, name, precision, short, monkeypatch):
    pack_something_else(monkeypatch, without(name))
    found = statuses(verify(folder, precision=precision))
    assert found[f"engine, {precision}"] == "WRONG"


def test_a_dropped_bias_of_a_ten_thousandth_is_found_in_float32(short, monkeypatch):
    pack_something_else(monkeypatch, without("classifier.bias"))
    assert statuses(verify("tiny"))["engine, float32"] == "WRONG"


def test_a_wrong_encoder_is_told_from_a_wrong_head(folder, short, monkeypatch):
    pack_something_else(monkeypatch, last_layer_is_the_first)
    encoder, _ = verify(folder).checks[-1].detail.split("; ")
    off, largest, allowed, _ = map(float, re.findall(r"\d\.\de.\d\d", encoder))
    assert allowed < off < largest
    pack_something_else(monkeypatch, no_logits)
    encoder, answers = verify(folder).checks[-1].detail.split("; ")
    off, _, allowed, _ = map(float, re.findall(r"\d\.\de.\d\d", encoder))
    assert off < allowed
    off, _, allowed, _ = map(float, re.findall(r"\d\.\de.\d\d", answers))
    assert allowed < off


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("float32", "float64"), ("bfloat16", "float16"), ("int8", "bfloat16")],
)
def test_a_new_head_is_right_in_every_precision(checkpoints, precision, dtype, short):
    chosen = getattr(torch, dtype)
    found = verify(checkpoints["new"], precision=precision, dtype=chosen)
    assert found.right, found.checks


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_head_whose_large_numbers_cancel_is_right(tmp_path, precision):
    """Of what the encoder rounds, such a head makes many times more than others."""
    folder = write_checkpoint(tmp_path, num_labels=1)
    cls = minidistil.AutoModelForSequenceClassification
    model = cls.from_pretrained(folder)
    ids = torch.tensor(verification._sequences(model.config)[4])[None]
    with torch.no_grad():
        model.classifier.bias -= model(ids, torch.ones_like(ids)).logits[0]
    model.save_pretrained(folder)
    found = verify(folder, precision=precision, dtype=torch.bfloat16)
    assert found.right, found.checks


# Damaged checkpoints


def spoil(folder, change):
    """Write a checkpoint whose tensors are not what they should be."""
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def put_nan(tensors):
    tensors["classifier.weight"][0, 0] = float("nan")


def rename(tensors):
    tensors["another"] = tensors.pop("classifier.bias")


def put_huge(tensors):
    for tensor in tensors.values():
        tensor *= 1e20


def test_numbers_that_cannot_be_computed_with_are_wrong(tmp_path):
    """They are finite, and load; what is made of them is not."""
    folder = write_checkpoint(tmp_path)
    spoil(folder, put_huge)
    found = verify(folder)
    assert not found.right
    assert statuses(found)["model, float32"] == "WRONG"
    assert statuses(found)["engine, float32"] == "WRONG"
    assert "NaN or infinite" in found.checks[-1].detail


def test_a_device_without_numbers_is_refused(folder):
    with pytest.raises(ValueError, match="'meta' cannot be used"):
        verify(folder, device="meta")


def assert_does_not_load(found, kind, words):
    assert not found.right
    assert found.kind == kind
    assert [check.name for check in found.checks][-1] == "loading"
    assert found.checks[-1].status == "WRONG"
    assert words in found.checks[-1].detail


@pytest.mark.parametrize(
    ("change", "words"), [(put_nan, "holds NaN"), (rename, "does not fit")]
)
def test_weights_that_do_not_load_are_wrong_and_the_file_is_told_of(
    tmp_path, change, words
):
    folder = write_checkpoint(tmp_path)
    spoil(folder, change)
    found = verify(folder)
    assert_does_not_load(found, SEQUENCE, words)
    assert found.checks[0].name == "model.safetensors"


def test_a_file_that_is_cut_short_is_wrong_and_of_no_known_kind(tmp_path):
    path = write_checkpoint(tmp_path) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    found = verify(tmp_path)
    assert_does_not_load(found, "unknown", "is not a sound safetensors file")
    assert found.checks[0].name == "model.safetensors"


def test_a_damaged_index_is_wrong(tmp_path):
    folder = write_checkpoint(tmp_path)
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text("{")
    assert_does_not_load(verify(folder), "unknown", "is not valid JSON")


def test_what_is_too_large_for_the_type_is_no_verdict(tmp_path):
    folder = write_checkpoint(tmp_path)
    spoil(folder, lambda tensors: tensors["classifier.weight"].fill_(70_000))
    with pytest.raises(CheckpointError, match=r"too large for torch\.float16"):
        verify(folder, dtype=torch.float16)


def test_a_pickle_is_no_verdict(tmp_path):
    folder = write_checkpoint(tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match="weights convert"):
        verify(folder)


def test_another_model_is_no_verdict(tmp_path):
    folder = write_checkpoint(tmp_path)
    (folder / "config.json").write_text('{"model_type": "roberta"}')
    with pytest.raises(ConfigError, match="'roberta'"):
        verify(folder)


# Published answers


@pytest.fixture
def published(monkeypatch):
    """Let a test say what was published."""
    lines = []
    monkeypatch.setattr(goldens, "goldens", lambda: lines)

    def publish(kind, given, expected, tol=1e-5, source="a test"):
        golden = {"checkpoint": REPO, "kind": kind, "input": given, "tol": tol}
        lines.append(golden | {"expected": expected, "source": source})

    return publish


@torch.no_grad()
def theirs(folder, kind=SEQUENCE, **inputs):
    model = getattr(transformers, kind).from_pretrained(folder, dtype=torch.float32)
    return model.eval()(**{name: torch.tensor(value) for name, value in inputs.items()})


def of_goldens(found):
    return [check for check in found.checks if ": " in check.name]


def publish_logits(published, folder, change=0.0):
    inputs = {"input_ids": IDS, "attention_mask": MASK}
    logits = theirs(folder, **inputs).logits + change
    published(SEQUENCE, inputs, {"output": logits.tolist()})


def test_a_published_answer_that_is_given_is_right(folder, published):
    publish_logits(published, folder)
    found = verify(folder, known_as=REPO)
    assert [check.status for check in of_goldens(found)] == ["OK", "OK"]
    assert found.right


@pytest.mark.parametrize("precision", PRECISIONS)
def test_an_answer_far_from_the_published_one_is_wrong(folder, published, precision):
    publish_logits(published, folder, change=0.5)
    found = verify(folder, known_as=REPO, precision=precision)
    assert [check.status for check in of_goldens(found)] == ["WRONG", "WRONG"]
    assert not found.right


def test_less_precision_has_more_slack_and_float32_has_none(folder, published):
    publish_logits(published, folder, change=0.1)
    found = verify(folder, known_as=REPO, precision="bfloat16")
    assert [check.status for check in of_goldens(found)] == ["WRONG", "OK"]


def test_texts_and_labels_are_compared(folder, published):
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    logits = theirs(folder, **tokenizer(TEXTS, padding=True)).logits
    labels = [f"LABEL_{i}" for i in logits.argmax(-1).tolist()]
    published(SEQUENCE, {"texts": TEXTS}, {"labels": labels})
    published(SEQUENCE, {"texts": TEXTS}, {"labels": ["LABEL_0", "LABEL_9"]})
    found = of_goldens(verify(folder, known_as=REPO))
    assert [check.status for check in found] == ["OK", "OK", "WRONG", "WRONG"]


@pytest.mark.parametrize(
    "kind",
    ["DistilBertForTokenClassification", "DistilBertForMaskedLM", "DistilBertModel"],
)
def test_a_slice_of_what_every_token_got_is_compared(tmp_path, published, kind):
    folder = write_checkpoint(tmp_path, kind)
    inputs = {"input_ids": IDS, "attention_mask": MASK}
    values = theirs(folder, kind, **inputs)[0]
    part = values[:, :2, :2].tolist()  # which no row pads
    expected = {"shape": list(values.shape), "output[:,:2,:2]": part}
    published(kind, inputs, expected)
    found = of_goldens(verify(folder, known_as=REPO))
    assert [check.status for check in found] == ["OK", "OK"]


def test_span_logits_are_compared(tmp_path, published):
    kind = "DistilBertForQuestionAnswering"
    folder = write_checkpoint(tmp_path, kind)
    out = theirs(folder, kind, input_ids=IDS)
    expected = {"output[:,1:4,0]": out.start_logits[:, 1:4].tolist()}
    expected["output[:,1:4,1]"] = out.end_logits[:, 1:4].tolist()
    published(kind, {"input_ids": IDS}, expected)
    found = of_goldens(verify(folder, known_as=REPO))
    assert [check.status for check in found] == ["OK", "OK"]


def test_the_order_of_words_is_judged_in_float32_and_not_in_less(tmp_path, published):
    kind = "DistilBertForMaskedLM"
    folder = write_checkpoint(tmp_path, kind)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    encoding = tokenizer("a [MASK] b", return_tensors="pt")
    place = encoding["input_ids"][0].tolist().index(tokenizer.mask_token_id)
    logits = theirs(folder, kind, input_ids=encoding["input_ids"].tolist()).logits
    best = logits[0, place].softmax(-1).topk(3)
    ids, scores = best.indices.tolist(), best.values.tolist()
    tokens = tokenizer.convert_ids_to_tokens(ids)
    for order in (slice(None), slice(None, None, -1)):
        top = {"words": [tokens[order]], "scores": [scores[order]]}
        published(kind, {"texts": ["a [MASK] b"]}, top)
    found = of_goldens(verify(folder, known_as=REPO, precision="bfloat16"))
    assert [check.status for check in found] == ["OK", "SKIPPED", "WRONG", "SKIPPED"]


def test_the_best_span_is_the_best_of_all_that_there_are():
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        start, end = torch.randn(2, 40, generator=generator).mul(4)
        mine = torch.rand(40, generator=generator) < 0.8
        mine[0] = False
        of_context = mine.nonzero().flatten().tolist()
        shared = [0, *of_context]  # [CLS] takes its share
        total = [sum(each[i].exp().item() for i in shared) for each in (start, end)]
        score, first, last = max(
            ((start[i] + end[j]).exp().item() / total[0] / total[1], i, j)
            for p, i in enumerate(of_context)
            for j in of_context[p : p + 15]
        )
        found = goldens.best_span(torch.stack((start, end), dim=-1), of_context)
        assert found == (first, last, pytest.approx(score, rel=1e-4))


def test_choices_are_compared(tmp_path, published):
    kind = "DistilBertForMultipleChoice"
    folder = write_checkpoint(tmp_path, kind)
    inputs = {"input_ids": [IDS], "attention_mask": [MASK]}
    expected = {"output": theirs(folder, kind, **inputs).logits.tolist()}
    published(kind, inputs, expected)
    found = of_goldens(verify(folder, known_as=REPO))
    assert [check.status for check in found] == ["OK", "OK"]


def test_what_the_engine_cannot_be_asked_is_skipped(folder, published):
    inputs = {"input_ids": [[7, 9, 11]], "attention_mask": [[0, 1, 1]]}
    logits = theirs(folder, **inputs).logits.tolist()
    published(SEQUENCE, inputs, {"output": logits})
    found = of_goldens(verify(folder, known_as=REPO))
    assert [check.status for check in found] == ["OK", "SKIPPED"]


def test_labels_that_are_too_close_are_not_judged_in_int8(folder, published):
    expected = {"labels": ["LABEL_9"], "scores": [0.6]}
    published(SEQUENCE, {"texts": ["Bad"]}, expected)
    found = of_goldens(verify(folder, known_as=REPO, precision="int8"))
    assert [check.status for check in found] == ["WRONG", "SKIPPED"]


def test_a_class_that_does_not_fit_is_wrong_and_the_rest_is_checked(folder, published):
    kind = "DistilBertForQuestionAnswering"
    published(kind, {"input_ids": IDS}, {"output[0,0:1,0]": [1.0]})
    publish_logits(published, folder)
    found = of_goldens(verify(folder, known_as=REPO))
    assert [check.status for check in found] == ["WRONG", "OK", "OK"]
    assert "does not fit DistilBertForQuestionAnswering" in found[0].detail


def test_without_a_tokenizer_texts_are_skipped_and_the_rest_is_checked(
    tmp_path, published
):
    folder = write_checkpoint(tmp_path)
    (folder / "vocab.txt").unlink()
    published(SEQUENCE, {"texts": TEXTS}, {"labels": ["LABEL_0", "LABEL_0"]})
    publish_logits(published, folder)
    found = of_goldens(verify(folder, known_as=REPO))
    assert [check.status for check in found] == ["SKIPPED", "SKIPPED", "OK", "OK"]
    assert "has no file 'vocab.txt'" in found[0].detail


def test_published_ids_that_it_has_no_vectors_for_are_wrong(folder, published):
    published(SEQUENCE, {"input_ids": [[1, 99_999]]}, {"output": [[0.0, 0.0]]})
    publish_logits(published, folder)
    found = of_goldens(verify(folder, known_as=REPO))
    assert [check.status for check in found] == ["WRONG", "WRONG", "OK", "OK"]


def test_a_name_that_is_not_known_is_told_before_anything_is_loaded(tmp_path):
    with pytest.raises(ValueError, match="nothing published is known of 'a/b'"):
        verify(tmp_path / "nowhere", known_as="a/b")


def test_only_what_is_known_can_be_asked_for(folder):
    with pytest.raises(ValueError, match=r"nothing published is known of 'a/b'; known"):
        verify(folder, known_as="a/b")


def test_a_known_checkpoint_may_be_named_without_its_owner():
    full = goldens.goldens_of("distilbert/distilbert-base-uncased")
    assert full
    assert goldens.goldens_of("distilbert-base-uncased") == full
    assert goldens.goldens_of("base-uncased") == []


# The file


def test_the_hash_of_a_file_is_its_sha256(tmp_path):
    content = bytes(range(256)) * 10_000
    (tmp_path / "file").write_bytes(content)
    assert sha256(tmp_path / "file") == hashlib.sha256(content).hexdigest()


@pytest.fixture
def hub(monkeypatch, tmp_path, socket_enabled):
    with serving() as hub:
        point_the_hub_library_at(hub, monkeypatch, tmp_path / "cache")
        hub.repos[REPO] = write_checkpoint(tmp_path / "files")
        yield hub


def blob_of(cache):
    folder = cache / f"models--{REPO.replace('/', '--')}" / "snapshots" / COMMIT
    return (folder / "model.safetensors").resolve()


def test_a_fetched_file_has_the_hubs_hash(hub, tmp_path):
    found = verify(REPO)
    assert found.right
    digest = hashlib.sha256(
        (tmp_path / "files" / "model.safetensors").read_bytes()
    ).hexdigest()
    assert found.checks[0].status == "OK"
    assert digest in found.checks[0].detail


def test_a_file_that_was_changed_in_the_cache_is_wrong(hub, tmp_path):
    minidistil.AutoModelForSequenceClassification.from_pretrained(REPO)
    blob = blob_of(tmp_path / "cache")
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1  # one bit of one number
    blob.chmod(0o644)
    blob.write_bytes(bytes(content))
    found = verify(REPO)
    assert found.checks[0].status == "WRONG"
    assert "fetch it again" in found.checks[0].detail
    assert not found.right


def test_a_file_that_was_cut_in_the_cache_is_wrong_twice(hub, tmp_path):
    minidistil.AutoModelForSequenceClassification.from_pretrained(REPO)
    blob = blob_of(tmp_path / "cache")
    blob.chmod(0o644)
    blob.write_bytes(blob.read_bytes()[:-1])
    checks = verify(REPO).checks
    assert [check.status for check in checks] == ["WRONG", "WRONG"]
    assert [check.name for check in checks] == ["model.safetensors", "loading"]


def test_where_the_cache_does_not_tell_the_hash_the_hub_is_asked(hub, tmp_path):
    minidistil.AutoModelForSequenceClassification.from_pretrained(REPO)
    blob = blob_of(tmp_path / "cache")
    link = next((tmp_path / "cache").rglob("snapshots/*/model.safetensors"))
    link.unlink()
    blob.replace(link)  # as on systems without symbolic links
    assert verify(REPO).checks[0].status == "OK"
    (hub.repos[REPO] / "model.safetensors").write_bytes(b"another")
    assert verify(REPO).checks[0].status == "WRONG"


def test_of_a_folder_no_hash_is_known(folder):
    assert verify(folder).checks[0].status == "SKIPPED"


def test_a_copy_has_the_hash_of_what_it_is_a_copy_of(hub, published):
    folder = hub.repos[REPO]
    publish_logits(published, folder)
    first = verify(folder, known_as=REPO).checks[0]
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    assert first.status == "OK"
    assert digest in first.detail


def test_what_was_converted_is_told_to_be_no_copy(hub, published, tmp_path):
    publish_logits(published, hub.repos[REPO])
    convert(hub.repos[REPO], tmp_path / "out", prefix=False)
    found = verify(tmp_path / "out", known_as=REPO)
    assert found.checks[0].status == "SKIPPED"
    assert "it is no copy of that" in found.checks[0].detail
    assert found.right


def test_the_hash_of_a_copy_is_not_asked_for_offline(hub, published):
    folder = hub.repos[REPO]
    publish_logits(published, folder)
    first = verify(folder, known_as=REPO, local_files_only=True).checks[0]
    assert (first.status, first.detail) == (
        "SKIPPED",
        "the hub's hash is not known: not asked",
    )


def test_a_hub_that_does_not_answer_leaves_the_hash_unknown(hub, tmp_path):
    minidistil.AutoModelForSequenceClassification.from_pretrained(REPO)
    link = next((tmp_path / "cache").rglob("snapshots/*/model.safetensors"))
    blob = link.resolve()
    link.unlink()
    blob.replace(link)
    hub.fail = 500
    found = verify(REPO)
    assert found.checks[0].status == "SKIPPED"
    assert "the hub's hash is not known" in found.checks[0].detail
    assert found.right


def test_a_verification_can_be_written_as_json(folder):
    import dataclasses

    assert json.dumps(dataclasses.asdict(verify(folder)))
