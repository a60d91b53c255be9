"""Does a checkpoint give the right numbers: on this device, in this type and precision?

Three questions. Is the file the one that the hub has? Are the answers those that were
published, for a checkpoint that any were published of? And are they what the model
says in float64, the engine's too?
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from minidistil.auto import kind_of
from minidistil.checkpoint.pretrained import PreTrainedModel, usable_device
from minidistil.checkpoint.tensors import (
    INDEX_FILE,
    SINGLE_FILE,
    CheckpointError,
    Contents,
    no_safetensors,
    read_index,
)
from minidistil.config import DistilBertConfig
from minidistil.engine import Engine
from minidistil.heads import DistilBertForMultipleChoice
from minidistil.hub import (
    CheckpointFiles,
    CheckpointNotFoundError,
    HubCheckpointFiles,
    open_checkpoint,
)
from minidistil.messages import first_line
from minidistil.model import DistilBertModel
from minidistil.pipelines.base import as_one_tensor
from minidistil.progress import (
    counting_bytes,
    counting_seconds,
    counting_sequences,
    steps,
)
from minidistil.tokenizer import DistilBertTokenizer
from minidistil.weights import goldens
from minidistil.weights.catalogue import hub_files
from minidistil.weights.distance import Results, compare, read
from minidistil.weights.headers import read_headers

# How far the numbers of a trained checkpoint (its logits have a deviation of 2.6) may
# be off where they are computed in less than float32: what the engine's own tests
# allow. On another device than the CPU float32 may mean fewer bits (TF32).
SLACK = {
    "float64": 0.0,
    "float32": 0.0,  # the digits that were printed are fewer than it has
    "float32 on a device": 1e-2,
    "float16": 0.05,
    "bfloat16": 0.15,
    "int8": 0.4,
}
_LENGTHS = (1, 2, 7, 32, 33, 130, 512)  # tokens, of the sequences that are tried
_CHUNK = 2**20


Answer = Callable[[Mapping[str, Tensor]], Tensor]  # see goldens.Answering


@dataclass(frozen=True)
class Check:
    """One thing that was checked.

    Attributes:
        name: What it was.
        status: "OK", "WRONG", or "SKIPPED" if it cannot be told.
        detail: The figures.
    """

    name: str
    status: str
    detail: str


@dataclass(frozen=True)
class Verification:
    """What was checked of a checkpoint.

    Attributes:
        source: What it is.
        kind: The class it was checked as; "unknown" if its headers are damaged.
        computing: What it was computed in, and where.
        checks: One that is "loading" if it is damaged, and then the last.
    """

    source: str
    kind: str
    computing: str
    checks: list[Check]

    @property
    def right(self) -> bool:
        """Whether nothing was wrong."""
        return all(check.status != "WRONG" for check in self.checks)


def verify(
    source: str | os.PathLike[str],
    *,
    precision: str = "float32",
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | int | None = None,
    attn_implementation: str = "sdpa",
    known_as: str | None = None,
    **where: Any,
) -> Verification:
    """Check a checkpoint's file and its answers.

    Args:
        source: ``"tiny"``, a folder, or a hub repository.
        precision: What the engine computes in: "float32", "bfloat16" or "int8".
        dtype: What the model computes in.
        device: Where both compute; the CPU unless asked.
        attn_implementation: How the model attends: "sdpa" or "eager".
        known_as: The hub repository that a folder was made from, whose published
            answers it is to give. That its file is the hub's own is told if it is.
        where: ``revision``, ``token``, ``cache_dir``, ``local_files_only``.

    Raises:
        CheckpointNotFoundError, ConfigError, CheckpointError: if there is no such
            checkpoint, or it is another model's, or a pickle.
        ValueError: if it cannot be computed in this way.
    """
    if known_as and not goldens.goldens_of(known_as):
        names = sorted({each["checkpoint"] for each in goldens.goldens()})
        raise ValueError(
            f"nothing published is known of {known_as!r}; known are {', '.join(names)}"
        )
    files = open_checkpoint(source, **where)
    config = DistilBertConfig.from_json_file(files.require("config.json"))
    if files.first(SINGLE_FILE, INDEX_FILE) is None:
        raise no_safetensors(files)
    loader = _Loader(source, where, precision, dtype, device, attn_implementation)
    known = known_as or (files.name if isinstance(files, HubCheckpointFiles) else "")
    published = goldens.goldens_of(known)
    kind = "unknown"
    checks: list[Check] = []
    try:
        # What was found out before an error stays.
        if known_as and not isinstance(files, HubCheckpointFiles):
            asked = not where.get("local_files_only", False)
            original = published[0]["checkpoint"]
            checks += _check_copies(files, original, where.get("token"), asked)
        else:
            checks += _check_files(files)
        chosen = _kind(files, config)
        kind = chosen.__name__
        exact = loader.exact(chosen)
    except CheckpointError as error:
        checks.append(Check("loading", "WRONG", str(error)))
    else:
        checks += _check_against_float64(loader, exact)
        checks += _check_goldens(loader, published, config.id2label)
    return Verification(str(files), kind, loader.computing, checks)


def _kind(files: CheckpointFiles, config: DistilBertConfig) -> type[PreTrainedModel]:
    """The class to check, by the headers of the files."""
    entries = [entry for header in read_headers(files) for entry in header.tensors]
    return kind_of(config, Contents(str(files), entries))


class _Loader:
    """Loads a checkpoint, once as each class that is asked for."""

    def __init__(
        self,
        source: str | os.PathLike[str],
        where: Mapping[str, Any],
        precision: str,
        dtype: torch.dtype,
        device: torch.device | str | int | None,
        attention: str,
    ) -> None:
        self._source = source
        self._where = where
        self._attention = attention
        self._dtype = dtype
        self._models: dict[str, PreTrainedModel] = {}
        self._engines: dict[str, Engine] = {}
        self._tokenizer: DistilBertTokenizer | None = None
        self.precision = precision
        self.dtype = str(dtype).removeprefix("torch.")
        self.device = usable_device(device)
        if self.device.type == "meta":
            raise ValueError("device 'meta' cannot be used: it has shapes, no numbers")
        self.computing = (
            f"model in {self.dtype} ({attention}), engine in {precision}, on "
            f"{self.device}"
        )

    def model(self, kind: type[PreTrainedModel]) -> PreTrainedModel:
        """The model, as it is to be checked."""
        if kind.__name__ not in self._models:
            with counting_seconds("loading"):
                self._models[kind.__name__] = kind.from_pretrained(
                    self._source,
                    dtype=self._dtype,
                    device=self.device,
                    attn_implementation=self._attention,
                    **self._where,
                )
        return self._models[kind.__name__]

    def engine(self, kind: type[PreTrainedModel]) -> Engine:
        """The engine, as it is to be checked."""
        if kind.__name__ not in self._engines:
            where = {"device": self.device, **self._where}
            with counting_seconds("packing"):
                self._engines[kind.__name__] = Engine.from_pretrained(
                    self._source, kind, self.precision, **where
                )
        return self._engines[kind.__name__]

    def tokenizer(self) -> DistilBertTokenizer:
        """The tokenizer."""
        if self._tokenizer is None:
            self._tokenizer = DistilBertTokenizer.from_pretrained(
                self._source, **self._where
            )
        return self._tokenizer

    def exact(self, kind: type[PreTrainedModel]) -> PreTrainedModel:
        """The model in float64, on the CPU: what both are compared with."""
        with counting_seconds("loading"):
            return kind.from_pretrained(
                self._source, dtype=torch.float64, **self._where
            )

    def numbers(self, name: str) -> str:
        """What the tables above call a type or a precision, on this device."""
        on_a_device = name == "float32" and self.device.type != "cpu"
        return "float32 on a device" if on_a_device else name


# The file


def _check_files(files: CheckpointFiles) -> Iterator[Check]:
    for path in _weight_files(files):
        try:
            published = _published_hash(files, path)
        except Exception as error:
            # Of any class: see `minidistil.hub`.
            yield _unknown_hash(path, first_line(error))
            continue
        if published is None:
            yield Check(path.name, "SKIPPED", "not a file of the hub's: no known hash")
            continue
        actual = sha256(path)
        status = "OK" if actual == published else "WRONG"
        detail = f"sha256 {actual}"
        if status == "WRONG":
            detail += f", the hub has {published}: fetch it again"
        yield Check(path.name, status, detail)


def _check_copies(
    files: CheckpointFiles, original: str, token: str | bool | None, asked: bool
) -> Iterator[Check]:
    """Compare a folder's files with those of the repository that it was made from."""
    published: dict[str, str] = {}
    reason = "" if asked else "not asked"
    if asked:
        try:
            published = hub_files(original, token=token)
        except Exception as error:
            # Of any class: see `minidistil.hub`.
            reason = first_line(error)
    for path in _weight_files(files):
        if reason or path.name not in published:
            yield _unknown_hash(path, reason or f"{original} has no such file")
            continue
        actual = sha256(path)
        if actual == published[path.name]:
            yield Check(path.name, "OK", f"sha256 {actual}, as {original} has it")
        else:
            # One that was converted is right all the same.
            detail = f"{original} has {published[path.name]}: it is no copy of that"
            yield Check(path.name, "SKIPPED", f"sha256 {actual}, {detail}")


