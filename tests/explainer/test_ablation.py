"""Ablations beside transformers' model with the same parts cut out of it."""

from __future__ import annotations

import threading

import pytest
import torch
import transformers
from captum.attr import FeatureAblation
from checkpoints import SMALL, write_checkpoint
from safetensors.torch import load_file, save_file

from minidistil.explainer import ablation, compare, explain
from minidistil.explainer.ablation import ablate, ablations, cost
from minidistil.heads import DistilBertForSequenceClassification
from minidistil.tokenizer import DistilBertTokenizer

TEXT = "the old man was not as bad as [MASK] [MASK]!"
CLASSIFIER = "DistilBertForSequenceClassification"
MASKED_LM = "DistilBertForMaskedLM"
LAYERS, HEADS = 3, 4
SIZES = {"n_layers": LAYERS, "n_heads": HEADS, "dim": SMALL["dim"]}
KINDS = {
    "two labels": (CLASSIFIER, {}),
    "regression": (CLASSIFIER, {"num_labels": 1, "problem_type": "regression"}),
    "masked words": (MASKED_LM, {}),
}


def write_loud_checkpoint(folder, architecture=CLASSIFIER, **config):
    """Write weights from N(0, 0.9): with smaller ones no single token matters."""
    write_checkpoint(folder, architecture, **SIZES, **config)
    file = folder / "model.safetensors"
    weights = {name: 3 * weight for name, weight in load_file(file).items()}
    save_file(weights, file, {"format": "pt"})
    return folder


@pytest.fixture(scope="module", params=KINDS)
def checkpoint(request, tmp_path_factory):
    architecture, config = KINDS[request.param]
    folder = tmp_path_factory.mktemp("checkpoint")
    return write_loud_checkpoint(folder, architecture, **config), architecture


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    return write_loud_checkpoint(tmp_path_factory.mktemp("classifier"))


class Reference:
    """transformers' model, for parts to be cut out of."""

    def __init__(self, folder, architecture):
        self.model = getattr(transformers, architecture).from_pretrained(folder).eval()
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self.inputs = tokenizer(TEXT, return_tensors="pt")
        masks = self.inputs["input_ids"][0] == tokenizer.mask_token_id
        self.masks = masks.nonzero()[:, 0].tolist()

    @torch.no_grad()
    def logits(self, mask=0):
        logits = self.model(**self.inputs).logits[0]
        return logits if logits.ndim == 1 else logits[self.masks[mask]]

    @property
    def layers(self):
        return self.model.distilbert.transformer.layer

    @torch.no_grad()
    def cut_head(self, layer, head):
        size = SMALL["dim"] // HEADS
        out_lin = self.layers[layer].attention.out_lin
        out_lin.weight[:, head * size : (head + 1) * size] = 0

    def cut_layer(self, layer):
        del self.layers[layer]

    def cut_token(self, token):
        self.inputs["attention_mask"][0, token] = 0


def assert_close(ours, theirs):
    assert ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= 2e-5 * max(1, theirs.abs().max())


def check(checkpoint, cut, **parts):
    """Our answer and its change, beside those of a model that has been cut."""
    reference = Reference(*checkpoint)
    whole = reference.logits()
    cut(reference)
    ours = ablate(explain(TEXT, checkpoint[0]), **parts)
    expected = reference.logits()
    assert (expected - whole).abs().max() > 1e-3  # there is something to be seen
    assert_close(ours.logits, expected)
    assert_close(ours.change, expected - whole)


@pytest.mark.parametrize("head", [(0, 0), (1, 2), (2, 3)])
def test_a_head_less_is_a_slice_of_out_lin_less(checkpoint, head):
    check(checkpoint, lambda model: model.cut_head(*head), heads=[head])


@pytest.mark.parametrize("layer", range(LAYERS))
def test_a_layer_less_is_a_block_less(checkpoint, layer):
    check(checkpoint, lambda model: model.cut_layer(layer), layers=[layer])


