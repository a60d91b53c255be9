"""The numbers that fix a DistilBERT's shape, as a hub ``config.json`` holds them."""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minidistil.files import read_json, write_file
from minidistil.hub import open_checkpoint
from minidistil.messages import MinidistilError, check_integer, quote

# transformers reads and writes these under either name.
ALIASES = {
    "hidden_size": "dim",
    "num_attention_heads": "n_heads",
    "num_hidden_layers": "n_layers",
}
ACTIVATIONS = ("gelu", "relu")
PROBLEM_TYPES = (
    "regression",
    "single_label_classification",
    "multi_label_classification",
)


class ConfigError(MinidistilError, ValueError):
    """A configuration that no DistilBERT can be built from."""


@dataclasses.dataclass(frozen=True, repr=False)
class DistilBertConfig:
    """The shape and the labels of a DistilBERT; the defaults are distilbert-base's.

    Immutable: `replace` gives a changed copy. Every value is checked when the
    configuration is made, and what the model cannot do is a `ConfigError`.

    Labels are given as ``num_labels`` or ``id2label`` (or both, if they agree);
    with neither there are two, ``LABEL_0`` and ``LABEL_1``. Keys that this class
    does not know are kept in ``extra`` and written back.
    """

    vocab_size: int = 30522
    max_position_embeddings: int = 512
    sinusoidal_pos_embds: bool = False
    n_layers: int = 6
    n_heads: int = 12
    dim: int = 768
    hidden_dim: int = 3072
    dropout: float = 0.1
    attention_dropout: float = 0.1
    activation: str = "gelu"
    initializer_range: float = 0.02
    qa_dropout: float = 0.1
    seq_classif_dropout: float = 0.2
    pad_token_id: int | None = 0
    tie_word_embeddings: bool = True
    # Left empty, the labels are filled in from one another.
    num_labels: int = 0
    # A dict or a list has no hash; equal configurations have the same hash without.
    id2label: dict[int, str] = dataclasses.field(default_factory=dict, hash=False)
    label2id: dict[str, int] = dataclasses.field(default_factory=dict, hash=False)
    problem_type: str | None = None
    architectures: list[str] | None = dataclasses.field(default=None, hash=False)
    extra: dict[str, Any] = dataclasses.field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        for name, maximum in _SIZES.items():
            _check_integer(name, getattr(self, name), 1, maximum)
        for name, highest in _NUMBERS.items():
            number = getattr(self, name)
            of_type = isinstance(number, int | float) and not isinstance(number, bool)
            if not of_type or not 0 <= number <= highest:
                raise _wrong(name, number, f"a number from 0 to {highest}")
        for name in _SWITCHES:
            if not isinstance(getattr(self, name), bool):
                raise _wrong(name, getattr(self, name), "true or false")
        if self.dim % self.n_heads:
            raise ConfigError(
                f"n_heads={self.n_heads} does not divide dim={self.dim}: every head "
                f"takes an equal share of the dimensions; change one of the two"
            )
        if self.activation not in ACTIVATIONS:
            raise _wrong("activation", self.activation, " or ".join(ACTIVATIONS))
        if (pad := self.pad_token_id) is not None:
            check_integer("pad_token_id", pad, minimum=0, error=ConfigError)
            if pad >= self.vocab_size:
                expected = f"null, or an id below vocab_size={self.vocab_size}"
                raise _wrong("pad_token_id", pad, expected)
        if self.problem_type is not None and self.problem_type not in PROBLEM_TYPES:
            raise _wrong("problem_type", self.problem_type, " or ".join(PROBLEM_TYPES))
        self._resolve_labels()

    def _resolve_labels(self) -> None:
        """Make num_labels, id2label and label2id agree, or say why they cannot."""
        _check_integer("num_labels", self.num_labels, 0, _MOST_LABELS)
        if not isinstance(self.label2id, Mapping):
            raise _wrong("label2id", self.label2id, "an object such as {'NEGATIVE': 0}")
        names = _id2label(self.id2label or default_labels(self.num_labels or 2))
        count = self.num_labels or len(names)
        if count != len(names):
            raise ConfigError(
                f"num_labels is {count}, but id2label names {len(names)} labels "
                f"({quote([*names.values()])}): leave out one of the two, or make "
                f"them agree"
            )
        ids = _inverse(names)
        if self.label2id and self.label2id != ids:
            warnings.warn(
                f"label2id {quote(self.label2id)} is not the inverse of id2label "
                f"{quote(names)}; results are named by id2label",
                stacklevel=4,
            )
            ids = self.label2id
        # The one place that writes to the frozen object: it is still being made.
        object.__setattr__(self, "num_labels", count)
        object.__setattr__(self, "id2label", names)
        object.__setattr__(self, "label2id", ids)

    hidden_size = property(lambda self: self.dim, doc="Another name of dim.")
    num_attention_heads = property(lambda self: self.n_heads, doc="n_heads, renamed.")
    num_hidden_layers = property(lambda self: self.n_layers, doc="n_layers, renamed.")

    def replace(self, **changes: Any) -> DistilBertConfig:
        """Return a copy with some fields changed; new labels replace all the old."""
        for name in changes.keys() & {"num_labels", "id2label"}:
            if not changes[name]:
                raise _wrong(name, changes[name], "at least one label")
            changes = {"num_labels": 0, "id2label": {}, "label2id": {}} | changes
        return dataclasses.replace(self, **changes)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> DistilBertConfig:
        """Read the content of a ``config.json``.

        Raises:
            ConfigError: for another model's configuration, a value of the wrong
                type or range, or two keys that contradict each other.
        """
        values = dict(values)
        model_type = values.pop("model_type", "distilbert")
        if model_type != "distilbert":
            hint = (
                "; a BERT encoder can be folded into a DistilBERT: run `minidistil "
                "weights convert`, or see minidistil.weights.bert.fold_bert"
                if model_type == "bert"
                else ""
            )
            raise _wrong("model_type", model_type, f"'distilbert'{hint}")
        for name in ("is_decoder", "pruned_heads", "quantization_config"):
            if values.get(name):
                raise _wrong(name, values[name], "none: DistilBERT does not have it")
        for name in ("output_hidden_states", "output_attentions"):
            if values.get(name):
                warnings.warn(
                    f"the configuration asks for {name}, which is not read from there: "
                    f"pass {name}=True to the model's call",
                    stacklevel=3,
                )
        for alias, name in ALIASES.items():
            if alias in values:
                value = values.pop(alias)
                if values.setdefault(name, value) != value:
                    raise ConfigError(
                        f"{alias}={quote(value)} contradicts "
                        f"{name}={quote(values[name])}: they are two names of one "
                        f"number; drop one"
                    )
        known = {field.name for field in dataclasses.fields(cls)} - {"extra"}
        for name in ("num_labels", "id2label", "label2id"):
            if values.get(name, True) is None:
                del values[name]
            elif not values.get(name, True):
                raise _wrong(name, values[name], "at least one label")
        extra = {key: values.pop(key) for key in list(values) if key not in known}
        return cls(**values, extra=extra)

    @classmethod
    def from_json_file(cls, path: str | Path) -> DistilBertConfig:
        """Read a ``config.json``; a `ConfigError` names the file."""
        values = read_json(Path(path), dict, ConfigError)
        try:
            return cls.from_dict(values)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None

    @classmethod
    def from_pretrained(
        cls,
        source: str | Path,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
    ) -> DistilBertConfig:
        """Read the configuration of a hub repository, a folder, or ``"tiny"``."""
        files = open_checkpoint(
            source,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
        )
        return cls.from_json_file(files.require("config.json"))

    def to_dict(self) -> dict[str, Any]:
        """Return what a ``config.json`` holds; labels only if they have names."""
        fields = [field.name for field in dataclasses.fields(self)]
        values = {"model_type": "distilbert", **self.extra}
        values |= {name: getattr(self, name) for name in fields if name != "extra"}
        # The number of labels is never written: id2label says it, and two numbers in
        # one file can come to disagree.
        del values["num_labels"]
        names = default_labels(2)
        if self.id2label == names and self.label2id == _inverse(names):
            del values["id2label"], values["label2id"]
        for name in ("problem_type", "architectures"):
            if values[name] is None:
                del values[name]
        return values

    def to_json_string(self) -> str:
        """Return the text of a ``config.json``: sorted keys, two spaces."""
        return json.dumps(self.to_dict(), indent=2, sort_keys=True) + "\n"

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``config.json`` into a folder, which is made if need be."""
        write_file(Path(folder) / "config.json", self.to_json_string().encode())

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.to_json_string()}"


# Far beyond any DistilBERT: what keeps a damaged file from asking for a day's work.
_SIZES = {
    "vocab_size": 10**8,
    "max_position_embeddings": 10**7,
    "n_layers": 1000,
    "n_heads": 10**5,
    "dim": 10**6,
    "hidden_dim": 10**7,
}
_MOST_LABELS = 10**6
_PROBABILITIES = ("dropout", "attention_dropout", "qa_dropout", "seq_classif_dropout")
_NUMBERS = dict.fromkeys(_PROBABILITIES, 1.0) | {"initializer_range": 1e3}
_SWITCHES = ("sinusoidal_pos_embds", "tie_word_embeddings")


def default_labels(count: int) -> dict[int, str]:
    """Return the names of labels that were given none."""
    return {i: f"LABEL_{i}" for i in range(count)}


def _inverse(id2label: dict[int, str]) -> dict[str, int]:
    return {label: i for i, label in id2label.items()}


def _wrong(name: str, got: object, expected: str) -> ConfigError:
    return ConfigError(f"{name} is {quote(got)}, expected {expected}")


def _check_integer(name: str, value: int, minimum: int, maximum: int) -> None:
    check_integer(name, value, minimum=minimum, error=ConfigError)
    if value > maximum:
        raise _wrong(name, value, f"at most {maximum}")


def _id2label(labels: object) -> dict[int, str]:
    """Return the labels in order of their ids, which JSON can only hold as text."""
    if not isinstance(labels, Mapping):
        raise _wrong("id2label", labels, "an object such as {0: 'NEGATIVE'}")
    try:
        names = {int(key): label for key, label in labels.items()}
    except (TypeError, ValueError):
        raise _wrong("id2label", labels, "integers as its keys") from None
    if len(names) != len(labels) or sorted(names) != list(range(len(names))):
        raise _wrong("id2label", labels, "the keys 0, 1, 2, … with none left out")
    if not names or not all(isinstance(label, str) for label in names.values()):
        raise _wrong("id2label", labels, "at least one label, each a string")
    return {i: names[i] for i in range(len(names))}
