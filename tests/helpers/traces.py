"""Traces beside the raw tensors of the file, and beside transformers.

Every step is computed again from the step before it, by numpy in float64 from the
tensors in the file. The checks take a trace as an argument, so that
`test_trace_mutations` puts those of a broken explainer through the very functions that
`test_trace` and `test_readings` are made of.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from reference import agree, assert_same
from safetensors.numpy import load_file
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from torch import Tensor, nn

from minidistil.wordpiece import LONGEST_WORD

# What one step may be off, relative to the sum of the sizes of what it adds up: float32
# rounds by up to 6e-8, and a sum of some hundred terms by a few times that.
FLOAT32 = 1e-6

Array = np.ndarray[Any, np.dtype[np.float64]]


def erf(x: Array) -> Array:
    """The error function; numpy has none, and Python's takes one number at a time."""
    return torch.from_numpy(x).erf().numpy()


def array(tensor: Tensor) -> Array:
    return tensor.double().numpy()


def close(
    name: str, found: Tensor, exact: Array, size: Array, unit: float = FLOAT32
) -> None:
    """Each number is what it should be, within ``unit`` of ``size``."""
    agree(found.shape == exact.shape, f"{name}: {found.shape}, not {exact.shape}")
    off = np.abs(array(found) - exact)
    worst = np.max(off - unit * size, initial=-1)
    agree(worst <= 0, f"{name}: off by up to {off.max()}")


def same(name: str, found: Tensor, expected: Tensor) -> None:
    """Each number is what it should be, to the last bit; infinities included."""
    agree(found.dtype == expected.dtype, f"{name}: {found.dtype}")
    agree(torch.equal(found, expected), f"{name} is another number")


@cache
def tensors_of(folder: Path) -> dict[str, Array]:
    """The tensors of a checkpoint, those of the encoder without their prefix."""
    raw = load_file(folder / "model.safetensors")
    return {
        name.removeprefix("distilbert."): value.astype(np.float64)
        for name, value in raw.items()
    }


class Steps:
    """What each step should be, given the tensors of the file and the step before."""

    def __init__(
        self,
        tensors: Mapping[str, Array],
        config: Mapping[str, Any],
        unit: float = FLOAT32,
    ) -> None:
        self.tensors, self.config, self.unit = tensors, config, unit

    def close(self, name: str, found: Tensor, exact: Array, size: Array) -> None:
        close(name, found, exact, size, self.unit)

    def linear(self, name: str, found: Tensor, read: Tensor) -> None:
        x = array(read)
        weight, bias = self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]
        size = np.abs(x) @ np.abs(weight.T) + np.abs(bias)
        self.close(name, found, x @ weight.T + bias, size)

    def norm(self, name: str, found: Tensor, read: Tensor) -> None:
        x = array(read)
        weight, bias = self.tensors[f"{name}.weight"], self.tensors[f"{name}.bias"]
        deviation = np.sqrt(x.var(axis=-1, keepdims=True) + 1e-12)
        exact = (x - x.mean(axis=-1, keepdims=True)) / deviation * weight + bias
        # What is rounded is as large as the largest number of the row.
        size = np.abs(x).max(axis=-1, keepdims=True) / deviation * np.abs(weight)
        self.close(name, found, exact, 4 * size + np.abs(bias))

    def activation(self, name: str, found: Tensor, read: Tensor) -> None:
        x = array(read)
        relu = self.config.get("activation") == "relu"
        exact = np.maximum(x, 0) if relu else x / 2 * (1 + erf(x / math.sqrt(2)))
        self.close(name, found, exact, np.abs(x))

    def total(self, name: str, found: Tensor, one: Tensor, other: Tensor) -> None:
        x, y = array(one), array(other)
        self.close(name, found, x + y, np.abs(x) + np.abs(y))
        same(name, found, one + other)

    def softmax(self, name: str, found: Tensor, scores: Tensor) -> None:
        x = array(scores)
        below = x - x.max(axis=-1, keepdims=True)
        exact = np.exp(below) / np.exp(below).sum(axis=-1, keepdims=True)
        self.close(name, found, exact, np.ones_like(exact))
        same(name, found, scores.softmax(dim=-1))


