"""What an engine refuses, and what it says; and what it leaves as it was."""

from __future__ import annotations

import array

import numpy as np
import pytest
import torch
from engines import PRECISIONS, answers, check, forget, model_of, sequences_of
from reference import CHOICE, ENCODER, MASKED_LM, SEQUENCE, TOKEN
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from minidistil import DistilBertForSequenceClassification
from minidistil.engine import Engine
from minidistil.engine.cpu import choice
from minidistil.model import Embeddings, Transformer

SEQUENCES = sequences_of([7, 1, 40, 3], 53)


@pytest.fixture(scope="module")
def model():
    return model_of(SEQUENCE)


@pytest.fixture(scope="module")
def engine(model):
    return Engine(model)


# Sequences ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("sequences", "error", "message"),
    [
        ("a text", TypeError, "got str, expected a list of sequences"),
        (b"bytes", TypeError, "got bytes, expected a list of sequences"),
        (7, TypeError, "got int, expected a list of sequences"),
        (None, TypeError, "got NoneType"),
        ({1: [2]}, TypeError, "got dict"),
        (iter([[1, 2]]), TypeError, "iterator, expected a list of sequences"),
        ([1, 2, 3], TypeError, "got one sequence, expected a list of them"),
        (["a text"], TypeError, "sequence 0 is 'a text', expected a list of integers"),
        (
            [[1], ["2"]],
            TypeError,
            r"sequence 1 is \['2'\], expected a list of integers",
        ),
        ([[1.0, 2.0]], TypeError, "sequence 0 is"),
        ([[1, True]], TypeError, "sequence 0 is"),
        ([[[1, 2]]], TypeError, "sequence 0 is"),
        ([[1, None]], TypeError, "sequence 0 is"),
        ([{1, 2}], TypeError, "sequence 0 is"),
        (torch.tensor([1, 2]), TypeError, "got one sequence"),
        (torch.tensor(1), TypeError, "got one sequence"),
        ([torch.tensor([1.0])], TypeError, "sequence 0 is"),
        ([torch.tensor([True])], TypeError, "sequence 0 is"),
        ([torch.ones(1, 2, dtype=torch.long)], TypeError, "sequence 0 is"),
        ([[1], []], ValueError, "sequence 1 has 0 tokens, expected 1 to 40"),
        ([[1] * 41], ValueError, "sequence 0 has 41 tokens, expected 1 to 40"),
        ([[1], [3, 53]], IndexError, "sequence 1 has the id 53, expected 0 to 52"),
        ([[-1, 99]], IndexError, "sequence 0 has the id -1, expected 0 to 52"),
        ([[2**70]], IndexError, f"sequence 0 has the id {2**70}, expected 0 to 52"),
    ],
    ids=lambda value: f"{value!r:.20}",
)
def test_what_is_no_sequences_is_refused(engine, sequences, error, message):
    with pytest.raises(error, match=message):
        engine(sequences)


@pytest.mark.parametrize(
    "form",
    [
        tuple,
        torch.tensor,
        lambda ids: torch.tensor(ids, dtype=torch.int32),
        np.array,
        lambda ids: np.array(ids, dtype=np.uint8),
        lambda ids: array.array("q", ids),
    ],
)
def test_integers_may_come_in_any_form(engine, form):
    check(engine([form(ids) for ids in SEQUENCES]), engine(SEQUENCES), 0)


def test_a_tensor_of_rows_is_a_list_of_sequences(engine):
    rows = torch.arange(12).view(3, 4)
    check(engine(rows), engine(rows.tolist()), 0)


@pytest.mark.parametrize(
    "column",
    [
        lambda lists: np.array([np.array(ids) for ids in lists], dtype=object),
        lambda lists: [[np.int64(id) for id in ids] for ids in lists],
        lambda lists: [[torch.tensor(id) for id in ids] for ids in lists],
        lambda lists: dict(enumerate(lists)).values(),
    ],
    ids=["array", "numbers", "tensors", "view"],
)
def test_sequences_may_be_a_column_or_hold_numpys_numbers(engine, column):
    check(engine(column(SEQUENCES)), engine(SEQUENCES), 0)