def _unknown_hash(path: Path, why: str) -> Check:
    return Check(path.name, "SKIPPED", f"the hub's hash is not known: {why}")


def _weight_files(files: CheckpointFiles) -> list[Path]:
    found = files.first(SINGLE_FILE, INDEX_FILE)
    if found is None or found.name == SINGLE_FILE:
        return [found] if found else []
    names = sorted(set(read_index(found).values()))
    return [files.require(name) for name in names]


def _published_hash(files: CheckpointFiles, path: Path) -> str | None:
    if not isinstance(files, HubCheckpointFiles):
        return None
    # The cache names a large file by its hash, as the hub told it.
    if re.fullmatch("[0-9a-f]{64}", path.resolve().name):
        return path.resolve().name
    if files.offline:
        return None
    return hub_files(**files.address).get(path.name)


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with (
        path.open("rb") as stream,
        counting_bytes(path.stat().st_size, f"hashing {path.name}") as done,
    ):
        while part := stream.read(_CHUNK):
            digest.update(part)
            done(len(part))
    return digest.hexdigest()


# The model in float64


def _check_against_float64(loader: _Loader, exact: PreTrainedModel) -> Iterator[Check]:
    """Compare the model and the engine with ``exact``, which loses its encoder."""
    kind = type(exact)
    sequences = _sequences(exact.config)
    expected = read(exact, steps(sequences, "float64"))
    found = read(loader.model(kind), steps(sequences, "model"))
    numbers = loader.numbers(loader.dtype)
    right, figures = compare(found, expected, exact, numbers)
    yield Check(f"model, {loader.dtype}", "OK" if right else "WRONG", figures)
    name = f"engine, {loader.precision}"
    states = loader.engine(DistilBertModel)
    answers = loader.engine(kind)
    try:
        with counting_sequences("engine"):
            found = Results(states(sequences), answers(sequences))
    except ValueError as error:  # numbers that are not finite
        yield Check(name, "WRONG", str(error))
        return
    numbers = loader.numbers(loader.precision)
    right, figures = compare(found, expected, exact, numbers)
    yield Check(name, "OK" if right else "WRONG", figures)


