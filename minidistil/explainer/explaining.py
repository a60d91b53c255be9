"""One text through the model, with nothing hidden: ``explain(text, model)``."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

from minidistil.checkpoint.pretrained import PreTrainedModel
from minidistil.explainer.reading import Token, read, tokens_of
from minidistil.explainer.recorder import Recording
from minidistil.explainer.subject import NOT_SHOWN, Subject, load, loaded
from minidistil.explainer.trace import ClassifierTrace, MaskedLMTrace, Trace, Traces
from minidistil.heads import DistilBertForMaskedLM, DistilBertForSequenceClassification
from minidistil.messages import unknown_keyword
from minidistil.pipelines import Pipeline
from minidistil.tokenizer import DistilBertTokenizer

Model = str | os.PathLike[str] | PreTrainedModel | Pipeline[Any]


def explain(
    text: str,
    model: Model | None = None,
    *,
    text_pair: str | None = None,
    tokenizer: DistilBertTokenizer | None = None,
    **where: Any,
) -> Trace:
    """Run the readable model once and keep every number on the way to the label.

    >>> trace = explain("I hate this so much!", "tiny")
    >>> trace.label, [token.text for token in trace.tokens[:3]]
    ('NEGATIVE', ['[CLS]', 'i', 'hate'])
    >>> trace.layer[0].weights.shape  # heads, tokens that look, tokens looked at
    torch.Size([8, 8, 8])

    Args:
        text: Of a text that is too long the beginning is read; a warning, and
            `Reading.left_out`, say how many tokens are not.
        model: ``"tiny"``, a folder or a hub repository, with any head; or a model that
            is loaded, with its ``tokenizer``; or a pipeline that was made of such a
            model, not of an engine. By default the course's.
        text_pair: The second text, where a model reads pairs (a question's context).
        tokenizer: Of a model that is loaded; a pipeline has its own.
        where: ``revision``, ``token``, ``cache_dir``, ``local_files_only``: for hub
            repositories, see `from_pretrained`.

    Raises:
        CheckpointNotFoundError, ConfigError, CheckpointError: as `from_pretrained`.
        TypeError: for a text that is no string, or a model that cannot be watched: an
            engine, or one with layers or hooks that the steps would not show.
        ValueError: for a loaded model without its tokenizer or in training mode, or
            for what goes with the other kind of model: ``tokenizer`` with a name,
            ``where`` with a loaded one.
    """
    pairs = None if text_pair is None else [text_pair]
    _check_texts([text], pairs)
    (trace,) = _run(_subject(model, tokenizer, where), [text], pairs)
    return trace


def compare(
    texts: Sequence[str],
    model: Model | None = None,
    *,
    text_pairs: Sequence[str] | None = None,
    padding: bool = False,
    tokenizer: DistilBertTokenizer | None = None,
    **where: Any,
) -> Traces:
    """Explain several texts, to be seen side by side.

    >>> [trace.label for trace in compare(["Not bad", "I hate this!"], "tiny")]
    ['POSITIVE', 'NEGATIVE']

    Args:
        texts: One or more.
        model: As in `explain`, and so is what is not said here.
        text_pairs: The second texts; as many as texts.
        padding: Run the texts as one batch, padded to one length, with a mask that
            hides the padding, in place of one by one.
        tokenizer: Of a model that is loaded.
        where: For hub repositories.

    Raises:
        As `explain`, and ValueError for no text, or not as many second texts as texts.
    """
    firsts = _as_list(texts)
    seconds = None if text_pairs is None else _as_list(text_pairs)
    _check_texts(firsts, seconds)
    subject = _subject(model, tokenizer, where)
    if padding:
        return Traces(_run(subject, firsts, seconds))
    return Traces(
        trace
        for i, text in enumerate(firsts)
        for trace in _run(subject, [text], seconds and [seconds[i]])
    )


def _as_list(texts: Sequence[str]) -> list[str]:
    if isinstance(texts, str | bytes) or not isinstance(texts, Iterable):
        raise TypeError(f"texts is {texts!r:.60}, expected a list of strings")
    return list(texts)


def _check_texts(texts: list[str], pairs: list[str] | None) -> None:
    if not texts:
        raise ValueError("there is no text, expected one or more")
    for text in (*texts, *(pairs or ())):
        if not isinstance(text, str):
            raise TypeError(
                f"a text is {text!r:.60} ({type(text).__name__}), expected a string"
            )
    if pairs is not None and len(pairs) != len(texts):
        raise ValueError(
            f"the second texts do not go with the texts: got {len(pairs)} for "
            f"{len(texts)}, expected one for each"
        )


def _subject(
    model: Model | None, tokenizer: DistilBertTokenizer | None, where: dict[str, Any]
) -> Subject:
    known = ("revision", "token", "cache_dir", "local_files_only")
    if unknown := where.keys() - known:
        raise unknown_keyword(unknown, known, "explain")
    if model is None or isinstance(model, str | os.PathLike):
        if tokenizer is not None:
            raise ValueError(
                "a checkpoint has its own tokenizer: leave out tokenizer=, or give the "
                "loaded model with it"
            )
        return load(model, **where)
    if where:
        raise ValueError(
            f"{', '.join(where)} is for the name of a checkpoint, and this model is "
            f"loaded: leave it out"
        )
    return loaded(model, tokenizer)


def _run(subject: Subject, texts: list[str], pairs: list[str] | None) -> list[Trace]:
    """Trace some texts as one batch."""
    tokenizer, model = subject.tokenizer, subject.watched
    encoded = tokenizer(
        texts,
        pairs,
        truncation=True,
        max_length=subject.limit,
        padding=True,
        padding_side="right",  # the head of a classifier reads the first token
        return_tensors="pt",
        return_offsets_mapping=True,
    ).to(model.device)
    recording = Recording(model, encoded["input_ids"], encoded["attention_mask"])
    traces = [
        _trace(
            subject,
            recording,
            row,
            # An empty second text is none, to the tokenizer too.
            [text, *(pair for pair in (pairs or [])[row : row + 1] if pair)],
            tokens_of(encoded, row),
        )
        for row, text in enumerate(texts)
    ]
    for reading in (reading for trace in traces for reading in trace.readings):
        if reading.left_out:
            warnings.warn(
                f"{reading.left_out} tokens of the text {reading.raw[:60]!r} are left "
                f"out: the model has room for {subject.limit}",
                stacklevel=1,
            )
    return traces


def _trace(
    subject: Subject,
    recording: Recording,
    row: int,
    texts: list[str],
    tokens: tuple[Token, ...],
) -> Trace:
    head, not_shown = _head(subject, recording, row, tokens)
    return Trace(
        tuple(
            read(subject.tokenizer, text, sum(token.reading == i for token in tokens))
            for i, text in enumerate(texts)
        ),
        tokens,
        recording.embeddings(row),
        tuple(recording.block(i, row) for i in range(subject.model.config.n_layers)),
        head,
        not_shown,
        subject,
    )


def _head(
    subject: Subject, recording: Recording, row: int, tokens: tuple[Token, ...]
) -> tuple[ClassifierTrace | MaskedLMTrace | None, str]:
    """What the head computed, or why that is not shown."""
    if isinstance(subject.model, DistilBertForSequenceClassification):
        return recording.classifier(row), ""
    if not isinstance(subject.model, DistilBertForMaskedLM):
        return None, NOT_SHOWN[type(subject.model)]
    mask = subject.tokenizer.mask_token_id
    masks = tuple(i for i, token in enumerate(tokens) if token.id == mask)
    if masks:
        return recording.masked_lm(row, masks), ""
    written = subject.tokenizer.mask_token
    return None, f"there is no {written} in what is read, so no word is guessed"