@pytest.mark.parametrize("wrong", [np.float64(3), np.bool_(True), torch.tensor(True)])
def test_what_is_no_integer_in_numpy_is_none_here(engine, wrong):
    with pytest.raises(TypeError, match=r"sequence 0 is .*expected a list of integers"):
        engine([[3, wrong]])


def test_a_mistake_is_found_before_anything_is_computed(engine, monkeypatch):
    monkeypatch.setattr(engine._core, "_run", lambda *_: pytest.fail("computed"))
    with pytest.raises(IndexError):
        engine([*SEQUENCES, [53]])


# Positions ────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("positions", "error", "message"),
    [
        ([[0]], ValueError, "got positions for 1 sequences, expected 2"),
        ([], ValueError, "got positions for 0 sequences, expected 2"),
        ([[0], [3]], IndexError, r"positions of sequence 1 are \[3\], expected 0 to 2"),
        ([[-1], [0]], IndexError, r"sequence 0 are \[-1\], expected 0 to 1"),
        ([[0], [1.0]], TypeError, "the positions of sequence 1 is"),
        ([[0], [True]], TypeError, "the positions of sequence 1 is"),
        ([0, 1], TypeError, "the positions of sequence 0 is 0"),
        (["0", "1"], TypeError, "the positions of sequence 0 is '0'"),
        ("01", TypeError, "positions is '01', expected a list for each"),
        (3, TypeError, "positions is 3, expected a list for each"),
    ],
    ids=str,
)
def test_what_is_no_positions_is_refused(positions, error, message):
    with pytest.raises(error, match=message):
        Engine(model_of(TOKEN))([[1, 2], [3, 4, 5]], positions=positions)


def test_positions_may_be_tensors():
    engine = Engine(model_of(TOKEN))
    places = [[0, 2], [0], [], [1]]
    found = engine(
        SEQUENCES,
        positions=[torch.tensor(each) for each in places[:2]]
        + [np.array([], dtype=int), (1,)],
    )
    check(found, engine(SEQUENCES, positions=places), 0)


# Settings and models ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("precision", ["fp8", "INT8", "", None, torch.float32, 8])
def test_an_unknown_precision_is_refused(model, precision):
    with pytest.raises(ValueError, match="one of float32, bfloat16, float16, int8"):
        Engine(model, precision)


@pytest.mark.parametrize("kernels", ["mkl", "", "ONEDNN", 1, True])
def test_unknown_kernels_are_refused(model, kernels):
    with pytest.raises(ValueError, match="expected None, 'onednn' or 'torch'"):
        Engine(model, kernels=kernels)


@pytest.mark.parametrize("budget", [0, -1, True, 1.5, "1024"])
def test_a_budget_that_is_no_number_of_tokens_is_refused(model, budget):
    expected = f"token_budget is {budget!r}, expected an integer of at least 1"
    with pytest.raises(ValueError, match=expected):
        Engine(model, token_budget=budget)


class Subclass(DistilBertForSequenceClassification):
    def forward(self, *inputs, **named):
        return super().forward(*inputs, **named)


@pytest.mark.parametrize("wrong", [nn.Linear(2, 2), None, "tiny", Subclass], ids=str)
def test_what_is_no_model_of_ours_is_refused(model, wrong):
    if wrong is Subclass:
        wrong = Subclass(model.config)
    with pytest.raises(TypeError, match="expected a DistilBertModel or one of"):
        Engine(wrong)


