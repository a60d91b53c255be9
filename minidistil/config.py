"""The numbers that fix a DistilBERT's shape, as a hub ``config.json`` holds them."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from minidistil.files import read_json, write_file
from minidistil.hub import open_checkpoint
from minidistil.messages import (
    MinidistilError,
    check_integer,
    is_number,
    quote,
    unknown_keyword,
)

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


Kind = TypeVar("Kind")


def _names_checked(kind: type[Kind]) -> type[Kind]:
    """Let the constructor take the other names, and say what an unknown one is."""
    construct: Any = kind.__init__

    @functools.wraps(construct)
    def __init__(self: Any, *values: Any, **named: Any) -> None:  # noqa: N807
        named = _without_aliases(named)
        if unknown := named.keys() - _fields():
            raise unknown_keyword(unknown, _fields(), kind.__name__)
        construct(self, *values, **named)

    kind.__init__ = __init__  # type: ignore[method-assign]
    return kind


@_names_checked
@dataclasses.dataclass(unsafe_hash=True, repr=False)
class DistilBertConfig:
    """The shape and the labels of a DistilBERT; the defaults are distilbert-base's.

    Every value is checked when the configuration is made, and again when one is
    changed: ``config.problem_type = "regression"``. What the model cannot do is a
    `ConfigError`, and then nothing has changed. `replace` gives a changed copy.

    Labels are given as ``num_labels`` or ``id2label`` (or both, if they agree);
    with neither there are two, ``LABEL_0`` and ``LABEL_1``. New ones replace all the
    old. Keys that this class does not know are kept in ``extra``, written back, and
    can be read and set as attributes. ``hidden_size``, ``num_attention_heads`` and
    ``num_hidden_layers`` are other names of ``dim``, ``n_heads`` and ``n_layers``.
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
    # What a forward pass returns where its call does not say.
    output_hidden_states: bool = False
    output_attentions: bool = False
    return_dict: bool = True
    # Left empty, the labels are filled in from one another.
    num_labels: int = 0
    # A dict or a list has no hash; equal configurations have the same hash without.
    id2label: dict[int, str] = dataclasses.field(default_factory=dict, hash=False)
    label2id: dict[str, int] = dataclasses.field(default_factory=dict, hash=False)
    problem_type: str | None = None
    architectures: list[str] | None = dataclasses.field(default=None, hash=False)
    extra: dict[str, Any] = dataclasses.field(default_factory=dict, hash=False)

    # What other libraries ask a configuration for.
    model_type: ClassVar[str] = "distilbert"
    attribute_map: ClassVar[dict[str, str]] = ALIASES
    is_encoder_decoder: ClassVar[bool] = False
    keys_to_ignore_at_inference: ClassVar[list[str]] = []

    def __post_init__(self) -> None:
        values = vars(self)
        for name, maximum in _SIZES.items():
            values[name] = _integer(name, values[name], 1, maximum)
        for name, highest in _NUMBERS.items():
            number: Any = values[name]
            if not (is_number(values[name]) and 0 <= number <= highest):
                raise _wrong(name, number, f"a number from 0 to {highest}")
            values[name] = number if isinstance(number, int) else float(number)
        for name in _SWITCHES:
            if not isinstance(values[name], bool):
                raise _wrong(name, values[name], "true or false")
        if self.dim % self.n_heads:
            raise ConfigError(
                f"n_heads={self.n_heads} does not divide dim={self.dim}: every head "
                f"takes an equal share of the dimensions; change one of the two"
            )
        if self.activation not in ACTIVATIONS:
            raise _wrong("activation", self.activation, " or ".join(ACTIVATIONS))
        if self.pad_token_id is not None:
            values["pad_token_id"] = _integer("pad_token_id", self.pad_token_id, 0)
            if self.pad_token_id >= self.vocab_size:
                expected = f"null, or an id below vocab_size={self.vocab_size}"
                raise _wrong("pad_token_id", self.pad_token_id, expected)
        if self.problem_type is not None and self.problem_type not in PROBLEM_TYPES:
            raise _wrong("problem_type", self.problem_type, " or ".join(PROBLEM_TYPES))
        self._resolve_labels()
        # Copies: what is done to one configuration must not change another.
        values["extra"] = dict(self.extra)
        values["architectures"] = self.architectures and list(self.architectures)
        values["_is_made"] = True

    def _resolve_labels(self) -> None:
        """Make num_labels, id2label and label2id agree, or say why they cannot."""
        count = _integer("num_labels", self.num_labels, 0, _MOST_LABELS)
        if not isinstance(self.label2id, Mapping):
            raise _wrong("label2id", self.label2id, "an object such as {'NEGATIVE': 0}")
        names = _id2label(self.id2label or default_labels(count or 2))
        if count not in (0, len(names)):
            raise ConfigError(
                f"num_labels is {count}, but id2label names {len(names)} labels "
                f"({quote([*names.values()])}): leave out one of the two, or make "
                f"them agree"
            )
        ids = dict(self.label2id or _inverse(names))
        follows = ids == _inverse(names)
        if not follows and vars(self).get("_label2id_follows") is not False:
            warnings.warn(
                f"label2id {quote(ids)} is not the inverse of id2label {quote(names)}; "
                f"results are named by id2label",
                stacklevel=5,
            )
        vars(self).update(num_labels=len(names), id2label=names, label2id=ids)
        # If it follows from id2label, it goes on following it; if not, that was said.
        vars(self)["_label2id_follows"] = follows

    def __setattr__(self, name: str, value: Any) -> None:
        """Change a value, checked as when the configuration was made."""
        if "_is_made" not in vars(self):
            object.__setattr__(self, name, value)
            return
        name = ALIASES.get(name, name)
        unnamed = default_labels(self.num_labels)
        if name == "label2id" and self.id2label == unnamed and value is not None:
            # People set it first and id2label next, which puts this one right. (If they
            # do not, saving says so.)
            vars(self).update(label2id=dict(value), _label2id_follows=None)
            return
        if name not in _fields():
            near = difflib.get_close_matches(name, _fields(), n=1, cutoff=0.8)
            if near:
                warnings.warn(
                    f"the configuration has no {name!r}, which is kept as it is, but "
                    f"changes nothing; did you mean {near[0]!r}?",
                    stacklevel=2,
                )
            vars(self)["extra"] = self.extra | {name: value}
            return
        vars(self).update(vars(self.replace(**{name: value})))

    def __getattr__(self, name: str) -> Any:
        # Only for what is no field: a key that the class does not know.
        extra = vars(self).get("extra", {})
        if name in ALIASES:
            return getattr(self, ALIASES[name])
        if name == "use_return_dict":
            return self.return_dict
        if name in ("name_or_path", "_name_or_path"):
            return extra.get("_name_or_path", "")
        if name not in extra:
            raise AttributeError(f"the configuration has no {name!r}")
        return extra[name]

    def replace(self, **changes: Any) -> DistilBertConfig:
        """Return a copy with some fields changed; new labels replace all the old."""
        changes = _without_aliases(changes)
        for name in changes.keys() & {"num_labels", "id2label"}:
            if not changes[name]:
                raise _wrong(name, changes[name], "at least one label")
        # The same number of labels is no reason to forget their names.
        if "id2label" in changes or changes.get("num_labels", self.num_labels) != (
            self.num_labels
        ):
            changes = {"num_labels": 0, "id2label": {}, "label2id": {}} | changes
        elif self._label2id_follows and "label2id" not in changes:
            changes["label2id"] = {}
        if unknown := changes.keys() - _fields():
            raise unknown_keyword(unknown, _fields(), "the configuration")
        # Not by the constructor: a subclass may have another one.
        new = object.__new__(type(self))
        if not changes.keys() & {"num_labels", "id2label", "label2id"}:
            vars(new)["_label2id_follows"] = self._label2id_follows
        own = {name: value for name, value in vars(self).items() if name in _fields()}
        vars(new).update(own | changes)
        new.__post_init__()
        return new

    def update(self, changes: Mapping[str, Any]) -> None:
        """Change some values, all or none; keys may be any."""
        known = _without_aliases(changes)
        unknown = {name: known.pop(name) for name in known.keys() - _fields()}
        vars(self).update(vars(self.replace(**known, extra=self.extra | unknown)))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], **changes: Any) -> DistilBertConfig:
        """Read the content of a ``config.json``.

        Args:
            values: The content.
            changes: What is to be otherwise; see `replace`.

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
        code = values.get("auto_map")
        if isinstance(code, Mapping) and code.keys() - {"AutoTokenizer"}:
            raise _wrong(
                "auto_map",
                code,
                "none: it names program code that came with the checkpoint, which is "
                "never run here; if the model is a plain DistilBERT, remove auto_map",
            )
        values = _without_aliases(values)
        for name in ("num_labels", "id2label", "label2id", *_RESULTS):
            if values.get(name, True) is None:
                del values[name]
            elif name not in _RESULTS and not values.get(name, True):
                raise _wrong(name, values[name], "at least one label")
        known = _fields() - {"extra"}
        extra = {key: values.pop(key) for key in list(values) if key not in known}
        config = cls(**values)
        vars(config)["extra"] = config.extra | extra
        return config.replace(**changes) if changes else config

    def get_text_config(self, **_: Any) -> DistilBertConfig:
        """Return itself: peft asks, as others have a part for text in theirs."""
        return self

    @classmethod
    def for_model(cls, model_type: str, **values: Any) -> DistilBertConfig:
        """Make a configuration of the one type there is: ``"distilbert"``."""
        return cls.from_dict({**values, "model_type": model_type})

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
        trust_remote_code: bool | None = None,
        **changes: Any,
    ) -> DistilBertConfig:
        """Read the configuration of a hub repository, a folder, or ``"tiny"``.

        Args:
            source: Where from.
            revision: With the next three, for hub repositories: see
                `PreTrainedModel.from_pretrained`.
            token: The hub token.
            cache_dir: The hub cache.
            local_files_only: Never use the network.
            trust_remote_code: Accepted: no code of a checkpoint is ever run.
            changes: Fields that are to be otherwise; see `replace`.

        Raises:
            CheckpointNotFoundError: if there is no such checkpoint or file.
            ConfigError: if the configuration is not a DistilBERT's.
            TypeError: for a change of what is no field.
        """
        if unknown := _without_aliases(changes).keys() - _fields():
            raise unknown_keyword(unknown, _fields(), "the configuration")
        files = open_checkpoint(
            source,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
        )
        config = cls.from_json_file(files.require("config.json"))
        return config.replace(**changes) if changes else config

    def to_dict(self) -> dict[str, Any]:
        """Return what a ``config.json`` holds; labels only if they have names."""
        fields = [field.name for field in dataclasses.fields(self)]
        values = {"model_type": self.model_type, **self.extra}
        values |= {name: getattr(self, name) for name in fields if name != "extra"}
        # The number of labels is never written: id2label says it, and two numbers in
        # one file can come to disagree.
        del values["num_labels"]
        if self._label2id_follows:
            values["label2id"] = _inverse(self.id2label)
        names = default_labels(2)
        if self.id2label == names and values["label2id"] == _inverse(names):
            del values["id2label"], values["label2id"]
        for name, default in _RESULTS.items():
            if values[name] == default:
                del values[name]
        for name in ("problem_type", "architectures"):
            if values[name] is None:
                del values[name]
        return values

    def to_json_string(self) -> str:
        """Return the text of a ``config.json``: sorted keys, two spaces."""
        text = json.dumps(self.to_dict(), indent=2, sort_keys=True, default=_as_json)
        return text + "\n"

    def save_pretrained(self, save_directory: str | Path) -> None:
        """Write ``config.json`` into a folder, which is made if need be.

        Raises:
            ConfigError: for labels that were changed one by one, and do not fit.
        """
        text = self.replace().to_json_string()
        write_file(Path(save_directory) / "config.json", text.encode())

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
_RESULTS = {
    "output_hidden_states": False,
    "output_attentions": False,
    "return_dict": True,
}
_SWITCHES = ("sinusoidal_pos_embds", "tie_word_embeddings", *_RESULTS)


@functools.cache
def _fields() -> frozenset[str]:
    return frozenset(field.name for field in dataclasses.fields(DistilBertConfig))


def _without_aliases(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values by their own names; ConfigError if two names of one disagree."""
    values = dict(values)
    for alias, name in ALIASES.items():
        if alias in values:
            value = values.pop(alias)
            if values.setdefault(name, value) != value:
                raise ConfigError(
                    f"{alias}={quote(value)} contradicts {name}={quote(values[name])}: "
                    f"they are two names of one number; drop one"
                )
    return values


def _as_json(value: Any) -> Any:
    """What JSON can write of a dtype of torch's, or of a number of numpy's."""
    if type(value).__name__ == "dtype":
        return str(value).removeprefix("torch.")
    if hasattr(value, "item"):
        return value.item()
    raise TypeError(f"{quote(value)} cannot be written as JSON; give text or a number")


def default_labels(count: int) -> dict[int, str]:
    """Return the names of labels that were given none."""
    return {i: f"LABEL_{i}" for i in range(count)}


def _inverse(id2label: dict[int, str]) -> dict[str, int]:
    return {label: i for i, label in id2label.items()}


def _wrong(name: str, got: object, expected: str) -> ConfigError:
    return ConfigError(f"{name} is {quote(got)}, expected {expected}")


def _integer(name: str, value: Any, minimum: int, maximum: int | None = None) -> int:
    """The value as an int; ConfigError if it is none, or out of range."""
    integer = check_integer(name, value, minimum=minimum, error=ConfigError)
    if maximum is not None and integer > maximum:
        raise _wrong(name, value, f"at most {maximum}")
    return integer


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
