"""Text in, answers out.

    text ─ tokenizer ─ ids ─ engine ─ logits ─ softmax ─ label and score

The engine gives what the model gives, sooner (`minidistil.engine`); a pipeline runs on
either. The names, the options and the shapes of the results are those of transformers'
pipelines; what differs is that no text is too long (see ``truncation``).
"""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Literal

import torch
from torch import Tensor

from minidistil.config import DistilBertConfig
from minidistil.engine import Engine, check_precision
from minidistil.heads import DistilBertForSequenceClassification
from minidistil.keywords import unknown_keyword
from minidistil.pretrained import usable_device
from minidistil.tokenizer import DistilBertTokenizer

# What the course and transformers use when no model is named, at their revision.
DEFAULT_MODEL = "distilbert/distilbert-base-uncased-finetuned-sst-2-english"
DEFAULT_REVISION = "714eb0fa89d2f80546fda750413ed43d93601a13"

TASKS = ("sentiment-analysis", "text-classification")

# Texts are tokenized and sorted this many at a time, so that memory does not grow
# with their number.
CHUNK = 1024

Ids = list[int]
Text = str | Mapping[str, str]
Texts = tuple[str, ...]  # one text, or the two of a pair
Answer = dict[str, str | float]


def softmax(logits: Tensor) -> Tensor:
    """Scores (…, C) that add up to 1: one label is right."""
    return logits.softmax(dim=-1)


def unchanged(logits: Tensor) -> Tensor:
    """The logits themselves, as a regression's answer."""
    return logits


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "softmax": softmax,
    "sigmoid": torch.sigmoid,
    "none": unchanged,
}


def function_for(config: DistilBertConfig) -> str:
    """Which of `FUNCTIONS` a classifier's logits ask for, by transformers' rule."""
    if config.problem_type == "regression":
        return "none"
    several = config.problem_type == "multi_label_classification"
    return "sigmoid" if several or config.num_labels == 1 else "softmax"


def take_head(ids: Ids, room: int) -> list[Ids]:
    """Keep the beginning."""
    return [ids[:room]]