def _sequences(config: DistilBertConfig) -> list[list[int]]:
    """Sequences of random ids, the same in every run."""
    chance = random.Random(0)
    lengths = {min(length, config.max_position_embeddings) for length in _LENGTHS}
    return [
        [chance.randrange(config.vocab_size) for _ in range(length)]
        for length in sorted(lengths)
    ]


# Published answers


def _check_goldens(
    loader: _Loader, known: list[goldens.Golden], labels: Mapping[int, str]
) -> Iterator[Check]:
    for golden in steps(known, "published answers"):
        kind = goldens.KINDS.get(golden["task"])
        by_model: Answer = _by_neither
        by_engine: Answer = _by_neither
        if kind is not None:
            try:
                by_model = _by_model(loader.model(kind))
                by_engine = _by_engine(loader.engine(kind), kind)
            except CheckpointError as error:
                name = f"{kind.__name__}: {goldens.title(golden)}"
                yield Check(name, "WRONG", str(error))
                continue
        for name, numbers, answer in (
            (f"model, {loader.dtype}", loader.dtype, by_model),
            (f"engine, {loader.precision}", loader.precision, by_engine),
        ):
            slack = SLACK[loader.numbers(numbers)]
            who = goldens.Answering(answer, loader.tokenizer, labels, slack)
            status, detail = _compare(golden, who)
            yield Check(f"{name}: {goldens.title(golden)}", status, detail)


def _compare(golden: goldens.Golden, who: goldens.Answering) -> tuple[str, str]:
    try:
        with warnings.catch_warnings():
            # Some show what padding does without a mask.
            for told in ("input_ids holds the padding id", "a sequence ends with padd"):
                warnings.filterwarnings("ignore", message=told)
            goldens.check(golden, who)
    except goldens.DiffersError as error:
        return "WRONG", str(error)
    except (goldens.UndecidedError, CheckpointNotFoundError) as error:
        return "SKIPPED", str(error)
    except (ValueError, IndexError) as error:
        return "WRONG", f"the published input cannot be read: {error}"
    return "OK", f"as in {golden['source']}"


def _by_neither(inputs: Mapping[str, Tensor]) -> Tensor:
    raise goldens.UndecidedError("no model answers this")


def _by_model(model: PreTrainedModel) -> Answer:
    @torch.inference_mode()
    def answer(inputs: Mapping[str, Tensor]) -> Tensor:
        there = {name: tensor.to(model.device) for name, tensor in inputs.items()}
        return as_one_tensor(model(**there)).float().cpu()

    return answer


def _by_engine(engine: Engine, kind: type[PreTrainedModel]) -> Answer:
    """The engine, on a padded batch: it gets the rows without their padding."""

    def answer(inputs: Mapping[str, Tensor]) -> Tensor:
        ids = inputs["input_ids"]
        mask = inputs.get("attention_mask", torch.ones_like(ids))
        shape = ids.shape
        ids, mask = ids.flatten(0, -2), mask.flatten(0, -2)  # choices are rows
        lengths = mask.sum(dim=-1).tolist()
        if not torch.equal(mask, (torch.arange(shape[-1]) < mask.sum(-1, True)).long()):
            raise goldens.UndecidedError("the engine's mask can only hide the end")
        rows = engine(
            [row[:length].tolist() for row, length in zip(ids, lengths, strict=True)]
        )
        if kind is DistilBertForMultipleChoice:
            return torch.cat(rows).view(shape[:-1])
        if rows[0].ndim == 1:
            return torch.stack(rows)
        # Of tokens that were not read, nothing is known.
        result = torch.full((*shape, rows[0].shape[-1]), float("nan"))
        for i, row in enumerate(rows):
            result[i, : len(row)] = row
        return result

    return answer