class Adapter(nn.Module):
    """What a low-rank adapter is: a layer and a small correction."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer = layer
        self.weight, self.bias = layer.weight, layer.bias
        self.small = nn.Linear(layer.in_features, layer.out_features)

    def forward(self, x):
        return self.layer(x) + self.small(x)


class OtherLinear(nn.Linear):
    pass


LAYERS = [
    "pre_classifier",
    "classifier",
    "distilbert.transformer.layer.0.attention.q_lin",
    "distilbert.transformer.layer.1.attention.out_lin",
    "distilbert.transformer.layer.2.ffn.lin2",
]


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("replace", [Adapter, lambda x: OtherLinear(1, 1)])
def test_a_layer_that_is_not_torchs_own_is_refused(name, replace):
    model = model_of(SEQUENCE)
    model.set_submodule(name, replace(model.get_submodule(name)))
    with pytest.raises(TypeError, match=r"in place of a plain Linear.*merge adapters"):
        Engine(model)


class Twice(nn.Module):
    def forward(self, x):
        return 2 * x


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(
    "change",
    [
        lambda layer: parametrize.register_parametrization(layer, "weight", Twice()),
        parametrizations.weight_norm,
        parametrizations.spectral_norm,
    ],
    ids=["own", "weight_norm", "spectral_norm"],
)
def test_a_parametrized_layer_is_refused(name, change):
    model = model_of(SEQUENCE)
    change(model.get_submodule(name))
    with pytest.raises(TypeError, match="in place of a plain Linear"):
        Engine(model)


MODULES = [name for name, _ in model_of(SEQUENCE, n_layers=1).named_modules()]


@pytest.mark.parametrize("name", [name for name in MODULES if "dropout" not in name])
@pytest.mark.parametrize("kind", ["forward_hook", "forward_pre_hook"])
def test_a_hook_is_refused_wherever_it_is(name, kind):
    model = model_of(SEQUENCE, n_layers=1)
    handle = getattr(model.get_submodule(name), f"register_{kind}")(lambda *_: None)
    with pytest.raises(TypeError, match="remove hooks"):
        Engine(model)
    handle.remove()
    Engine(model)


@pytest.mark.parametrize("name", ["attention", "ffn"])
def test_a_part_of_a_block_that_is_another_is_refused(name):
    model = model_of(SEQUENCE)
    block = model.distilbert.transformer.layer[1]
    part = getattr(block, name)
    part.__class__ = type("Other", (type(part),), {})
    with pytest.raises(TypeError, match="in place of a plain"):
        Engine(model)


def test_a_layer_without_a_bias_is_refused_with_a_word():
    model = model_of(SEQUENCE)
    model.pre_classifier = nn.Linear(48, 48, bias=False)
    with pytest.raises((TypeError, ValueError), match="bias"):
        Engine(model)


def test_the_norms_own_epsilon_counts():
    model = model_of(ENCODER)
    for norm in model.modules():
        if isinstance(norm, nn.LayerNorm):
            norm.eps = 0.5
    check(Engine(model)(SEQUENCES), answers(model, SEQUENCES))


# Numbers that are none ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("number", [torch.nan, torch.inf])
@pytest.mark.parametrize(
    "name",
    [
        "pre_classifier.weight",
        "classifier.bias",
        "distilbert.embeddings.position_embeddings.weight",
        "distilbert.embeddings.LayerNorm.weight",
        "distilbert.transformer.layer.0.attention.k_lin.weight",
        "distilbert.transformer.layer.1.output_layer_norm.bias",
        "distilbert.transformer.layer.2.ffn.lin1.bias",
    ],
)
def test_a_weight_that_is_no_number_is_refused(name, number):
    model = model_of(SEQUENCE)
    with torch.no_grad():
        model.get_parameter(name).view(-1)[3 % model.get_parameter(name).numel()] = (
            number
        )
    with pytest.raises(ValueError, match="holds NaN, infinite numbers"):
        Engine(model)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", [SEQUENCE, CHOICE, TOKEN, ENCODER])
@pytest.mark.parametrize("number", [torch.nan, torch.inf])
def test_a_word_that_is_no_number_is_refused_where_it_is_used(name, precision, number):
    model = model_of(name)
    with torch.no_grad():
        model.get_input_embeddings().weight[7, 3] = number
    engine = Engine(model, precision)
    assert len(engine([[1, 2], [6, 8]])) == 2
    with pytest.raises(ValueError, match="results are NaN or infinite"):
        engine([[1, 2], [6, 7]])


def test_a_tied_word_that_is_no_number_is_refused_at_once():
    model = model_of(MASKED_LM)
    with torch.no_grad():
        model.get_input_embeddings().weight[7, 3] = torch.nan
    with pytest.raises(ValueError, match="holds NaN, infinite numbers"):
        Engine(model)


# What is left as it was ───────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", [SEQUENCE, TOKEN, ENCODER, MASKED_LM])
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad])
def test_results_are_the_callers_own(name, precision, mode):
    with mode():
        engine = Engine(model_of(name), precision)
        found = engine(SEQUENCES)
    for each in found:
        assert not each.requires_grad
        assert not each.is_inference()
        each.add_(1)
    factor = torch.ones((), requires_grad=True)
    (found[0] * factor).sum().backward()
    assert factor.grad is not None
    before = [each.clone() for each in found]
    engine(SEQUENCES)
    check(found, before, 0)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_an_engine_made_in_one_mode_works_in_another(model, precision):
    modes = (torch.inference_mode, torch.no_grad, torch.enable_grad)
    expected = Engine(model, precision)(SEQUENCES)
    for made in modes:
        with made():
            engine = Engine(model, precision)
        for used in modes:
            with used():
                check(engine(SEQUENCES), expected, 0)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_autocast_around_a_call_changes_nothing(model, precision):
    engine = Engine(model, precision)
    expected = engine(SEQUENCES)
    with torch.autocast("cpu", torch.bfloat16):
        found = engine(SEQUENCES)
    check(found, expected, 0)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_model_stays_as_it_was(precision):
    model = model_of(MASKED_LM)
    parameters = dict(model.named_parameters())
    before = {name: each.detach().clone() for name, each in parameters.items()}
    expected = answers(model, SEQUENCES)
    Engine(model, precision)(SEQUENCES)
    assert not model.training
    for name, parameter in model.named_parameters():
        assert parameter is parameters[name]
        assert parameter.requires_grad
        assert not parameter.is_inference()
        assert torch.equal(parameter, before[name])
    check(answers(model, SEQUENCES), expected, 0)
    model(torch.tensor([SEQUENCES[0]])).logits.sum().backward()


def test_what_is_done_to_the_model_afterwards_does_not_change_the_engine():
    model = DistilBertForSequenceClassification.from_pretrained("tiny")
    for precision in ("float32", "bfloat16", "int8"):
        for kernels in (None, "torch"):
            engine = Engine(model, precision, kernels=kernels)
            (before,) = engine([[101, 2204, 102]])
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.mul_(1.5)
            (after,) = engine([[101, 2204, 102]])
            assert torch.equal(before, after)


def test_another_activation_in_a_block_is_refused():
    model = DistilBertForSequenceClassification.from_pretrained("tiny")
    model.distilbert.transformer.layer[3].ffn.activation = torch.tanh
    with pytest.raises(TypeError, match="another activation"):
        Engine(model)


def test_padding_is_told_and_not_swallowed():
    engine = Engine(model_of(SEQUENCE))
    with pytest.warns(UserWarning, match="padding, which is read as text here"):
        engine([[5, 6, 0], [7, 8, 9]])


def test_an_engine_can_be_made_and_used_under_the_callers_defaults(monkeypatch):
    tried = []
    monkeypatch.setattr(choice, "_seconds", lambda work: tried.append(work()) or 1.0)
    model = model_of(SEQUENCE)
    expected = answers(model, SEQUENCES)
    forget()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            engines = [Engine(model, precision) for precision in PRECISIONS]
            found = [engine(SEQUENCES) for engine in engines]
    finally:
        torch.set_default_dtype(torch.float32)
        forget()
    assert [engine.kernels for engine in engines] == [
        Engine(model, precision).kernels for precision in PRECISIONS
    ]
    check(found[0], expected)
    assert all(each.dtype == torch.float32 for results in found for each in results)


class Doubled(Embeddings):
    """Embeddings that are twice as large."""


class Shortened(Transformer):
    """A transformer that may leave blocks out."""


def test_a_replaced_container_is_refused():
    model = model_of(SEQUENCE)
    model.distilbert.embeddings.__class__ = Doubled
    with pytest.raises(TypeError, match="Doubled"):
        Engine(model)
    model = model_of(SEQUENCE)
    model.distilbert.transformer.__class__ = Shortened
    with pytest.raises(TypeError, match="Shortened"):
        Engine(model)


def test_a_forward_of_ones_own_is_refused():
    model = model_of(SEQUENCE)
    linear = model.distilbert.transformer.layer[0].ffn.lin1
    linear.forward = lambda x: 2 * nn.Linear.forward(linear, x)
    with pytest.raises(TypeError, match="hooks"):
        Engine(model)


def test_one_block_in_two_places_is_refused():
    model = model_of(SEQUENCE)
    layers = model.distilbert.transformer.layer
    layers[1] = layers[0]
    with pytest.raises(TypeError, match="one block in two places"):
        Engine(model)


def test_a_number_that_float32_has_not_is_refused():
    model = model_of(SEQUENCE).double()
    with torch.no_grad():
        model.distilbert.transformer.layer[0].ffn.lin1.bias[0] = -1e300
    with pytest.raises(ValueError, match="too large for float32"):
        Engine(model)


# Flat tensors ─────────────────────────────────────────────────────────────────────────


def ints(*numbers: int, dtype: torch.dtype = torch.int64) -> torch.Tensor:
    return torch.tensor(numbers, dtype=dtype)


IDS = ints(1, 2, 3, dtype=torch.int32)


@pytest.mark.parametrize(
    ("ids", "lengths", "error", "message"),
    [
        (IDS, ints(2), ValueError, "lengths add up to 2, expected .* ids, 3"),
        (IDS, ints(2, 2), ValueError, "lengths add up to 4"),
        (IDS, ints(), ValueError, "lengths add up to 0"),
        (IDS[:0], ints(1), ValueError, "lengths add up to 1"),
        (IDS, ints(3, 0), ValueError, "sequence 1 has 0 tokens"),
        (IDS, ints(4, -1), ValueError, "sequence 1 has -1 tokens"),
        (IDS.long(), ints(3), TypeError, "ids is torch.int64"),
        (IDS, ints(3).int(), TypeError, "lengths is torch.int32"),
        (IDS, ints(3).float(), TypeError, "lengths is torch.float32"),
        (IDS[None], ints(3), TypeError, r"ids is torch.int32 of shape \(1, 3\)"),
        (IDS.to("meta"), ints(3), TypeError, "on meta, expected"),
        ([1, 2, 3], ints(3), TypeError, "ids is a list, expected a tensor"),
        (ints(1, 2, 53, dtype=torch.int32), ints(2, 1), IndexError, "sequence 1 has"),
    ],
    ids=lambda value: f"{value!r:.30}",
)
def test_flat_sequences_that_do_not_fit_are_refused(
    model, ids, lengths, error, message
):
    with pytest.raises(error, match=message):
        Engine(model).start((ids, lengths))


@pytest.mark.parametrize(
    ("positions", "counts", "error", "message"),
    [
        (ints(0, 0), ints(2, 1), ValueError, "counts add up to 3, expected .* 2"),
        (ints(0, 0), ints(2), ValueError, r"counts are \[2\], expected one"),
        (ints(0, 0), ints(3, -1), ValueError, r"counts are \[3, -1\]"),
        (ints(0, 2), ints(1, 1), IndexError, "positions of sequence 1"),
        (ints(-1, 0), ints(1, 1), IndexError, "positions of sequence 0"),
        (ints(0, 0).int(), ints(1, 1), TypeError, "positions is torch.int32"),
    ],
    ids=lambda value: f"{value!r:.30}",
)
def test_flat_positions_that_do_not_fit_are_refused(positions, counts, error, message):
    engine = Engine(model_of(ENCODER))
    with pytest.raises(error, match=message):
        engine.start((IDS, ints(2, 1)), (positions, counts))


@pytest.mark.parametrize("positions", [[[0]], [[0], [0]], 5, "ab", {0: [0]}, [[99]]])
def test_a_model_without_tokens_says_so_whatever_the_positions_are(model, positions):
    with pytest.raises(ValueError, match="models that read every token"):
        Engine(model)([[1, 2], [3]], positions)
