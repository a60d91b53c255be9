"""A trace's numbers are the model's: each step is made of the one before.

What is compared with what is written in `traces`.
"""

from __future__ import annotations

import copy
import json
import re
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from checkpoints import write_checkpoint
from reference import CHOICE, ENCODER, MASKED_LM, NAMES, QUESTION, SEQUENCE, TOKEN
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.utils import parametrizations, prune
from traces import (
    Steps,
    check_classifier,
    check_encoder,
    check_masked_lm,
    check_theirs,
    check_tokens,
    check_trace,
    config_of,
    own_memory,
    same,
    vocabulary_of,
)

from minidistil import (
    AutoTokenizer,
    DistilBertForSequenceClassification,
    DistilBertModel,
    DistilBertTokenizer,
    auto,
    compare,
    explain,
    heads,
    pipeline,
)
from minidistil.engine import Engine
from minidistil.explainer import Traces
from minidistil.explainer.prediction import Prediction
from minidistil.explainer.recorder import Recording, on_cpu
from minidistil.explainer.trace import EmbeddingsTrace
from minidistil.hub import BUNDLED

TEXT = "I like [MASK] films, but this one is awful!"
TEXTS = [TEXT, "Bad [MASK].", "the [MASK] and the [MASK] " * 2]
PAIRS = ["a question", "", "What is the name of the film that she likes?"]
LONG = "a film that [MASK] could watch for hours and hours " * 20
CLASSES = {ENCODER: DistilBertModel} | {
    name: getattr(heads, name) for name in NAMES if name != ENCODER
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Write a checkpoint once for each architecture and configuration."""
    written = {}

    def checkpoint(name=SEQUENCE, **config):
        key = name, json.dumps(config)
        if key not in written:
            folder = tmp_path_factory.mktemp(name)
            written[key] = write_checkpoint(folder, name, **config)
        return written[key]

    return checkpoint


@pytest.fixture(scope="module")
def loaded(checkpoint):
    """A model that the user has loaded, and its tokenizer."""
    folder = checkpoint()
    model = DistilBertForSequenceClassification.from_pretrained(folder)
    return model, DistilBertTokenizer.from_pretrained(folder)


def check(folder, traces, texts, pairs=None, function="softmax"):
    """Put traces that were made in one batch through all checks."""
    check_tokens(traces, folder, texts, pairs)
    for trace in traces:
        check_trace(trace, folder, function)
    check_theirs(traces, folder, texts, pairs)


# Every step is made of the one before


@pytest.mark.parametrize("name", NAMES)
def test_every_step_is_made_of_the_one_before(checkpoint, name):
    folder = checkpoint(name)
    check(folder, [explain(TEXT, folder)], [TEXT])


@pytest.mark.parametrize("name", NAMES)
def test_every_step_is_made_of_the_one_before_in_a_padded_batch(checkpoint, name):
    folder = checkpoint(name)
    traces = compare(TEXTS, folder, padding=True)
    assert {len(trace.tokens) for trace in traces} == {len(traces[0].tokens)}
    assert not all(token.attend for token in traces[1].tokens)
    check(folder, traces, TEXTS)


@pytest.mark.parametrize("name", [SEQUENCE, MASKED_LM])
def test_every_step_is_made_of_the_one_before_for_pairs(checkpoint, name):
    folder = checkpoint(name)
    check(folder, compare(TEXTS, folder, text_pairs=PAIRS, padding=True), TEXTS, PAIRS)
    for i, trace in enumerate(compare(TEXTS, folder, text_pairs=PAIRS)):
        check(folder, [trace], TEXTS[i : i + 1], PAIRS[i : i + 1])


@pytest.mark.parametrize("text", ["", "film", LONG])
@pytest.mark.parametrize("name", [SEQUENCE, MASKED_LM])
def test_every_step_is_made_of_the_one_before_at_any_length(checkpoint, name, text):
    folder = checkpoint(name)
    trace = explain(text, folder)
    if text == LONG:
        assert len(trace.tokens) == 48  # the model's positions
    if name == MASKED_LM and text != LONG:
        assert trace.head is None
        assert trace.not_shown.startswith("there is no [MASK]")
        return
    check(folder, [trace], [text])


@pytest.mark.parametrize(
    ("config", "function"),
    [
        ({"num_labels": 5}, "softmax"),
        ({"num_labels": 1}, "sigmoid"),
        ({"num_labels": 1, "problem_type": "regression"}, "none"),
        ({"num_labels": 3, "problem_type": "multi_label_classification"}, "sigmoid"),
        ({"activation": "relu"}, "softmax"),
        ({"dim": 33, "n_heads": 1, "n_layers": 1, "hidden_dim": 7}, "softmax"),
        ({"dim": 128, "n_heads": 16, "n_layers": 4}, "softmax"),
        ({"sinusoidal_pos_embds": True}, "softmax"),
    ],
    ids=str,
)
def test_every_step_is_made_of_the_one_before_in_any_model(
    checkpoint, config, function
):
    folder = checkpoint(**config)
    traces = compare(TEXTS, folder, padding=True)
    check(folder, traces, TEXTS, function=function)


@pytest.mark.parametrize("tied", [True, False])
def test_words_are_scored_by_the_matrix_that_is_meant(checkpoint, tied):
    folder = checkpoint(MASKED_LM, tie_word_embeddings=tied)
    check(folder, [explain(TEXT, folder)], [TEXT])


@pytest.mark.parametrize("text", ["I hate this so much!", "great film " * 300])
def test_every_step_of_the_trained_model_is_made_of_the_one_before(text):
    check(BUNDLED["tiny"], [explain(text, "tiny")], [text])


@pytest.mark.parametrize(
    ("dtype", "unit"), [(torch.bfloat16, 2**-7), (torch.float16, 2**-9)]
)
@pytest.mark.parametrize("name", [SEQUENCE, MASKED_LM])
def test_a_model_of_16_bits_shows_numbers_of_16_bits(checkpoint, name, dtype, unit):
    folder = checkpoint(name)
    model = CLASSES[name].from_pretrained(folder, dtype=dtype)
    tokenizer = DistilBertTokenizer.from_pretrained(folder)
    (trace, _) = compare([TEXT, LONG], model, tokenizer=tokenizer, padding=True)
    assert trace.hidden_states[-1].dtype == trace.head.logits.dtype == dtype
    tensors = {
        name.removeprefix("distilbert."): value.double().numpy()
        for name, value in model.state_dict().items()
    }
    # Two roundings of such a number.
    steps = Steps(tensors, config_of(folder), unit)
    check_encoder(trace, steps)
    if name == SEQUENCE:
        check_classifier(trace, steps, "softmax")
    else:
        check_masked_lm(trace, steps, vocabulary_of(folder))


def test_elementwise_steps_are_equal_to_the_bit(loaded):
    model, tokenizer = loaded
    trace = explain(TEXT, model, tokenizer=tokenizer)
    for block in trace.layer:
        same("products", block.products, block.q @ block.k.transpose(1, 2))
        same("scores", block.scores, block.products * 10**-0.5)
        same("mixed", block.mixed, block.weights @ block.v)
        same("activation", block.activation, F.gelu(block.lin1))
    same("relu", trace.head.relu, F.relu(trace.head.pre_classifier))
    same("norms", trace.norms, torch.stack(trace.hidden_states).norm(dim=-1))


# It is what transformers computes


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_every_bit_is_that_of_transformers(checkpoint, name, padded):
    folder = checkpoint(name)
    model = own_memory(CLASSES[name].from_pretrained(folder))
    tokenizer = DistilBertTokenizer.from_pretrained(folder)
    texts = [*TEXTS, LONG] if padded else [TEXT]
    traces = compare(texts, model, tokenizer=tokenizer, padding=True)
    check_theirs(traces, folder, texts, tolerance=0)


def test_every_bit_of_the_trained_model_is_that_of_transformers():
    model = own_memory(DistilBertForSequenceClassification.from_pretrained("tiny"))
    tokenizer = DistilBertTokenizer.from_pretrained("tiny")
    texts = ["I hate this so much!", "great film " * 100]
    traces = compare(texts, model, tokenizer=tokenizer, padding=True)
    check_theirs(traces, BUNDLED["tiny"], texts, tolerance=0)


# Shapes


def test_every_tensor_has_the_shape_that_is_documented(checkpoint):
    trace = explain(TEXT, checkpoint())
    t, d, h, k, f = len(trace.tokens), 20, 2, 10, 44
    block = trace.layer[0]
    wide, narrow = {"lin1", "activation"}, {"q", "k", "v", "mixed"}
    for name, value in vars(block).items():
        expected = (t, d)
        if name in wide:
            expected = (t, f)
        if name in narrow:
            expected = (h, t, k)
        if name in ("products", "scores", "weights"):
            expected = (h, t, t)
        assert value.shape == expected, name
    assert all(value.shape == (t, d) for value in vars(trace.embeddings).values())
    assert trace.norms.shape == (3, t)
    head = trace.head
    assert head.cls.shape == head.pre_classifier.shape == head.relu.shape == (d,)
    assert head.logits.shape == head.probabilities.shape == (2,)
    assert len(trace.attention) == 2
    assert len(trace.hidden_states) == 3


def test_a_head_for_words_has_a_row_for_each_mask(checkpoint):
    head = explain("the [MASK] and [MASK]", checkpoint(MASKED_LM)).head
    assert head.masks == (2, 4)
    assert head.logits.shape == head.probabilities.shape == (2, 4000)
    for step in (head.vocab_transform, head.activation, head.vocab_layer_norm):
        assert step.shape == (2, 20)


# Which head


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (ENCODER, "there is no head"),
        (QUESTION, "qa_outputs"),
        (TOKEN, "labels each token"),
        (CHOICE, "scores each choice"),
    ],
)
def test_what_is_not_shown_is_said(checkpoint, name, words):
    trace = explain(TEXT, checkpoint(name))
    assert trace.head is trace.answer is trace.target is trace.label is None
    assert words in trace.not_shown


@pytest.mark.parametrize("name", [SEQUENCE, MASKED_LM])
def test_of_two_heads_in_a_file_the_configuration_names_the_one(
    checkpoint, tmp_path, name
):
    folder = write_checkpoint(tmp_path, name)
    both = {
        key: value
        for each in (SEQUENCE, MASKED_LM)
        for key, value in load_file(checkpoint(each) / "model.safetensors").items()
    }
    save_file(both, folder / "model.safetensors", {"format": "pt"})
    check_trace(explain(TEXT, folder), folder)


def test_a_mask_that_was_cut_off_is_no_mask(checkpoint):
    trace = explain("film " * 60 + "[MASK]", checkpoint(MASKED_LM))
    assert trace.head is None
    assert (
        trace.not_shown
        == "there is no [MASK] among the tokens read, so no word is predicted"
    )


def test_the_label_is_that_of_the_pipeline(checkpoint):
    folder = checkpoint()
    texts = ["Not bad", "", "the film " * 40]
    pairs = [{"text": text, "text_pair": "a second text"} for text in texts]
    with pytest.warns(UserWarning, match="longer than the model"):
        plain, paired = (pipeline(model=str(folder))(each) for each in (texts, pairs))
    for answers, seconds in ((plain, None), (paired, ["a second text"] * 3)):
        traces = compare(texts, folder, text_pairs=seconds)
        for answer, trace in zip(answers, traces, strict=True):
            assert trace.label == answer["label"]
            assert float(trace.answer.max()) == pytest.approx(answer["score"], abs=1e-5)


def test_padding_on_the_left_does_not_reach_the_head(checkpoint):
    folder = checkpoint()
    model = DistilBertForSequenceClassification.from_pretrained(folder)
    left = DistilBertTokenizer.from_pretrained(folder, padding_side="left")
    traces = compare(TEXTS, model, tokenizer=left, padding=True)
    for trace, alone in zip(traces, compare(TEXTS, folder), strict=True):
        assert trace.tokens[0].text == "[CLS]"
        assert torch.allclose(trace.head.logits, alone.head.logits, atol=1e-5)


# A model that the user loaded


def test_a_loaded_model_and_its_file_have_the_same_trace(checkpoint, loaded):
    model, tokenizer = loaded
    one = explain(TEXT, model, tokenizer=tokenizer)
    check(checkpoint(), [one], [TEXT])
    assert one.subject.name == "DistilBertForSequenceClassification"
    assert explain(TEXT, checkpoint()).subject.name == checkpoint().name


def test_the_model_of_a_pipeline_is_explained(checkpoint, loaded):
    made_of_a_model = type(pipeline(model=str(checkpoint())))(*loaded)
    check(checkpoint(), [explain(TEXT, made_of_a_model)], [TEXT])


def test_a_model_is_left_as_it_was(loaded):
    model, tokenizer = loaded
    model.distilbert.embeddings.requires_grad_(False)
    parameters = {name: (id(p), p.clone()) for name, p in model.named_parameters()}
    flags = [p.requires_grad for p in model.parameters()]
    modules = [*map(id, model.modules())]
    tables = hooks_of(model)
    compare(TEXTS, model, tokenizer=tokenizer, padding=True)
    model.distilbert.embeddings.requires_grad_(True)
    assert hooks_of(model) == tables
    assert [*map(id, model.modules())] == modules
    assert flags.count(False) == 4  # the embeddings'
    assert not model.training
    assert model.distilbert.attn_implementation == "sdpa"
    for name, parameter in model.named_parameters():
        assert id(parameter) == parameters[name][0]
        assert torch.equal(parameter, parameters[name][1])
        assert parameter.grad is None


def hooks_of(model):
    """All hooks on all modules, by the names of the tables that hold them."""
    return {
        (name, table): dict(hooks)
        for name, module in model.named_modules()
        for table, hooks in vars(module).items()
        if table.endswith("_hooks") and hooks
    }


def test_frozen_parameters_stay_frozen_and_no_gradient_is_kept(checkpoint):
    folder = checkpoint()
    model = DistilBertForSequenceClassification.from_pretrained(folder)
    model.requires_grad_(False)
    trace = explain(TEXT, model, tokenizer=DistilBertTokenizer.from_pretrained(folder))
    assert not any(p.requires_grad for p in model.parameters())
    assert not any(block.output_layer_norm.requires_grad for block in trace.layer)


class Spy:
    """A hook that counts, keeps the last output, and cannot be copied."""

    def __init__(self):
        self.calls, self.lock = 0, threading.Lock()

    def __call__(self, module, inputs, output):
        self.calls += 1
        self.last = output

    def method(self, module, inputs, output):
        self(module, inputs, output)


@pytest.mark.parametrize("bound", [False, True])
def test_the_users_own_hooks_stay_and_work(checkpoint, bound):
    folder = checkpoint()
    model = DistilBertForSequenceClassification.from_pretrained(folder)
    tokenizer = DistilBertTokenizer.from_pretrained(folder)
    spy = Spy()
    model.pre_classifier.register_forward_hook(spy.method if bound else spy)
    tables = hooks_of(model)
    trace = explain(TEXT, model, tokenizer=tokenizer)
    assert hooks_of(model) == tables
    assert torch.equal(spy.last[0], trace.head.pre_classifier)
    seen = spy.calls
    model(**tokenizer(TEXT, return_tensors="pt"))
    assert spy.calls == seen + 1


def test_a_hook_that_changes_the_model_is_part_of_what_is_explained(checkpoint):
    folder = checkpoint()
    model = DistilBertForSequenceClassification.from_pretrained(folder)
    tokenizer = DistilBertTokenizer.from_pretrained(folder)
    layer = model.distilbert.transformer.layer[0].ffn.lin2
    layer.register_forward_hook(lambda module, inputs, output: output * 0)
    trace = explain(TEXT, model, tokenizer=tokenizer)
    with torch.no_grad():
        expected = model(**tokenizer(TEXT, return_tensors="pt")).logits[0]
    assert torch.allclose(trace.head.logits, expected, atol=1e-5)
    assert not trace.layer[0].lin2.any()


def test_a_layer_that_was_replaced_by_several_is_watched_as_one(checkpoint):
    folder = checkpoint()
    model = DistilBertForSequenceClassification.from_pretrained(folder)
    attention = model.distilbert.transformer.layer[1].attention
    attention.q_lin = nn.Sequential(attention.q_lin, nn.Linear(20, 20)).eval()
    tokenizer = DistilBertTokenizer.from_pretrained(folder)
    block = explain(TEXT, model, tokenizer=tokenizer).layer[1]
    with torch.no_grad():
        q = attention.q_lin(block.x)
    assert torch.allclose(torch.cat([*block.q], dim=-1), q, atol=1e-5)


def test_threads_explain_with_one_model_as_one_does(loaded):
    model, tokenizer = loaded
    texts = [f"{'film ' * i}is [MASK]" for i in range(8)]
    alone = [explain(text, model, tokenizer=tokenizer) for text in texts]
    gate = threading.Barrier(8)

    def run(text):
        gate.wait()
        return [explain(text, model, tokenizer=tokenizer) for _ in range(5)]

    with ThreadPoolExecutor(8) as pool:
        for expected, traces in zip(alone, pool.map(run, texts), strict=True):
            for trace in traces:
                assert trace.tokens == expected.tokens
                assert torch.equal(trace.head.logits, expected.head.logits)
                for one, other in zip(trace.layer, expected.layer, strict=True):
                    assert torch.equal(one.weights, other.weights)


def test_a_model_answers_others_while_it_is_explained(loaded):
    model, tokenizer = loaded
    inputs = tokenizer(TEXT, return_tensors="pt")

    def run():
        return [explain(TEXT, model, tokenizer=tokenizer) for _ in range(20)]

    with torch.no_grad(), ThreadPoolExecutor(1) as pool:
        expected = model(**inputs).logits
        running = pool.submit(run)
        while not running.done():
            assert not hooks_of(model)
            assert torch.equal(model(**inputs).logits, expected)
        assert len(running.result()) == 20


def test_a_hook_whose_change_no_step_would_show_is_refused(checkpoint):
    folder = checkpoint()
    tokenizer = DistilBertTokenizer.from_pretrained(folder)
    model = DistilBertForSequenceClassification.from_pretrained(folder)
    for name in (
        "distilbert.transformer.layer.0",
        "distilbert.transformer.layer.1.ffn.dropout",
    ):
        layer = model.get_submodule(name)
        for register in (layer.register_forward_hook, layer.register_forward_pre_hook):
            hook = register(lambda *_: None)
            told = error(TypeError, TEXT, model, tokenizer=tokenizer)
            assert told.startswith(f"{name} ({type(layer).__name__}) has a hook")
            hook.remove()
    check(folder, [explain(TEXT, model, tokenizer=tokenizer)], [TEXT])


def test_layers_that_are_not_torchs_own_are_refused(checkpoint):
    folder = checkpoint()
    tokenizer = DistilBertTokenizer.from_pretrained(folder)
    model = DistilBertForSequenceClassification.from_pretrained(folder)
    parametrizations.weight_norm(model.pre_classifier)
    told = error(TypeError, TEXT, model, tokenizer=tokenizer)
    assert told.startswith("pre_classifier is a ParametrizedLinear, expected a layer")


def test_a_pruned_model_is_explained_once_that_is_permanent(checkpoint):
    folder = checkpoint()
    tokenizer = DistilBertTokenizer.from_pretrained(folder)
    model = DistilBertForSequenceClassification.from_pretrained(folder)
    prune.l1_unstructured(model.classifier, "weight", amount=0.5)
    told = error(TypeError, TEXT, model, tokenizer=tokenizer)
    assert "torch.nn.utils.prune.remove" in told
    prune.remove(model.classifier, "weight")
    trace = explain(TEXT, model, tokenizer=tokenizer)
    with torch.no_grad():
        expected = model(**tokenizer(TEXT, return_tensors="pt")).logits[0]
    assert torch.allclose(trace.head.logits, expected, atol=1e-5)


# Memory


@pytest.mark.parametrize("name", [SEQUENCE, MASKED_LM])
def test_a_trace_does_not_keep_the_batch_it_was_run_in(checkpoint, name):
    for trace in compare(TEXTS, checkpoint(name), padding=True):
        for part in (trace.embeddings, *trace.layer, trace.head):
            for x in vars(part).values():
                if isinstance(x, torch.Tensor):
                    assert x.untyped_storage().nbytes() == x.numel() * x.itemsize


def test_products_are_made_once_for_the_whole_batch(checkpoint, monkeypatch):
    calls = []
    block = Recording._block
    monkeypatch.setattr(
        Recording, "_block", lambda self, i: calls.append(i) or block(self, i)
    )
    compare(TEXTS, checkpoint(), padding=True)
    assert calls == [0, 1]


def test_what_was_computed_elsewhere_comes_to_the_cpu(checkpoint):
    """By the one device that every machine has: of meta there is nothing to copy."""
    x = torch.empty(2, 3, device="meta")
    with pytest.raises(NotImplementedError, match="copy out of meta tensor"):
        on_cpu(EmbeddingsTrace(x, x, x, x), 0)
    trace = explain(TEXT, checkpoint())
    answer = Prediction(replace(trace, subject=copy.deepcopy(trace.subject)), 0)
    answer._head.to("meta")
    with pytest.raises(NotImplementedError, match="copy out of meta tensor"):
        answer.from_vectors(torch.empty(2, 20, device="meta"))


# What it looks like


def test_a_trace_and_its_parts_are_shown_on_one_short_line(checkpoint):
    traces = compare(["a film\n" * 20, "b"], checkpoint(), padding=True)
    trace = traces[0]
    head = f"Trace({trace.text[:60]!r}, tokens=42, layers=2, label='{trace.label}')"
    assert repr(trace) == head
    labels = [each.label for each in traces]
    assert repr(traces) == f"Traces(2 texts, {labels})"
    assert "x=[42, 20], q=[2, 42, 10]," in repr(trace.layer[0])
    assert "logits=[2], function='softmax'," in repr(trace.head)
    for part in (trace, traces, trace.embeddings, *trace.layer, trace.head):
        assert len(repr(part)) < 500
        assert "\n" not in repr(part)


def test_a_notebook_gives_the_page_no_more_than_scripts(checkpoint):
    frame = explain("a", checkpoint())._repr_html_()
    assert frame.startswith('<iframe sandbox="allow-scripts" srcdoc="')


# A checkpoint with more words than its tokenizer, one that changes on the hub


def test_a_row_that_is_no_word_is_named_by_its_number(tmp_path):
    folder = write_checkpoint(tmp_path, MASKED_LM)
    words = (folder / "vocab.txt").read_text("utf-8").splitlines()
    (folder / "vocab.txt").write_text("\n".join(words[:3000]), "utf-8")
    trace = explain("a [MASK]", folder)
    assert trace.subject.name_of(2999) == words[2999]
    assert trace.subject.name_of(3000) == "[id 3000]"
    beyond = trace.head.logits[:, 3000:]
    beyond += 1000
    assert "[id 3" in trace.to_html()


def test_a_branch_that_moves_on_does_not_mix_two_commits(
    checkpoint, tmp_path, monkeypatch
):
    repo = tmp_path / "models--someone--a-model"
    shutil.copytree(checkpoint(), repo / "snapshots" / ("a" * 40))
    (repo / "snapshots" / ("b" * 40)).mkdir()
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text("a" * 40)

    kind_of = auto.kind_of

    def move_on(*arguments):
        (repo / "refs" / "main").write_text("b" * 40)
        return kind_of(*arguments)

    monkeypatch.setattr("minidistil.auto.kind_of", move_on)
    trace = explain(TEXT, "someone/a-model", cache_dir=tmp_path)
    check(checkpoint(), [trace], [TEXT])
    assert trace.subject.name == "someone/a-model"


# Errors


def error(kind, *arguments, call=explain, **named):
    with pytest.raises(kind) as caught:
        call(*arguments, **named)
    return str(caught.value)


def test_an_engine_has_no_steps(loaded, checkpoint):
    assert "explain the model it was made from" in error(
        TypeError, TEXT, Engine(loaded[0]), tokenizer=loaded[1]
    )
    assert "the checkpoint's name" in error(
        TypeError, TEXT, pipeline(model=str(checkpoint()))
    )


def test_training_mode_is_refused(checkpoint):
    folder = checkpoint()
    model = DistilBertForSequenceClassification.from_pretrained(folder).train()
    tokenizer = DistilBertTokenizer.from_pretrained(folder)
    assert "model.eval()" in error(ValueError, TEXT, model, tokenizer=tokenizer)


def test_a_loaded_model_needs_its_tokenizer(loaded):
    assert "give tokenizer=" in error(ValueError, TEXT, loaded[0])
    wrong = error(TypeError, TEXT, loaded[0], tokenizer="tiny")
    assert "the tokenizer is a str, expected a DistilBertTokenizer" in wrong


def test_a_tokenizer_of_another_checkpoint_is_refused(loaded, tmp_path):
    other = AutoTokenizer.from_pretrained("tiny")
    told = error(ValueError, TEXT, loaded[0], tokenizer=other)
    assert f"has {len(other)} tokens and the model 4000" in told
    folder = write_checkpoint(tmp_path)
    (folder / "vocab.txt").write_bytes((BUNDLED["tiny"] / "vocab.txt").read_bytes())
    assert "two different checkpoints" in error(ValueError, TEXT, folder)


def test_what_does_not_go_with_the_model_is_refused(loaded, checkpoint):
    model, tokenizer = loaded
    told = error(ValueError, TEXT, checkpoint(), tokenizer=tokenizer)
    assert "a checkpoint has its own tokenizer" in told
    told = error(ValueError, TEXT, model, tokenizer=tokenizer, revision="main")
    assert "revision is for the name of a checkpoint" in told


@pytest.mark.parametrize("model", [5, nn.Linear(2, 2), ["tiny"], b"tiny", object])
def test_what_is_no_model_is_refused(model):
    told = error(TypeError, TEXT, model)
    assert re.search(rf"the model is an? {type(model).__name__}\b", told)
    assert "expected a checkpoint's name, a DistilBertModel, or one with a head" in told


@pytest.mark.parametrize("text", [None, 5, b"text", ["text"], {"text": "a"}])
def test_what_is_no_text_is_refused(text):
    shown = f"a text is {text!r} ({type(text).__name__}), expected a string"
    for call in (explain, compare):
        assert error(TypeError, [text], "tiny", call=call) == shown
    if text is not None:
        assert error(TypeError, "a", "tiny", text_pair=text) == shown
    if not isinstance(text, list):
        shown = f"text is {text!r}, expected a string or a list of strings"
        assert error(TypeError, text, "tiny") == shown


@pytest.mark.parametrize("padding", [False, True])
def test_a_list_of_texts_is_explained_as_compare_does(checkpoint, padding):
    pairs = ["a film", "b"]
    ours = explain(TEXTS[:2], checkpoint(), text_pair=pairs, padding=padding)
    theirs = compare(TEXTS[:2], checkpoint(), text_pairs=pairs, padding=padding)
    assert isinstance(ours, Traces)
    assert [trace.text for trace in ours] == TEXTS[:2]
    assert [trace.readings[1].raw for trace in ours] == pairs
    assert ours.to_html() == theirs.to_html()


def test_a_list_of_one_text_stays_a_list(checkpoint):
    for texts in ([TEXT], (TEXT,), iter([TEXT])):
        (trace,) = explain(texts, checkpoint())
        assert trace.text == TEXT


def test_second_texts_are_a_list_as_the_texts_are():
    shown = "text_pair is 'b', expected a list of strings"
    assert error(TypeError, ["a"], "tiny", text_pair="b") == shown
    shown = "text_pairs is 'b', expected a list of strings"
    assert error(TypeError, ["a"], "tiny", text_pairs="b", call=compare) == shown


@pytest.mark.parametrize("texts", ["text", b"text", None, 5])
def test_texts_are_a_list(texts):
    told = error(TypeError, texts, "tiny", call=compare)
    assert told == f"texts is {texts!r}, expected a list of strings"


def test_half_of_a_surrogate_pair_is_refused():
    assert "half of a surrogate pair" in error(TypeError, "a\ud800", "tiny")


def test_no_text_is_refused():
    told = error(ValueError, [], "tiny", call=compare)
    assert told == "there is no text, expected one or more"


@pytest.mark.parametrize("padding", [False, True])
def test_there_is_a_second_text_for_each_or_for_none(padding):
    told = error(
        ValueError, ["a", "b"], "tiny", text_pairs=["c"], padding=padding, call=compare
    )
    assert told == (
        "the number of second texts is wrong: got 1 for 2, expected one for each"
    )


def test_a_misspelt_keyword_is_told_the_right_one():
    for call, text in ((explain, "a"), (compare, ["a"])):
        told = error(TypeError, text, "tiny", revisoin="main", call=call)
        assert "did you mean 'revision'" in told


def test_a_missing_checkpoint_is_named(tmp_path):
    told = error(FileNotFoundError, "a", tmp_path / "nothing")
    assert str(tmp_path / "nothing") in told