def take_head_and_tail(ids: Ids, room: int) -> list[Ids]:
    """Keep a quarter from the beginning, the rest from the end.

    128 and 382 of 510 tokens did best on long film reviews in Sun et al. 2019, "How to
    Fine-Tune BERT for Text Classification" (arXiv:1905.05583, table 2).
    """
    first = -(-room // 4)
    return [ids[:first] + ids[len(ids) - (room - first) :]]


def take_windows(ids: Ids, room: int) -> list[Ids]:
    """Keep all, in windows of equal length that overlap by a quarter or more."""
    step = max(1, room - room // 4)
    starts = [*range(0, len(ids) - room, step), len(ids) - room]
    return [ids[start : start + room] for start in starts]


def refuse(ids: Ids, room: int) -> list[Ids]:
    """Keep nothing: the text is too long."""
    raise ValueError(
        f"a text has {len(ids)} tokens (and [CLS] and [SEP]), expected at most {room}: "
        f"shorten it, or choose truncation='head', 'head+tail' or 'window'"
    )


CUTS: dict[str, Callable[[Ids, int], list[Ids]]] = {
    "head": take_head,
    "head+tail": take_head_and_tail,
    "window": take_windows,
    "error": refuse,
}


@dataclasses.dataclass(frozen=True)
class Options:
    """How a pipeline answers; given to it or to a call, which goes before.

    Attributes:
        top_k: How many labels, best first; None for all. "best" is one label, without
            the list around it.
        function_to_apply: "softmax", "sigmoid" or "none" makes scores of logits; by
            default what the model's problem asks for.
        truncation: What to do about a text that is too long. "head" reads its
            beginning, "head+tail" its beginning and end, "window" all of it in
            overlapping windows whose scores are averaged; "error" refuses. The default
            is "head" with a warning. True is "head", False is "error".
        max_length: The tokens a text may have, with [CLS] and [SEP]; by default, and
            at most, as many as the model has positions.
        batch_size: The texts that go through a model together. An engine goes by
            tokens, and ignores it.
        padding: Accepted and ignored: answers do not depend on it.
    """

    top_k: int | Literal["best"] | None = "best"
    function_to_apply: str | None = None
    truncation: str | bool | None = None
    max_length: int | None = None
    batch_size: int = 32
    padding: object = None

    def __post_init__(self) -> None:
        if self.top_k not in (None, "best"):
            _check_integer("top_k", self.top_k, minimum=1)
        if self.max_length is not None:
            # Room for one token between [CLS] and [SEP].
            _check_integer("max_length", self.max_length, minimum=3)
        _check_integer("batch_size", self.batch_size, minimum=1)
        function = self.function_to_apply
        if function is not None and str(function).lower() not in FUNCTIONS:
            raise ValueError(
                f"function_to_apply is {self.function_to_apply!r}, expected one of "
                f"{', '.join(FUNCTIONS)}"
            )
        # 0 and 1 are equal to False and True, and neither.
        known = self.truncation is None or isinstance(self.truncation, bool)
        if not known and self.truncation not in CUTS:
            raise ValueError(
                f"truncation is {self.truncation!r}, expected one of {', '.join(CUTS)}"
            )

    def changed(self, changes: Mapping[str, Any]) -> Options:
        """Return a copy with some options changed; TypeError for one unknown."""
        known = [field.name for field in dataclasses.fields(self)]
        if unknown := changes.keys() - known:
            raise unknown_keyword(unknown, known, "the pipeline")
        return dataclasses.replace(self, **changes)


class TextClassificationPipeline:
    """Classify texts: ``pipe("I love it")`` is ``[{"label": …, "score": …}]``.

    Nothing in it changes after it is made, so that threads can share it.
    """

    task = "text-classification"

    def __init__(
        self,
        model: DistilBertForSequenceClassification | Engine,
        tokenizer: DistilBertTokenizer,
        **options: Any,
    ) -> None:
        kind = model.kind if isinstance(model, Engine) else type(model)
        if not issubclass(kind, DistilBertForSequenceClassification):
            raise TypeError(
                f"got a {kind.__name__}, expected a "
                f"DistilBertForSequenceClassification, or an Engine of one"
            )
        if not isinstance(tokenizer, DistilBertTokenizer):
            raise TypeError(
                f"the tokenizer is a {type(tokenizer).__name__}, expected a "
                f"DistilBertTokenizer"
            )
        if len(tokenizer) > model.config.vocab_size:
            raise ValueError(
                f"the tokenizer knows {len(tokenizer)} tokens and the model "
                f"{model.config.vocab_size}: they are of two different checkpoints"
            )
        self.model = model
        self.tokenizer = tokenizer
        self.options = Options().changed(options)

    def __call__(self, inputs: Any, **options: Any) -> Any:
        """Classify one text or many.

        Args:
            inputs: A string, or a pair ``{"text": …, "text_pair": …}``; a list of
                such; or an iterator of them, which is read as the answers are taken.
            options: Any of `Options`, for this call.

        Returns:
            For a list, one answer for each text: ``{"label", "score"}``, or with
            ``top_k`` a list of them. For one string likewise, in a list if the call
            does not say ``top_k``. For an iterator, an iterator.

        Raises:
            TypeError: for a text that is no string, or an unknown option.
            ValueError: for a text too long under truncation="error", an option out of
                range, or a model in training mode.
        """
        settings = self.options.changed(options)
        if not isinstance(self.model, Engine) and self.model.training:
            raise ValueError(
                "the model is in training mode, where dropout makes answers random: "
                "call model.eval() first"
            )
        if isinstance(inputs, str | Mapping):
            (answer,) = self._answer([_as_texts("the text", inputs)], settings)
            is_bare = isinstance(inputs, str) and "top_k" not in options
            return [answer] if is_bare else answer
        if isinstance(inputs, bytes | bytearray) or not isinstance(inputs, Iterable):
            raise _not_a_text("the text", inputs)
        each = (_as_texts(f"text {i}", text) for i, text in enumerate(inputs))
        if isinstance(inputs, Iterator):
            return self._answer_each(each, settings)
        # All are looked at first: a mistake at the end costs no minutes.
        return list(self._answer_each(iter([*each]), settings))

    @property
    def max_length(self) -> int:
        """The tokens that the model can read at once, [CLS] and [SEP] included."""
        positions = self.model.config.max_position_embeddings
        return int(min(self.tokenizer.model_max_length, positions))

    def _answer_each(self, texts: Iterator[Texts], options: Options) -> Iterator[Any]:
        mistake = None
        while mistake is None:
            chunk: list[Texts] = []
            try:
                chunk.extend(islice(texts, CHUNK))
            except (TypeError, ValueError) as error:
                mistake = error  # raised when what came before it is answered
            if not chunk:
                break
            yield from self._answer(chunk, options)
        if mistake is not None:
            raise mistake

    def _answer(self, texts: list[Texts], options: Options) -> list[Any]:
        """Give each text its answer: the mean of the scores of its parts."""
        parts = self._encode(texts, options)
        logits = self._logits([ids for part in parts for ids in part], options)
        scores = FUNCTIONS[self._function(options)](logits)  # (parts, C)
        means = [each.mean(dim=0) for each in torch.split(scores, [*map(len, parts)])]
        return [self._name(mean.tolist(), options) for mean in means]

    def _encode(self, texts: list[Texts], options: Options) -> list[list[Ids]]:
        """Turn each text into lists of ids that fit the model, one for each part."""
        pieces = iter(self._pieces([one for both in texts for one in both]))
        limit = min(self.max_length, options.max_length or self.max_length)
        return [
            self._fit(both, [next(pieces) for _ in both], limit, options.truncation)
            for both in texts
        ]

    def _pieces(self, texts: list[str]) -> list[Ids]:
        """Return all the ids of each text, however many, without [CLS] and [SEP]."""
        encoded = self.tokenizer(
            texts,
            add_special_tokens=False,
            truncation=True,
            return_overflowing_tokens=True,
        )
        pieces: list[Ids] = [[] for _ in texts]
        origins = encoded["overflow_to_sample_mapping"]
        for ids, origin in zip(encoded["input_ids"], origins, strict=True):
            pieces[origin] += ids
        return pieces

    def _fit(
        self, texts: Texts, pieces: list[Ids], limit: int, truncation: str | bool | None
    ) -> list[Ids]:
        """Put [CLS] and [SEP] around a text; cut it as the caller wants if need be."""
        cls, sep = self.tokenizer.cls_token_id, self.tokenizer.sep_token_id
        whole = [cls, *(i for ids in pieces for i in (*ids, sep))]
        if len(whole) <= limit:
            return [whole]
        how = _how_to_cut(truncation)
        if len(texts) == 1:
            return [[cls, *part, sep] for part in CUTS[how](pieces[0], limit - 2)]
        if how != "head":
            raise ValueError(
                f"a pair of texts has {len(whole)} tokens, expected at most {limit}: "
                f"shorten it, or use truncation='head', the only one for pairs"
            )
        # Which of the two loses how much is the tokenizer's rule.
        cut = self.tokenizer(*texts, truncation=True, max_length=limit)
        return [cut["input_ids"]]

    def _logits(self, sequences: list[Ids], options: Options) -> Tensor:
        """Run the model on sequences of any lengths; float32 (sequences, C)."""
        if isinstance(self.model, Engine):
            return torch.stack(self.model(sequences))
        # Sequences of like length share a batch: little of it is padding.
        order = sorted(range(len(sequences)), key=lambda i: len(sequences[i]))
        logits = torch.empty(len(sequences), self.model.config.num_labels)
        for start in range(0, len(order), options.batch_size):
            places = order[start : start + options.batch_size]
            batch = self.tokenizer.pad(
                {"input_ids": [sequences[i] for i in places]}, return_tensors="pt"
            ).to(self.model.device)
            with torch.inference_mode():
                logits[places] = self.model(**batch).logits.float().cpu()
        return logits

    def _function(self, options: Options) -> str:
        """What makes scores of logits: the caller's word, or the model's."""
        if options.function_to_apply is not None:
            return options.function_to_apply.lower()
        return function_for(self.model.config)

    def _name(self, scores: list[float], options: Options) -> Answer | list[Answer]:
        """Put the labels to the scores (C,), the best first."""
        names = self.model.config.id2label
        answers: list[Answer] = [
            {"label": names[i], "score": score} for i, score in enumerate(scores)
        ]
        answers.sort(key=lambda answer: answer["score"], reverse=True)
        return answers[0] if options.top_k == "best" else answers[: options.top_k]


def _how_to_cut(truncation: str | bool | None) -> str:
    """Return the key of `CUTS`; a warning if the caller did not choose."""
    if truncation is None:
        # Always from this line and in these words: Python then shows it once.
        warnings.warn(
            "a text is longer than the model can read, and only its beginning is read; "
            "truncation='head' says that this is meant, 'head+tail' and 'window' read "
            "more of it, 'error' refuses it",
            stacklevel=1,
        )
    if isinstance(truncation, str):
        return truncation
    return "error" if truncation is False else "head"


def _as_texts(name: str, value: object) -> Texts:
    """Return (text,) or (text, text_pair)."""
    if isinstance(value, str):
        return (value,)
    if isinstance(value, Mapping) and value.keys() in ({"text"}, {"text", "text_pair"}):
        # An empty second text is none, as in transformers.
        texts = (value["text"], *filter(None, [value.get("text_pair")]))
        if all(isinstance(text, str) for text in texts):
            return texts
    raise _not_a_text(name, value)


def _not_a_text(name: str, value: object) -> TypeError:
    return TypeError(
        f"{name} is {value!r:.60} ({type(value).__name__}), expected a string, a pair "
        f'{{"text": …, "text_pair": …}}, or a list of them'
    )


def _check_integer(name: str, value: object, *, minimum: int) -> None:
    # bool is a subclass of int; top_k=True is a mistake.
    if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
        raise ValueError(f"{name} is {value!r}, expected {minimum} or more, an integer")


def pipeline(
    task: str = "text-classification",
    model: str
    | os.PathLike[str]
    | DistilBertForSequenceClassification
    | Engine
    | None = None,
    *,
    tokenizer: str | os.PathLike[str] | DistilBertTokenizer | None = None,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
    precision: str | None = None,
    dtype: torch.dtype | str | None = None,
    device: torch.device | str | int | None = None,
    attn_implementation: str | None = None,
    **options: Any,
) -> TextClassificationPipeline:
    """Make a pipeline for a task: ``pipeline("sentiment-analysis", model="tiny")``.

    Args:
        task: "sentiment-analysis" or "text-classification", one under two names.
        model: ``"tiny"``, a folder, a hub repository, or a model or an engine that is
            loaded already. By default `DEFAULT_MODEL` at `DEFAULT_REVISION`.
        tokenizer: The same; by default the model's.
        revision: With the next three, for hub repositories: see `from_pretrained`.
        token: The hub token.
        cache_dir: The hub cache.
        local_files_only: Never use the network.
        precision: "float32", "bfloat16" or "int8": what an engine computes in, see
            `minidistil.engine`. By default "float32"; but a loaded model runs itself
            unless a precision is asked for, and then a copy of it is packed.
        dtype: Run the model itself, with weights of this type, without an engine.
        device: Where the model goes; a number counts GPUs, -1 is the CPU.
        attn_implementation: Run the model itself, with ``"sdpa"`` or ``"eager"``.
        options: Any of `Options`: ``top_k``, ``truncation``, …

    Without ``dtype`` and ``attn_implementation`` the files are mapped: they must not be
    changed in place while the pipeline is used.

    Raises:
        ValueError: for an unknown task, a loaded model without a tokenizer, a device
            that this machine does not have, or a precision for what has one already.
        TypeError: for an unknown option.
    """
    if task not in TASKS:
        raise ValueError(f"task is {task!r}, expected one of {', '.join(TASKS)}")
    Options().changed(options)  # a mistake shows before anything is loaded
    itself = dtype is not None or attn_implementation is not None
    if precision is not None:
        check_precision(precision)
        if itself:
            raise ValueError(
                "dtype and attn_implementation are for the model itself, precision is "
                "for the engine: give the one or the other"
            )
    if itself and not isinstance(model, str | os.PathLike | None):
        raise ValueError(
            "dtype and attn_implementation are for a model that is still to be loaded: "
            "give them to from_pretrained"
        )
    if model is None:
        model, revision = DEFAULT_MODEL, revision or DEFAULT_REVISION
    where: dict[str, Any] = {
        "revision": revision,
        "token": token,
        "cache_dir": cache_dir,
        "local_files_only": local_files_only,
    }
    if tokenizer is None:
        if not isinstance(model, str | os.PathLike):
            raise ValueError(
                "a loaded model does not know its tokenizer: give tokenizer= too"
            )
        tokenizer = model
    if isinstance(tokenizer, str | os.PathLike):
        same = tokenizer == model
        tokenizer = DistilBertTokenizer.from_pretrained(
            tokenizer, **(where if same else where | {"revision": None})
        )
    place = None if device is None else _real(usable_device(device))
    if isinstance(model, Engine):
        other = precision not in (None, model.precision)
        # "cuda" is "cuda:0".
        if other or (place is not None and place.type != model.device.type):
            raise ValueError(
                f"the engine computes in {model.precision} on {model.device}: make "
                f"another one for another precision or device"
            )
    elif isinstance(model, str | os.PathLike):
        if itself:
            model = DistilBertForSequenceClassification.from_pretrained(
                model,
                dtype=torch.float32 if dtype is None else dtype,
                device=place,
                attn_implementation=attn_implementation or "sdpa",
                **where,
            )
        else:
            model = Engine.from_pretrained(
                model,
                DistilBertForSequenceClassification,
                precision or "float32",
                device=place,
                **where,
            )
    else:
        model = model if place is None else model.to(place)
        model = model if precision is None else Engine(model, precision)
    return TextClassificationPipeline(model, tokenizer, **options)


def _real(device: torch.device) -> torch.device:
    if device.type == "meta":
        raise ValueError("device 'meta' cannot be used: it has shapes, no numbers")
    return device
