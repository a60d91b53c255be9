"""What is in a checkpoint, and which model it fits, from headers alone."""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minidistil.auto import KINDS, kind_of
from minidistil.checkpoint.fitting import skeleton
from minidistil.checkpoint.matching import Fit, fit, heads_of
from minidistil.checkpoint.pretrained import PreTrainedModel
from minidistil.checkpoint.stored import Entry, Header, read_header
from minidistil.checkpoint.tensors import SINGLE_FILE, Contents, plain_name
from minidistil.config import ConfigError, DistilBertConfig
from minidistil.files import is_file
from minidistil.hub import CheckpointFiles, open_checkpoint
from minidistil.weights.headers import read_headers


@dataclass(frozen=True)
class Loading:
    """Whether one class can load a checkpoint.

    Attributes:
        kind: The name of the class.
        loads: "as it is", "with a new head" (to be trained), or "no".
        fit: What goes where, and what does not; None if the class cannot be built
            from the configuration.
        reason: Why that is so, or "".
    """

    kind: str
    loads: str
    fit: Fit | None
    reason: str = ""


@dataclass(frozen=True)
class Inspection:
    """What a checkpoint holds.

    Attributes:
        source: What was inspected.
        headers: Of its files.
        config: Its configuration, or None if there is none that is DistilBERT's.
        config_problem: Why not, or "".
        heads: The heads that it has whole, and their modules.
        kind: The class that it is meant for; None without a configuration.
        loadings: For each class, whether it loads; empty without a configuration.
    """

    source: str
    headers: list[Header]
    config: DistilBertConfig | None
    config_problem: str
    heads: dict[str, set[str]]
    kind: str | None
    loadings: list[Loading]

    @property
    def tensors(self) -> list[Entry]:
        """All tensors, in the order of the files."""
        return [entry for header in self.headers for entry in header.tensors]

    @property
    def modules(self) -> dict[str, int]:
        """How many numbers each part of the model has: each block, each head layer."""
        counts: Counter[str] = Counter()
        for entry in self.tensors:
            counts[_module(entry.name)] += math.prod(entry.shape)
        return dict(counts)

    @property
    def loading(self) -> Loading | None:
        """How the class that it is meant for loads it."""
        return next((each for each in self.loadings if each.kind == self.kind), None)

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as values that JSON has."""
        fitting = self.loading.fit if self.loading else None
        placed = fitting.placed if fitting else {}
        return {
            "source": self.source,
            "files": [
                {
                    "name": header.file.name,
                    "bytes": header.size,
                    "data_starts_at": header.data_start,
                    "metadata": header.metadata,
                }
                for header in self.headers
            ],
            "tensors": [
                {
                    "name": entry.name,
                    "file": entry.file.name,
                    "dtype": entry.dtype,
                    "shape": list(entry.shape),
                    "bytes": entry.size,
                    "loads_into": placed.get(entry.name),
                }
                for entry in self.tensors
            ],
            "modules": self.modules,
            "parameters": sum(self.modules.values()),
            "heads": {task: sorted(modules) for task, modules in self.heads.items()},
            "kind": self.kind,
            "config_problem": self.config_problem or None,
            "loads": {each.kind: _as_dict(each) for each in self.loadings},
        }


def _as_dict(loading: Loading) -> dict[str, Any]:
    problems = [*loading.fit.problems.values()] if loading.fit else []
    return {
        "loads": loading.loads,
        "reason": loading.reason or None,
        **{
            kind: [problem.text for problem in problems if problem.kind == kind]
            for kind in ("missing", "shape", "unexpected")
        },
        "passed_over": loading.fit.ignored if loading.fit else [],
    }


def inspect(source: str | os.PathLike[str], **where: Any) -> Inspection:
    """Say what is in a checkpoint, without loading its numbers.

    Args:
        source: ``"tiny"``, a folder, a hub repository (of which only the headers are
            fetched, with its config.json), or one safetensors file.
        where: ``revision``, ``token``, ``cache_dir``, ``local_files_only``, for a
            repository.

    Raises:
        CheckpointNotFoundError: if there is no such checkpoint.
        CheckpointError: if a header is not sound.
    """
    path = Path(source)
    if is_file(path):
        files = CheckpointFiles(path.parent, str(path))
        headers = [read_header(path)]
    else:
        files = open_checkpoint(source, **where)
        headers = read_headers(files)
    entries = [entry for header in headers for entry in header.tensors]
    contents = Contents(str(files), entries)
    config, problem = _config(files)
    loadings = []
    if config is not None:
        loadings = [_loading(kind, config, contents) for kind in KINDS.values()]
    return Inspection(
        source=str(files),
        headers=headers,
        config=config,
        config_problem=problem,
        heads=heads_of(contents),
        kind=kind_of(config, contents).__name__ if config else None,
        loadings=loadings,
    )


def _config(files: CheckpointFiles) -> tuple[DistilBertConfig | None, str]:
    found = files.find("config.json")
    if found is None:
        return None, f"{files} has no config.json beside its {SINGLE_FILE}"
    try:
        return DistilBertConfig.from_json_file(found), ""
    except ConfigError as error:
        return None, str(error)


def _loading(
    kind: type[PreTrainedModel], config: DistilBertConfig, contents: Contents
) -> Loading:
    try:
        model = skeleton(kind, config, "sdpa")
    except ConfigError as error:
        return Loading(kind.__name__, "no", None, str(error))
    found = fit(model, contents, set())
    if not found.problems:
        return Loading(kind.__name__, "as it is", found)
    head = {name for name, _ in model.named_children()} - {"distilbert"}
    has_head = kind is not KINDS["DistilBertModel"]
    fits_without = has_head and not fit(model, contents, head).problems
    return Loading(kind.__name__, "with a new head" if fits_without else "no", found)


def _module(name: str) -> str:
    """The part that a tensor belongs to: the embeddings, a block, a head's layer."""
    plain = plain_name(name) or name
    block = re.match(r"transformer\.layer\.\d+", plain)
    return block[0] if block else plain.partition(".")[0]