@pytest.mark.parametrize("token", [0, 3, 5])
def test_a_token_less_is_a_mask_of_0(checkpoint, token):
    check(checkpoint, lambda model: model.cut_token(token), tokens=[token])


def test_parts_can_be_taken_away_together(checkpoint):
    def cut(model):
        model.cut_head(2, 0)
        model.cut_head(2, 3)
        model.cut_token(2)
        model.cut_token(4)
        model.cut_layer(1)

    heads = [(2, 3), (2, 0)]
    check(checkpoint, cut, heads=heads, layers=[1], tokens=[4, 2])


def test_all_layers_can_be_taken_away(classifier):
    def cut(model):
        for _ in range(LAYERS):
            model.cut_layer(0)

    check((classifier, CLASSIFIER), cut, layers=range(LAYERS))


def test_the_second_mask_has_its_own_answer(tmp_path):
    folder = write_loud_checkpoint(tmp_path, MASKED_LM)
    reference = Reference(folder, MASKED_LM)
    reference.cut_layer(2)
    ours = ablate(explain(TEXT, folder), layers=[2], mask=1)
    assert_close(ours.logits, reference.logits(mask=1))


def test_with_nothing_taken_away_nothing_changes(checkpoint):
    reference = Reference(*checkpoint)
    ours = ablate(explain(TEXT, checkpoint[0]))
    assert_close(ours.logits, reference.logits())
    assert ours.change.abs().max() <= 1e-5


def test_all_single_ablations_are_transformers_own(checkpoint, monkeypatch):
    # So few tokens at once that a layer's heads do not go into one batch.
    monkeypatch.setattr(ablation, "TOKENS_AT_ONCE", 40)
    trace = explain(TEXT, checkpoint[0])
    ours = ablations(trace)

    def change(cut, *part):
        reference = Reference(*checkpoint)
        whole = reference.logits()
        cut(reference, *part)
        return float((reference.logits() - whole)[ours.target])

    assert ours.target == trace.target
    heads = [
        [change(Reference.cut_head, layer, head) for head in range(HEADS)]
        for layer in range(LAYERS)
    ]
    layers = [change(Reference.cut_layer, layer) for layer in range(LAYERS)]
    tokens = [change(Reference.cut_token, i) for i in range(len(trace.tokens))]
    assert_close(ours.heads, torch.tensor(heads))
    assert_close(ours.layers, torch.tensor(layers))
    assert_close(ours.tokens, torch.tensor(tokens))


def test_tokens_matter_as_captum_finds(classifier):
    reference, trace = Reference(classifier, CLASSIFIER), explain(TEXT, classifier)
    ours = ablations(trace, 1)
    ids = reference.inputs["input_ids"]

    def logit(mask):
        return reference.model(ids, attention_mask=mask).logits[:, 1]

    with torch.no_grad():
        lost = FeatureAblation(logit).attribute(torch.ones_like(ids).float())
    assert_close(ours.tokens, -lost[0])


def test_every_target_has_its_own_changes(classifier):
    trace = explain(TEXT, classifier)
    for target in range(2):
        ours = ablations(trace, target)
        alone = ablate(trace, layers=[1])
        assert float(ours.layers[1]) == pytest.approx(
            float(alone.change[target]), abs=1e-5
        )


def test_padding_changes_nothing_and_is_worth_nothing(classifier):
    texts = ["the old man", TEXT]
    alone = ablations(explain(texts[0], classifier))
    padded = ablations(compare(texts, classifier, padding=True)[0])
    assert_close(padded.heads, alone.heads)
    assert_close(padded.layers, alone.layers)
    assert_close(padded.tokens[: len(alone.tokens)], alone.tokens)
    assert not padded.tokens[len(alone.tokens) :].any()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_the_callers_gradient_mode_does_not_matter(classifier, mode):
    expected = ablations(explain(TEXT, classifier))
    with mode():
        ours = ablations(explain(TEXT, classifier))
    assert_close(ours.heads, expected.heads)