def check_encoder(trace: Any, steps: Steps) -> None:
    """Every step from the ids to the last hidden state is made of the one before."""
    tables, ids = steps.tensors, [token.id for token in trace.tokens]
    at = trace.embeddings
    words = tables["embeddings.word_embeddings.weight"][ids]
    places = tables["embeddings.position_embeddings.weight"][: len(ids)]
    for name, table in (("word", words), ("position", places)):
        found = array(getattr(at, f"{name}_embeddings"))
        agree(np.array_equal(found, table), f"{name} embeddings")
    steps.total("summed", at.summed, at.word_embeddings, at.position_embeddings)
    steps.norm("embeddings.LayerNorm", at.LayerNorm, at.summed)
    agree(len(trace.layer) == steps.config["n_layers"], "layers")
    x = at.LayerNorm
    hidden = [x]
    for number, block in enumerate(trace.layer):
        same("x", block.x, x)
        check_attention(trace, number, steps)
        check_rest(block, number, steps)
        x = block.output_layer_norm
        hidden.append(x)
    for i, (found, expected) in enumerate(
        zip(trace.hidden_states, hidden, strict=True)
    ):
        same(f"hidden_states[{i}]", found, expected)
        lengths = np.sqrt(np.square(array(expected)).sum(axis=-1))
        steps.close(f"norms[{i}]", trace.norms[i], lengths, 4 * lengths)
    for found, block in zip(trace.attention, trace.layer, strict=True):
        same("attention", found, block.weights)


def check_attention(trace: Any, number: int, steps: Steps) -> None:
    """From what a block reads to what its attention returns."""
    block, name = trace.layer[number], f"transformer.layer.{number}.attention"
    for letter in "qkv":
        heads = getattr(block, letter)  # (H, T, K)
        agree(heads.shape[0] == steps.config["n_heads"], f"heads of {letter}")
        steps.linear(f"{name}.{letter}_lin", side_by_side(heads), block.x)
    q, k, v = (array(getattr(block, letter)) for letter in "qkv")
    size = np.abs(q) @ np.abs(k).swapaxes(1, 2)
    steps.close("products", block.products, q @ k.swapaxes(1, 2), size)
    attend = torch.tensor([token.attend for token in trace.tokens])
    seen = block.scores.isfinite()
    agree(torch.equal(seen, attend.expand_as(seen)), "scores are masked elsewhere")
    agree((block.scores[~seen] < 0).all(), "a masked score is not -inf")
    exact = array(block.products) / math.sqrt(q.shape[-1])
    found = block.scores.where(seen, 0)
    steps.close("scores", found, np.where(seen, exact, 0), np.abs(exact))
    steps.softmax("weights", block.weights, block.scores)
    agree(not block.weights[~seen].any(), "what is masked has a weight")
    weights = array(block.weights)
    steps.close("mixed", block.mixed, weights @ v, weights @ np.abs(v))
    steps.linear(f"{name}.out_lin", block.out_lin, side_by_side(block.mixed))


def side_by_side(heads: Tensor) -> Tensor:
    """(H, T, K) -> (T, H * K)."""
    return torch.cat([*heads], dim=-1)


def check_rest(block: Any, number: int, steps: Steps) -> None:
    """From what attention returns to what the block does."""
    name = f"transformer.layer.{number}"
    summed = block.attended_plus_x
    steps.total("attended_plus_x", summed, block.out_lin, block.x)
    steps.norm(f"{name}.sa_layer_norm", block.sa_layer_norm, summed)
    steps.linear(f"{name}.ffn.lin1", block.lin1, block.sa_layer_norm)
    steps.activation("activation", block.activation, block.lin1)
    steps.linear(f"{name}.ffn.lin2", block.lin2, block.activation)
    steps.total("fed_forward", block.fed_forward, block.lin2, block.sa_layer_norm)
    steps.norm(f"{name}.output_layer_norm", block.output_layer_norm, block.fed_forward)


def check_classifier(trace: Any, steps: Steps, function: str) -> None:
    """Every step from the last hidden state to the label is made of the one before."""
    head = trace.head
    same("cls", head.cls, trace.hidden_states[-1][0])
    steps.linear("pre_classifier", head.pre_classifier, head.cls)
    above = np.maximum(array(head.pre_classifier), 0)
    agree(np.array_equal(array(head.relu), above), "relu")
    steps.linear("classifier", head.logits, head.relu)
    agree(head.function == function, f"the function is {head.function}")
    logits = array(head.logits)
    if function == "softmax":
        steps.softmax("probabilities", head.probabilities, head.logits)
    if function == "sigmoid":
        exact = 1 / (1 + np.exp(-logits))
        steps.close("probabilities", head.probabilities, exact, np.ones_like(exact))
    if function == "none":
        same("probabilities", head.probabilities, head.logits)
    same("answer", trace.answer, head.probabilities)
    agree(trace.target == int(logits.argmax()), f"the target is {trace.target}")
    names = steps.config["id2label"]
    agree(trace.label == names[str(trace.target)], f"the label is {trace.label}")


