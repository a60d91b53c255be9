"""Does a checkpoint give the right numbers: on this device, in this type and precision?

Three questions. Is the file the one that the hub has? Do the model and the engine give
what the model gives in float64? And do they give what was published, for a checkpoint
that anything was published of?
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from minidistil.auto import KINDS, identify
from minidistil.checkpoint.devices import computing_device
from minidistil.checkpoint.pretrained import PreTrainedModel
from minidistil.checkpoint.tensors import (
    INDEX_FILE,
    SINGLE_FILE,
    CheckpointError,
    no_safetensors,
    read_index,
)
from minidistil.config import DistilBertConfig
from minidistil.engine import Engine
from minidistil.files import reading_from
from minidistil.heads import DistilBertForMultipleChoice
from minidistil.hub import (
    CheckpointFiles,
    CheckpointNotFoundError,
    HubCheckpointFiles,
    open_checkpoint,
)
from minidistil.messages import first_line
from minidistil.model import DistilBertModel
from minidistil.pipelines.running import as_one_tensor
from minidistil.progress import (
    counting_bytes,
    counting_seconds,
    counting_sequences,
    steps,
)
from minidistil.tokenizer import DistilBertTokenizer
from minidistil.weights import goldens
from minidistil.weights.catalogue import hub_files
from minidistil.weights.distance import ALLOWED, Results, check_distance, run_model

_LENGTHS = (1, 2, 7, 32, 33, 130, 512)  # tokens, of the sequences that are tried
_CHUNK = 2**20  # bytes


@dataclass(frozen=True)
class Check:
    """One thing that was checked.

    Attributes:
        name: What it was.
        status: "OK", "WRONG", or "SKIPPED" if it cannot be judged.
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
    """Check a checkpoint's file and its results.

    Args:
        source: ``"tiny"``, a folder, or a hub repository.
        precision: What the engine computes in: "float32", "bfloat16",
            "float16" (GPUs only) or "int8".
        dtype: What the model computes in.
        device: Where both compute; the CPU unless asked.
        attn_implementation: How the model attends: "sdpa" or "eager".
        known_as: The hub repository that a folder was made from, whose published
            results it should give.
        where: ``revision``, ``token``, ``cache_dir``, ``local_files_only``.

    Raises:
        CheckpointNotFoundError, ConfigError, CheckpointError: if there is no such
            checkpoint, or it is another model's, or a pickle. (What is damaged is a
            check that is "WRONG".)
        ValueError: if it cannot be computed in this way.
    """
    if known_as and not goldens.goldens_of(known_as):
        names = sorted({each["checkpoint"] for each in goldens.goldens()})
        raise ValueError(
            f"nothing published is known of {known_as!r}; known are {', '.join(names)}"
        )
    files = open_checkpoint(source, **where)
    config = DistilBertConfig.from_json_file(files.require("config.json"))
    weights = files.first(SINGLE_FILE, INDEX_FILE)
    if weights is None:
        raise no_safetensors(files)
    where["revision"] = files.revision  # a branch may move on before the next file
    on = computing_device(device)
    loader = _Loader(source, where, precision, dtype, on, attn_implementation)
    computing = (
        f"model in {loader.dtype} ({attn_implementation}), engine in {precision}, "
        f"on {on}"
    )
    on_the_hub = isinstance(files, HubCheckpointFiles)
    published = goldens.goldens_of(known_as or (files.name if on_the_hub else ""))
    original = published[0]["checkpoint"] if known_as and not on_the_hub else None
    kind = "unknown"
    checks: list[Check] = []
    try:
        # What was checked before an error stays in the list.
        checks += _check_files(files, weights, original, where)
        chosen = identify(source, **where).kind
        kind = chosen.__name__
        with counting_seconds("loading"):
            exact = chosen.from_pretrained(source, dtype=torch.float64, **where)
    except CheckpointError as error:
        checks.append(Check("loading", "WRONG", str(error)))
    else:
        checks += _check_against_float64(loader, exact)
        checks += _check_goldens(loader, published, config.id2label)
    return Verification(str(files), kind, computing, checks)


class _Loader:
    """Loads a checkpoint, once as each class that is asked for."""

    def __init__(
        self,
        source: str | os.PathLike[str],
        where: Mapping[str, Any],
        precision: str,
        dtype: torch.dtype,
        device: torch.device,
        attention: str,
    ) -> None:
        self.dtype, self.precision = str(dtype).removeprefix("torch."), precision
        self._device = device

        def model(kind: type[PreTrainedModel]) -> PreTrainedModel:
            how: Any = {"device": device, "attn_implementation": attention}
            with counting_seconds("loading"):
                return kind.from_pretrained(source, dtype=dtype, **how, **where)

        def engine(kind: type[PreTrainedModel]) -> Engine:
            how: Any = {"precision": precision, "device": device}
            with counting_seconds("packing"):
                return Engine.from_pretrained(source, kind, **how, **where)

        def tokenizer() -> DistilBertTokenizer:
            return DistilBertTokenizer.from_pretrained(source, **where)

        self.model: Callable[[Any], PreTrainedModel] = cache(model)
        self.engine: Callable[[Any], Engine] = cache(engine)
        self.tokenizer = cache(tokenizer)

    def kind_of_numbers(self, name: str) -> str:
        """What `ALLOWED` calls a type or a precision, on this device."""
        on_a_device = name == "float32" and self._device.type != "cpu"
        return "float32 on a device" if on_a_device else name


# The file


