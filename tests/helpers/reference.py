"""Our models beside transformers' own, and what "the same" means.

The checks below take the classes to check as an argument, so that the mutation run
(`test_mutations`) puts broken copies through the very functions that the parity tests
(`test_parity`, `test_gradients`, `test_training_mode`, `test_losses`) are made of.
"""

from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from minidistil import heads, model
from minidistil.config import DistilBertConfig

ENCODER = "DistilBertModel"
MASKED_LM = "DistilBertForMaskedLM"
SEQUENCE = "DistilBertForSequenceClassification"
TOKEN = "DistilBertForTokenClassification"
QUESTION = "DistilBertForQuestionAnswering"
CHOICE = "DistilBertForMultipleChoice"
HEADS = (MASKED_LM, SEQUENCE, TOKEN, QUESTION, CHOICE)
NAMES = (ENCODER, *HEADS)
ATTENTIONS = ("sdpa", "eager")
CHOICES = 3

# A head size of 10: no power of two, so the scale rounds. No two sizes are equal.
SMALL = {
    "vocab_size": 53,
    "max_position_embeddings": 40,
    "dim": 20,
    "n_heads": 2,
    "hidden_dim": 44,
    "n_layers": 3,
}
# distilbert-base's.
BASE = {
    "vocab_size": 30522,
    "max_position_embeddings": 512,
    "dim": 768,
    "n_heads": 12,
    "hidden_dim": 3072,
    "n_layers": 6,
}


def library(model: ModuleType, heads: ModuleType) -> SimpleNamespace:
    """Collect the six classes by name."""
    classes = {name: getattr(heads, name) for name in HEADS}
    return SimpleNamespace(**classes, **{ENCODER: model.DistilBertModel})


OURS = library(model, heads)


class DifferenceError(AssertionError):
    """Ours is not what transformers has."""


def agree(same: object, difference: str) -> None:
    """Raise a `DifferenceError` unless two things are the same."""
    if not same:
        raise DifferenceError(difference)


def twins(
    library: SimpleNamespace,
    name: str,
    *,
    attention: str = "sdpa",
    dtype: torch.dtype = torch.float32,
    **config: Any,
) -> tuple[nn.Module, nn.Module]:
    """Build ours and theirs in eval mode, with the same hostile weights.

    Every parameter, biases and norms included, comes from N(0, 0.5): with default
    weights a swapped norm or a dropped bias changes nothing. Both sides keep the
    memory they were built in, since the last bit of a matrix product depends on how
    its operands are aligned.
    """
    theirs_config = transformers.DistilBertConfig(**config)
    theirs_config._attn_implementation = attention
    theirs = getattr(transformers, name)(theirs_config).to(dtype).eval()
    ours_class = getattr(library, name)
    ours = ours_class(DistilBertConfig(**config), attn_implementation=attention)
    ours = ours.to(dtype).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.normal_(std=0.5, generator=generator)
    copy_weights(theirs, ours)
    return ours, theirs


def copy_weights(source: nn.Module, target: nn.Module) -> None:
    """Copy all weights; both must have the same parameters, tied in the same way."""
    ours, theirs = dict(target.named_parameters()), dict(source.named_parameters())
    agree(list(ours) == list(theirs), f"parameters {list(ours)}, not {list(theirs)}")
    target.load_state_dict(source.state_dict(), strict=True)


def ids_for(
    name: str, batch: int, tokens: int, vocab_size: int, *, lowest: int = 1
) -> Tensor:
    """Draw ids (B, T), or (B, C, T) for multiple choice."""
    shape = (batch, CHOICES, tokens) if name == CHOICE else (batch, tokens)
    generator = torch.Generator().manual_seed(tokens)
    return torch.randint(lowest, vocab_size, shape, generator=generator)