def check_masked_lm(trace: Any, steps: Steps, vocabulary: Sequence[str]) -> None:
    """Every step from the masks' vectors to the words is made of the one before."""
    head = trace.head
    masks = [i for i, token in enumerate(trace.tokens) if token.text == "[MASK]"]
    agree(list(head.masks) == masks, f"the masks are at {head.masks}")
    last = trace.hidden_states[-1][masks]
    steps.linear("vocab_transform", head.vocab_transform, last)
    steps.activation("vocab activation", head.activation, head.vocab_transform)
    steps.norm("vocab_layer_norm", head.vocab_layer_norm, head.activation)
    # In the file there may be one matrix that reads words in and scores words out.
    words = steps.tensors["embeddings.word_embeddings.weight"]
    tied = {"vocab_projector.weight": words} | {**steps.tensors}
    Steps(tied, steps.config, steps.unit).linear(
        "vocab_projector", head.logits, head.vocab_layer_norm
    )
    steps.softmax("probabilities", head.probabilities, head.logits)
    same("answer", trace.answer, head.probabilities[0])
    agree(trace.target == int(head.logits[0].argmax()), f"the target: {trace.target}")
    agree(trace.label == vocabulary[trace.target], f"the word is {trace.label}")


def check_trace(trace: Any, folder: Path, function: str = "softmax") -> None:
    """Every step is made of the one before, with the tensors of the file."""
    steps = Steps(tensors_of(folder), config_of(folder))
    check_encoder(trace, steps)
    kind = architecture(folder)
    if kind.endswith("ForSequenceClassification"):
        check_classifier(trace, steps, function)
    elif kind.endswith("ForMaskedLM"):
        check_masked_lm(trace, steps, vocabulary_of(folder))
    else:
        agree(trace.head is None, "a head is shown that is not explained")
        agree(trace.not_shown, "nothing says what is not shown")
        return
    agree(trace.not_shown == "", f"what is shown is called {trace.not_shown}")


@torch.no_grad()
def check_theirs(
    traces: Sequence[Any],
    folder: Path,
    texts: list[str],
    pairs: list[str] | None = None,
    *,
    tolerance: float = FLOAT32,
) -> None:
    """Every number that transformers gives for a batch is the trace's too.

    Of a head that is not shown, what transformers' encoder gives. To the last bit
    (``tolerance=0``) if both models were put in `own_memory`.
    """
    encoded = theirs_of(folder, texts, pairs)
    out = their_model(folder, whole=traces[0].head is not None)(
        encoded["input_ids"],
        attention_mask=encoded["attention_mask"],
        output_hidden_states=True,
        output_attentions=True,
    )
    for row, trace in enumerate(traces):
        expected = {
            "hidden_states": [state[row] for state in out.hidden_states],
            "attentions": [weights[row] for weights in out.attentions],
        }
        found = {"hidden_states": trace.hidden_states, "attentions": trace.attention}
        if trace.head is not None:
            masks = getattr(trace.head, "masks", None)
            logits = out.logits[row]
            expected["logits"] = logits if masks is None else logits[[*masks]]
            found["logits"] = trace.head.logits
        assert_same(found, expected, tolerance=tolerance)


@cache
def their_model(folder: Path, *, whole: bool) -> nn.Module:
    """A checkpoint in transformers, or just the encoder of it."""
    name = architecture(folder) if whole else "DistilBertModel"
    kind = getattr(transformers, name)
    model = kind.from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float32
    )
    return own_memory(model.eval())


def own_memory(model: nn.Module) -> nn.Module:
    """Move each parameter out of the file that it is mapped from.

    The last bit of a matrix product depends on how its operands are aligned.
    """
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()
    return model


@cache
def config_of(folder: Path) -> dict[str, Any]:
    """A checkpoint's configuration, with what it leaves to transformers' defaults."""
    config = transformers.AutoConfig.from_pretrained(folder).to_dict()
    names = {str(number): name for number, name in config["id2label"].items()}
    return config | {"id2label": names}


def architecture(folder: Path) -> str:
    (name,) = json.loads((folder / "config.json").read_text())["architectures"]
    return name