def _check_files(
    files: CheckpointFiles, found: Path, original: str | None, where: Mapping[str, Any]
) -> Iterator[Check]:
    """Compare the hashes of the weights (``found``, or their index) with the hub's."""
    paths = [found]
    if found.name == INDEX_FILE:
        names = sorted(set(read_index(found).values()))
        paths = [files.require(name) for name in names]
    for path in paths:
        try:
            published = _published_hash(files, path, original, where)
        except Exception as error:
            # Of any class: see `minidistil.hub`.
            reason = f"the hub's hash is not known: {first_line(error)}"
            yield Check(path.name, "SKIPPED", reason)
            continue
        actual = sha256(path)
        if actual == published:
            copied = f", as {original} has it" if original else ""
            yield Check(path.name, "OK", f"sha256 {actual}{copied}")
        elif original:
            # One that was converted is right all the same.
            detail = f"{original} has {published}: it is no copy of that"
            yield Check(path.name, "SKIPPED", f"sha256 {actual}, {detail}")
        else:
            detail = f"sha256 {actual}, the hub has {published}: fetch it again"
            yield Check(path.name, "WRONG", detail)


def _published_hash(
    files: CheckpointFiles, path: Path, original: str | None, where: Mapping[str, Any]
) -> str:
    """The hub's hash of a file; any error says why it is not known."""
    address: dict[str, Any] = {"repo_id": original, "token": where.get("token")}
    ask = not where.get("local_files_only", False)
    if isinstance(files, HubCheckpointFiles):
        # The cache names a large file by the hash that the hub gave.
        if re.fullmatch("[0-9a-f]{64}", path.resolve().name):
            return path.resolve().name
        address, ask = files.address, not files.offline
    elif original is None:
        raise LookupError("it is not a file of the hub's cache")
    if not ask:
        raise LookupError("not asked")
    hashes = hub_files(**address)
    if path.name not in hashes:
        raise LookupError(f"{address['repo_id']} has no such file")
    return hashes[path.name]


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with (
        reading_from(path),
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
    expected = run_model(exact, steps(sequences, "float64"))

    def judge(who: str, numbers: str, found: Results) -> Check:
        named = loader.kind_of_numbers(numbers)
        right, figures = check_distance(found, expected, exact, named)
        return Check(f"{who}, {numbers}", "OK" if right else "WRONG", figures)

    found = run_model(loader.model(kind), steps(sequences, "model"))
    yield judge("model", loader.dtype, found)
    states, results = loader.engine(DistilBertModel), loader.engine(kind)
    try:
        with counting_sequences("engine"):
            found = Results(states(sequences), results(sequences))
    except ValueError as error:  # numbers that are not finite
        yield Check(f"engine, {loader.precision}", "WRONG", str(error))
    else:
        yield judge("engine", loader.precision, found)


def _sequences(config: DistilBertConfig) -> list[list[int]]:
    """Sequences of random ids, the same in every run."""
    chance = random.Random(0)
    lengths = {min(length, config.max_position_embeddings) for length in _LENGTHS}
    return [
        [chance.randrange(config.vocab_size) for _ in range(length)]
        for length in sorted(lengths)
    ]


# Published results


def _check_goldens(
    loader: _Loader, published: list[goldens.Golden], labels: Mapping[int, str]
) -> Iterator[Check]:
    for golden in steps(published, "published results"):
        kind, title = KINDS.get(golden["kind"]), goldens.title(golden)
        by_model = by_engine = None
        if kind is not None:
            try:
                by_model = run_with_model(loader.model(kind))
                by_engine = run_with_engine(loader.engine(kind), kind)
            except CheckpointError as error:
                yield Check(f"{kind.__name__}: {title}", "WRONG", str(error))
                continue
        for who, numbers, run in (
            ("model", loader.dtype, by_model),
            ("engine", loader.precision, by_engine),
        ):
            slack = ALLOWED[loader.kind_of_numbers(numbers)].published
            subject = goldens.Subject(run, loader.tokenizer, labels, slack)
            status, detail = _check_golden(golden, subject)
            yield Check(f"{who}, {numbers}: {title}", status, detail)


def _check_golden(golden: goldens.Golden, subject: goldens.Subject) -> tuple[str, str]:
    try:
        with warnings.catch_warnings():
            # Some show what padding does without a mask.
            about_padding = "input_ids holds the padding id|a sequence ends with padd"
            warnings.filterwarnings("ignore", about_padding)
            goldens.check(golden, subject)
    except goldens.DiffersError as error:
        return "WRONG", str(error)
    except (goldens.UndecidedError, CheckpointNotFoundError) as error:
        return "SKIPPED", str(error)
    except (ValueError, IndexError) as error:
        return "WRONG", f"the published input cannot be read: {error}"
    return "OK", f"as in {golden['source']}"


def run_with_model(model: PreTrainedModel) -> goldens.Run:
    """What a model makes of inputs, for `goldens.Subject`."""

    @torch.inference_mode()
    def run(inputs: Mapping[str, Tensor]) -> Tensor:
        there = {name: tensor.to(model.device) for name, tensor in inputs.items()}
        return as_one_tensor(model(**there, return_dict=True)).float().cpu()

    return run


def run_with_engine(engine: Engine, kind: type[PreTrainedModel]) -> goldens.Run:
    """What an engine makes of a padded batch, whose rows it gets without padding."""

    def run(inputs: Mapping[str, Tensor]) -> Tensor:
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
        # Nothing is known of the tokens that were not read.
        result = torch.full((*shape, rows[0].shape[-1]), float("nan"))
        for i, row in enumerate(rows):
            result[i, : len(row)] = row
        return result

    return run