def test_a_model_in_16_bits_is_computed_in_32(classifier, tmp_path):
    kind, tokenizer = (
        DistilBertForSequenceClassification,
        DistilBertTokenizer.from_pretrained(classifier),
    )
    half = kind.from_pretrained(classifier, dtype=torch.bfloat16)
    half.save_pretrained(tmp_path)
    wide = kind.from_pretrained(tmp_path)
    expected = ablate(explain(TEXT, wide, tokenizer=tokenizer), layers=[1])
    ours = ablate(explain(TEXT, half, tokenizer=tokenizer), layers=[1])
    assert torch.equal(ours.change, expected.change)


def test_threads_do_not_see_each_others_ablations(classifier):
    trace = explain(TEXT, classifier)
    parts = [{"layers": [layer]} for layer in range(LAYERS)] * 3
    expected = [ablate(trace, **part).logits for part in parts]
    found = [None] * len(parts)

    def work(i):
        found[i] = ablate(trace, **parts[i]).logits

    threads = [threading.Thread(target=work, args=[i]) for i in range(len(parts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for ours, theirs in zip(found, expected, strict=True):
        assert_close(ours, theirs)


def test_the_model_is_whole_again_afterwards(classifier):
    trace = explain(TEXT, classifier)
    ablations(trace)
    model = trace.subject.model
    ids = torch.tensor([[token.id for token in trace.tokens]])
    with torch.no_grad():
        assert torch.equal(model(ids).logits[0], trace.head.logits)


def test_the_cost_is_the_work_done(classifier):
    trace, done = explain(TEXT, classifier), 0
    block = type(trace.subject.model.distilbert.transformer.layer[0])

    def count(module, inputs):
        nonlocal done
        if isinstance(module, block):
            done += inputs[0].shape[0] * inputs[0].shape[1]

    hook = torch.nn.modules.module.register_module_forward_pre_hook(count)
    try:
        ablations(trace)
    finally:
        hook.remove()
    # And once the whole model.
    assert done == cost(trace) + LAYERS * len(trace.tokens)


@pytest.mark.parametrize(
    ("parts", "error", "message"),
    [
        ({"heads": [(3, 0)]}, IndexError, "heads is 3, expected 0 to 2: the number of"),
        ({"heads": [(0, 4)]}, IndexError, "heads is 4, expected 0 to 3: the number of"),
        ({"heads": [(-1, 0)]}, IndexError, "heads is -1, expected 0 to 2"),
        ({"heads": (0, 1)}, TypeError, "heads holds 0, expected pairs of a layer and"),
        ({"layers": [3]}, IndexError, "layers is 3, expected 0 to 2: the number of a"),
        ({"layers": 1}, TypeError, r"layers is 1, expected a list: \[1\]"),
        ({"layers": ["1"]}, TypeError, "layers is '1', expected a number: the number"),
        (
            {"tokens": [99]},
            IndexError,
            "tokens is 99, expected 0 to 12: the pos",
        ),
        ({"tokens": 2}, TypeError, r"tokens is 2, expected a list: \[2\]"),
        ({"tokens": range(13)}, ValueError, "all tokens are taken away"),
        ({"mask": 1}, IndexError, "mask is 1, expected 0: a classifier gives one"),
    ],
)
def test_what_there_is_not_cannot_be_taken_away(classifier, parts, error, message):
    with pytest.raises(error, match=message):
        ablate(explain(TEXT, classifier), **parts)


def test_an_unknown_label_is_an_error():
    with pytest.raises(ValueError, match="no answer 'BAD', expected one of NEGATIVE"):
        ablations(explain("Not bad", "tiny"), "BAD")


def test_a_trace_without_an_answer_says_why(tmp_path):
    trace = explain("a film", write_checkpoint(tmp_path, "DistilBertModel"))
    for ask in (ablate, ablations):
        with pytest.raises(ValueError, match="no answer to explain: there is no head"):
            ask(trace)


def test_progress_is_shown_only_if_wanted(classifier, capsys):
    trace = explain("the old man", classifier)
    ablations(trace)
    assert capsys.readouterr().err == ""
    ablations(trace, progress=True)
    assert "ablations" in capsys.readouterr().err