@cache
def tokenizer_of(folder: Path) -> Any:
    return transformers.AutoTokenizer.from_pretrained(folder)


@cache
def vocabulary_of(folder: Path) -> list[str]:
    return (folder / "vocab.txt").read_text("utf-8").split("\n")


def theirs_of(folder: Path, texts: list[str], pairs: list[str] | None) -> Any:
    """What transformers' tokenizer makes of a batch that is cut to the model's size."""
    positions = json.loads((folder / "config.json").read_text())
    return tokenizer_of(folder)(
        texts,
        pairs,
        truncation=True,
        max_length=min(512, positions["max_position_embeddings"]),
        padding=True,
        return_tensors="pt",
    )


def check_tokens(
    traces: Sequence[Any], folder: Path, texts: list[str], pairs: list[str] | None
) -> None:
    """The tokens are those of transformers' tokenizer, places and words included."""
    encoded = theirs_of(folder, texts, pairs)
    for row, trace in enumerate(traces):
        found = [
            (token.text, token.id, token.word, token.reading, token.attend)
            for token in trace.tokens
        ]
        expected = zip(
            encoded.tokens(row),
            encoded["input_ids"][row].tolist(),
            encoded.word_ids(row),
            encoded.sequence_ids(row),
            map(bool, encoded["attention_mask"][row].tolist()),
            strict=True,
        )
        agree(found == [*expected], f"tokens {found}")
        for place, token in enumerate(trace.tokens):
            span = encoded.token_to_chars(row, place) or (None, None)
            # Theirs gives some span for [CLS] and [SEP], which stand for nothing.
            span = (None, None) if token.word is None else tuple(span)
            agree((token.start, token.end) == span, f"{token} is at {span}")


def greedy(word: str, vocabulary: frozenset[str]) -> list[tuple[str, int, int, bool]]:
    """Longest match first: all that is looked up for a word, by the definition."""
    looked_up, start = [], 0
    while start < len(word):
        for end in range(len(word), start, -1):
            piece = word[start:end] if start == 0 else f"##{word[start:end]}"
            looked_up.append((piece, start, end, piece in vocabulary))
            if piece in vocabulary:
                break
        else:
            return looked_up
        start = end
    return looked_up


def check_reading(trace: Any, number: int, raw: str, folder: Path) -> None:
    """Words, their places and what was looked up, of a text without literals.

    Clean text and words are those of `tokenizers`.
    """
    reading = trace.readings[number]
    vocabulary = frozenset(vocabulary_of(folder))
    tokens = [token for token in trace.tokens if token.reading == number]
    normalizer = BertNormalizer()
    cleaned = normalizer.normalize_str(raw)
    words = [word for word, _ in BertPreTokenizer().pre_tokenize_str(cleaned)]
    agree(reading.raw == raw, f"the raw text is {reading.raw!r}")
    agree(reading.note == "", reading.note)
    agree(reading.cleaned == cleaned, f"the clean text is {reading.cleaned!r}")
    read = max((token.word + 1 for token in tokens), default=0)
    found = [word.text for word in reading.words]
    agree(found == words[:read], f"the words are {found}")
    for i, word in enumerate(reading.words):
        own = normalizer.normalize_str(raw[word.start : word.end]).strip()
        agree(own == word.text, f"{word.text!r} is not at {word.start}:{word.end}")
        mine = [token.text for token in tokens if token.word == i]
        check_attempts(word, mine, vocabulary, is_last=i == read - 1)
    all_of_it = tokenizer_of(folder)(raw, add_special_tokens=False)["input_ids"]
    left_out = len(all_of_it) - len(tokens)
    agree(reading.left_out == left_out, f"{reading.left_out} tokens are left out")


def check_attempts(
    word: Any, tokens: list[str], vocabulary: frozenset[str], *, is_last: bool
) -> None:
    """What was looked up for a word, and that it makes the word's tokens."""
    looked_up = [tuple(attempt) for attempt in word.attempts]
    expected = [] if len(word.text) > LONGEST_WORD else greedy(word.text, vocabulary)
    agree(looked_up == expected, f"{word.text!r} was looked up as {looked_up}")
    pieces = [text for text, _, _, found in expected if found]
    whole = bool(expected) and expected[-1][3] and expected[-1][2] == len(word.text)
    pieces = pieces if whole else ["[UNK]"]
    # Of the last word only the beginning may have been read.
    agree(tokens == pieces[: len(tokens) if is_last else None], f"tokens {tokens}")