def right_padded(ids: Tensor) -> Tensor:
    """Return a mask that hides the ends of all rows but the first."""
    tokens = ids.shape[-1]
    rows = torch.arange(ids.numel() // tokens)
    lengths = tokens - rows * tokens // (len(rows) + 1)
    return (torch.arange(tokens) < lengths[:, None]).long().view(ids.shape)


def left_padded(ids: Tensor) -> Tensor:
    """Return a mask that hides the beginnings of all rows but the first."""
    return right_padded(ids).flip(-1)


def with_holes(ids: Tensor) -> Tensor:
    """Return a mask that hides every third token, beginning with the first."""
    return (torch.arange(ids.shape[-1]) % 3 != 0).long().expand(ids.shape).contiguous()


def assert_same(ours: Any, theirs: Any, *, tolerance: float = 0.0) -> None:
    """Compare two results entry by entry: to the last bit, unless a tolerance is given.

    The tolerance is relative to the largest value of the tensor compared.
    """
    agree(list(ours) == list(theirs), f"results {list(ours)}, not {list(theirs)}")
    for key in theirs:
        left, right = ours[key], theirs[key]
        if isinstance(right, Tensor):
            left, right = (left,), (right,)
        agree(len(left) == len(right), f"{key}: {len(left)}, not {len(right)} entries")
        for i, pair in enumerate(zip(left, right, strict=True)):
            assert_equal(f"{key}[{i}]", *pair, tolerance=tolerance)


def assert_equal(
    name: str, ours: Tensor, theirs: Tensor, *, tolerance: float = 0.0
) -> None:
    """Compare two tensors: to the last bit, or relative to the largest value."""
    agree(ours.shape == theirs.shape, f"{name}: {ours.shape}, not {theirs.shape}")
    agree(ours.dtype == theirs.dtype, f"{name}: {ours.dtype}, not {theirs.dtype}")
    assert theirs.isfinite().all(), f"{name}: the reference is not finite"
    if torch.equal(ours, theirs):
        return
    error, largest = (ours - theirs).abs().max(), theirs.abs().max()
    agree(error <= tolerance * largest, f"{name}: off by {error} of {largest}")


@torch.no_grad()
def check_forward(
    library: SimpleNamespace,
    name: str,
    attention: str,
    *,
    batch: int = 3,
    tokens: int = 7,
    mask: Any = right_padded,
    dtype: torch.dtype = torch.float32,
    tolerance: float = 0.0,
    **config: Any,
) -> None:
    """Logits, all hidden states and (eager) attentions are transformers' own."""
    config = SMALL | config
    ours, theirs = twins(library, name, attention=attention, dtype=dtype, **config)
    ids = ids_for(name, batch, tokens, config["vocab_size"])
    inputs = {"attention_mask": mask(ids)} if mask else {}
    asked = {
        "output_hidden_states": True,
        # sdpa cannot return attentions: asking ours for them would run eager.
        "output_attentions": attention == "eager",
    }
    assert_same(
        ours(ids, **inputs, **asked),
        theirs(ids, **inputs, **asked),
        tolerance=tolerance,
    )


@torch.no_grad()
def check_positions(library: SimpleNamespace, attention: str, *, rows: int = 3) -> None:
    """Positions that are given are used: one row of them for all, or one for each."""
    ours, theirs = twins(library, ENCODER, attention=attention, **SMALL)
    ids = ids_for(ENCODER, 3, 7, SMALL["vocab_size"])
    inputs = {
        "attention_mask": left_padded(ids),
        "position_ids": ids_for(ENCODER, rows, 7, 40, lowest=0),
    }
    assert_same(ours(ids, **inputs), theirs(ids, **inputs))


@torch.no_grad()
def check_word_vectors(library: SimpleNamespace, attention: str) -> None:
    """Word vectors that are given take the place of the embedded ids."""
    ours, theirs = twins(library, ENCODER, attention=attention, **SMALL)
    vectors = torch.randn(3, 7, SMALL["dim"], generator=torch.manual_seed(5))
    inputs = {"inputs_embeds": vectors, "attention_mask": right_padded(vectors[..., 0])}
    assert_same(ours(**inputs), theirs(**inputs))


LABELS = {
    MASKED_LM: {"labels": torch.tensor([[5, -100, 52], [-100, 0, 7]])},
    SEQUENCE: {"labels": torch.tensor([1, 0])},
    TOKEN: {"labels": torch.tensor([[1, -100, 0], [-100, 1, 1]])},
    # The second answer ends beyond the three tokens: it was cut off.
    QUESTION: {
        "start_positions": torch.tensor([0, 2]),
        "end_positions": torch.tensor([1, 9]),
    },
    CHOICE: {"labels": torch.tensor([2, 0])},
}


def zero_labels(name: str, batch: int, tokens: int) -> dict[str, Tensor]:
    """Return labels of the right names and shapes for a batch of any size."""
    return {
        key: torch.zeros((batch, tokens)[: labels.ndim], dtype=torch.long)
        for key, labels in LABELS.get(name, {}).items()
    }


@torch.no_grad()
def check_loss(
    library: SimpleNamespace,
    name: str,
    labels: dict[str, Tensor] | None = None,
    **config: Any,
) -> None:
    """The loss of two texts of three tokens is transformers' own."""
    config = SMALL | config
    ours, theirs = twins(library, name, **config)
    ids = ids_for(name, 2, 3, config["vocab_size"])
    labels = LABELS[name] if labels is None else labels
    assert_same(ours(ids, **labels), theirs(ids, **labels))


def check_gradients(
    library: SimpleNamespace, name: str, attention: str, **config: Any
) -> None:
    """Every parameter has the gradient that transformers gives it.

    Within 1e-6 of the parameter's largest gradient; smaller entries are sums of large
    terms that cancel, and have no more right digits than that.
    """
    config = SMALL | config
    ours, theirs = twins(library, name, attention=attention, **config)
    ids = ids_for(name, 2, 3, config["vocab_size"])
    inputs = {"attention_mask": right_padded(ids), **LABELS.get(name, {})}
    for twin in (ours, theirs):
        out = twin(ids, **inputs)
        # Squared: the sum of a layer norm's output hardly depends on its input.
        loss = out.loss if name in HEADS else out.last_hidden_state.square().sum()
        loss.backward()
    reference = dict(theirs.named_parameters())
    for key, parameter in ours.named_parameters():
        assert_equal(key, parameter.grad, reference[key].grad, tolerance=1e-6)


# Of four texts of three tokens. No part of the batch has as many labels as another.
FOUR_LABELS = {
    MASKED_LM: {
        "labels": torch.tensor([[5, -100, 52], [-100, 0, 7], [-100] * 3, [9] * 3])
    },
    SEQUENCE: {"labels": torch.tensor([1, 0, 1, 1])},
    TOKEN: {
        "labels": torch.tensor([[1, -100, 0], [-100] * 3, [-100, 1, 1], [0, 0, 1]])
    },
    QUESTION: {
        "start_positions": torch.tensor([0, 2, 1, 0]),
        "end_positions": torch.tensor([1, 2, 2, 0]),
    },
    CHOICE: {"labels": torch.tensor([2, 0, 1, 1])},
}


def check_parts(
    library: SimpleNamespace,
    name: str,
    labels: dict[str, Tensor] | None = None,
    **config: Any,
) -> None:
    """A batch in parts has the loss and the gradients of transformers' on the whole.

    In float64: a sum in another order has other bits, and small differences of large
    numbers have few right ones in float32.
    """
    config = SMALL | config
    ours, theirs = twins(library, name, dtype=torch.float64, **config)
    ids = ids_for(name, 4, 3, config["vocab_size"])
    labels = FOUR_LABELS[name] if labels is None else labels
    whole = theirs(ids, **labels).loss
    whole.backward()
    items = next(iter(labels.values())).ne(-100).sum()
    total = torch.zeros((), dtype=torch.float64)
    for part in (slice(0, 3), slice(3, 4)):
        some = {key: values[part] for key, values in labels.items()}
        loss = ours(ids[part], **some, num_items_in_batch=items).loss
        loss.backward()
        total += loss.detach()
    assert_equal("loss", total, whole.detach(), tolerance=1e-12)
    reference = dict(theirs.named_parameters())
    # Of the largest of all: the biases of the keys have none but rounding errors.
    largest = max(float(each.grad.abs().max()) for each in reference.values())
    for key, parameter in ours.named_parameters():
        off = (parameter.grad - reference[key].grad).abs().max()
        agree(off <= 1e-12 * largest, f"{key}: off by {off} of {largest}")


@torch.no_grad()
def check_recorded(library: SimpleNamespace, name: str) -> None:
    """A program that was recorded with one full text answers for a padded batch."""
    ours, theirs = twins(library, name, **SMALL)
    ours.config.return_dict = False
    one = ids_for(name, 1, 5, SMALL["vocab_size"])
    program = torch.jit.trace(ours, (one, torch.ones_like(one)), check_trace=False)
    ids = ids_for(name, 3, 7, SMALL["vocab_size"])
    mask = right_padded(ids)
    found = program(ids, mask)
    expected = theirs(ids, attention_mask=mask).to_tuple()
    for left, right in zip(found, expected, strict=True):
        assert_equal("result", left, right, tolerance=1e-5)


@torch.no_grad()
def check_training_mode(
    library: SimpleNamespace, name: str, attention: str, **config: Any
) -> None:
    """The same seed drops the same values: dropout is in the same places."""
    config = SMALL | config
    ours, theirs = twins(library, name, attention=attention, **config)
    ids = ids_for(name, 3, 7, config["vocab_size"])
    asked = {"output_hidden_states": True, "output_attentions": attention == "eager"}
    results = []
    for twin in (ours, theirs):
        torch.manual_seed(3)
        mask = right_padded(ids)
        results.append(twin.train()(ids, attention_mask=mask, **asked))
    assert_same(*results)


def check_initialisation(library: SimpleNamespace, name: str, **config: Any) -> None:
    """New weights are drawn from the distribution that transformers draws from."""
    config = SMALL | {"initializer_range": 0.3} | config
    torch.manual_seed(0)
    ours = getattr(library, name)(DistilBertConfig(**config))
    theirs = getattr(transformers, name)(transformers.DistilBertConfig(**config))
    reference = dict(theirs.named_parameters())
    names = [key for key, _ in ours.named_parameters()]
    agree(names == list(reference), f"parameters {names}, not {list(reference)}")
    for key, parameter in ours.named_parameters():
        fixed = "position" in key and config.get("sinusoidal_pos_embds")
        if parameter.ndim == 1 or fixed:
            assert_equal(key, parameter, reference[key])
            continue
        # Five standard errors of a mean, and more than that of a standard deviation.
        error = 5 * 0.3 / parameter.numel() ** 0.5
        mean, spread = parameter.mean(), parameter.std()
        agree(abs(mean) < error, f"{key}: mean {mean}")
        agree(abs(spread - 0.3) < error, f"{key}: standard deviation {spread}")
        # 0.68 of a normal distribution lies within one deviation, 0.58 of a flat one.
        within = (parameter.abs() < 0.3).float().mean()
        error = 5 * (0.68 * 0.32 / parameter.numel()) ** 0.5
        agree(abs(within - 0.6827) < error, f"{key}: {within} within one deviation")
        if "word_embeddings" in key:
            agree(not parameter[0].any(), "the padding row is not zero")
