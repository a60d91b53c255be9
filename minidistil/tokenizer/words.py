"""What a tokenizer is made of: its settings, and what they mean."""

from __future__ import annotations

import difflib
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from minidistil.messages import quote
from minidistil.tokenizer.backends import build_python, build_whole_rust
from minidistil.tokenizer.decoding import PLAIN, SPACED, TIDY
from minidistil.tokenizer.inputs import check_keywords, integer, one_of
from minidistil.tokenizer.state import BACKENDS, State
from minidistil.tokenizer.vocabulary import (
    OPTIONAL_SPECIALS,
    POSITIONS,
    SPECIALS,
    AddedToken,
    Recipe,
    as_added,
    numbered,
    read_vocab_txt,
    with_specials,
)
from minidistil.wordpiece import WordPiece

if TYPE_CHECKING:
    import tokenizers

SIDES = {"right": "right", "left": "left"}
JOININGS = {TIDY: TIDY, PLAIN: PLAIN, SPACED: SPACED}
# One change at a time: two threads that add tokens must not undo each other.
CHANGING = threading.Lock()


def _names(value: Any) -> list[str]:
    names = value if isinstance(value, (list, tuple)) else [None]
    if not all(isinstance(name, str) for name in names):
        raise ValueError(
            f"model_input_names is {quote(value)}, expected a list of names"
        )
    return [*names]


# What can be set, and the function that checks it.
SETTABLE: dict[str, Callable[[Any], Any]] = {
    "model_max_length": lambda value: integer("model_max_length", value, 0),
    "padding_side": lambda value: one_of("padding_side", value, SIDES),
    "truncation_side": lambda value: one_of("truncation_side", value, SIDES),
    "clean_up_tokenization_spaces": lambda value: one_of(
        "clean_up_tokenization_spaces", value, {True: True, False: False}
    ),
    "model_input_names": _names,
    "name_or_path": str,
}
# Names that tokenizers of other models have, and what to use here.
ABSENT = {
    "prepare_for_model": "give the texts to the tokenizer itself",
    "as_target_tokenizer": "an encoder has no target texts",
    "apply_chat_template": "DistilBERT is an encoder: there is no chat",
    "chat_template": "DistilBERT is an encoder: there is no chat",
    "sp_model": "this is WordPiece, not SentencePiece",
}


class Words:
    """The settings of a tokenizer; see `DistilBertTokenizer`."""

    pad_token_type_id: ClassVar[int] = 0
    vocab_files_names: ClassVar[dict[str, str]] = {
        "vocab_file": "vocab.txt",
        "tokenizer_file": "tokenizer.json",
    }
    model_max_length: int
    padding_side: str
    truncation_side: str
    clean_up_tokenization_spaces: bool
    model_input_names: list[str]
    name_or_path: str
    deprecation_warnings: dict[str, bool]
    unk_token: str
    sep_token: str
    pad_token: str
    cls_token: str
    mask_token: str
    unk_token_id: int
    sep_token_id: int
    pad_token_id: int
    cls_token_id: int
    mask_token_id: int
    _state: State
    _joining: str

    def __init__(
        self,
        vocab: str | os.PathLike[str] | Mapping[str, int],
        do_lower_case: bool = True,
        strip_accents: bool | None = None,
        tokenize_chinese_chars: bool = True,
        model_max_length: int = POSITIONS,
        *,
        backend: Literal["rust", "python"] = "rust",
        padding_side: Literal["right", "left"] = "right",
        truncation_side: Literal["right", "left"] = "right",
        clean_up_tokenization_spaces: bool = False,
        split_special_tokens: bool = False,
        unk_token: Any = "[UNK]",
        sep_token: Any = "[SEP]",
        pad_token: Any = "[PAD]",
        cls_token: Any = "[CLS]",
        mask_token: Any = "[MASK]",
        bos_token: Any = None,
        eos_token: Any = None,
        extra_special_tokens: Iterable[Any] | Mapping[str, Any] | None = None,
        additional_special_tokens: Iterable[Any] | None = None,
        model_specific_special_tokens: Mapping[str, Any] | None = None,
        added_tokens: Iterable[Any] = (),
        model_input_names: Sequence[str] = ("input_ids", "attention_mask"),
        name_or_path: str = "",
        joining: Literal["tidy", "plain", "spaced"] = "tidy",
        **unknown: Any,
    ) -> None:
        """Make a tokenizer from a `vocab.txt`, or from a mapping of tokens to ids.

        A token is a string, or an `AddedToken`, which also says how it is matched.

        Args:
            vocab: The vocabulary, or the path of its file.
            do_lower_case: Whether the vocabulary is an uncased one.
            strip_accents: Whether to drop accents; None: when lower-casing.
            tokenize_chinese_chars: Whether each Chinese character is a word.
            model_max_length: The most tokens that the model takes.
            backend: "rust" (the `tokenizers` library) or "python" (`wordpiece.py`).
            padding_side: Where padding goes unless a call says otherwise.
            truncation_side: Where texts are truncated unless a call says otherwise.
            clean_up_tokenization_spaces: The default of `decode`'s argument.
            split_special_tokens: Whether a text that spells "[SEP]" is just text.
            unk_token: Stands for a word that the vocabulary cannot spell.
            sep_token: Stands after each text.
            pad_token: Fills rows up to one length.
            cls_token: Stands before the first text.
            mask_token: Hides a token that the model is to predict.
            bos_token: Not used by a BERT.
            eos_token: Not used by a BERT.
            extra_special_tokens: Further special tokens, or a mapping that names them.
            additional_special_tokens: Another name of the same.
            model_specific_special_tokens: Special tokens by name, as "image_token".
            added_tokens: Literals beyond the vocabulary. One without an id gets the
                next that is free.
            model_input_names: What a call returns where it is not asked.
            name_or_path: Where the tokenizer is from.
            joining: How `decode` puts tokens together: "tidy" as English is written,
                "plain" with a space between words, "spaced" between tokens.
            unknown: Anything else is a mistake.

        Raises:
            TypeError: An argument does not exist, or is no token.
            ValueError: A special token is missing in the vocabulary, or an id is not
                that of one token.
        """
        check_keywords(type(self).__name__, unknown, type(self))
        if not isinstance(vocab, Mapping):
            vocab = read_vocab_txt(Path(vocab))
        given = {
            "bos_token": bos_token,
            "eos_token": eos_token,
            "unk_token": unk_token,
            "sep_token": sep_token,
            "pad_token": pad_token,
            "cls_token": cls_token,
            "mask_token": mask_token,
            **(model_specific_special_tokens or {}),
        }
        extra = extra_special_tokens or additional_special_tokens or ()
        if isinstance(extra, Mapping):
            given, extra = {**given, **extra}, ()
        tokens = {
            name: as_added(token, special=True)
            for name, token in given.items()
            if token is not None or name in SPECIALS
        }
        named = {name: token.content for name, token in tokens.items()}
        extra = [as_added(token, special=True) for token in extra]
        added = [as_added(token, special=False) for token in added_tokens]
        # Those that say how they are matched.
        known = {token.content for token in added}
        added += [
            token
            for token in (*tokens.values(), *extra)
            if token.flags() != AddedToken("").flags() and token.content not in known
        ]
        names = tuple(token.content for token in extra)
        recipe = Recipe(
            dict(vocab),
            with_specials(vocab, numbered(vocab, added), named, names),
            named["unk_token"],
            do_lower_case,
            strip_accents,
            tokenize_chinese_chars,
            split_special_tokens,
        )
        one_of("backend", backend, BACKENDS)
        self._joining = one_of("joining", joining, JOININGS)
        self.model_max_length = model_max_length
        self.padding_side = padding_side
        self.truncation_side = truncation_side
        self.clean_up_tokenization_spaces = clean_up_tokenization_spaces
        self.model_input_names = model_input_names  # type: ignore[assignment]
        self.name_or_path = name_or_path
        self.deprecation_warnings = {}  # transformers' collators write here
        state = State(recipe, named, names, backend)
        _ = state.backend
        self._state = state

    # Settings

    def __setattr__(self, name: str, value: Any) -> None:
        kind = type(self)
        if name in SETTABLE:
            value = SETTABLE[name](value)
        elif name.endswith(("_token", "_token_id")) and name in self._special_names():
            self._rename(name.removesuffix("_id"), value, by_id=name.endswith("_id"))
            return
        elif (
            isinstance(found := getattr(kind, name, None), property) and not found.fset
        ):
            raise AttributeError(
                f"cannot set {name!r}: it decides how text is split; make another "
                f"tokenizer, as in from_pretrained(…, {name}=…)"
            )
        elif not name.startswith("_") and not hasattr(self, name):
            near = difflib.get_close_matches(name, SETTABLE, n=1)
            if near:
                raise AttributeError(
                    f"a tokenizer has no {name!r}; did you mean {near[0]!r}?"
                )
        object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        state = self.__dict__.get("_state")
        if state is not None and name.endswith(("_token", "_token_id")):
            token = state.named.get(name.removesuffix("_id"))
            if token is not None:
                return state.id_of(token) if name.endswith("_id") else token
            if name.removesuffix("_id") in OPTIONAL_SPECIALS:
                return None
        hint = f"; {ABSENT[name]}" if name in ABSENT else ""
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}{hint}")

    def _special_names(self) -> set[str]:
        state = self.__dict__.get("_state")
        names = {*SPECIALS, *OPTIONAL_SPECIALS, *(state.named if state else ())}
        return names | {f"{name}_id" for name in names}

    def _rename(self, name: str, value: Any, *, by_id: bool) -> None:
        """Let another token of the vocabulary stand for something."""
        with CHANGING:
            state = self._state
            if value is None and name not in SPECIALS:
                named = {key: state.named[key] for key in state.named if key != name}
                self._state = state.changed(named=named)
                return
            if by_id and value in state.tokens:
                token = state.tokens[value]
            else:
                token = "" if by_id else as_added(value, special=True).content
            if token not in state.ids:
                raise ValueError(
                    f"{name} cannot become {quote(value)}, which is not in the "
                    f"vocabulary; add_special_tokens({{{name!r}: …}}) adds it"
                )
            self._state = self._renamed(state, {name: token})

    @staticmethod
    def _renamed(state: State, named: Mapping[str, str], **changes: Any) -> State:
        """A state in which tokens have other names."""
        named = {**state.named, **named}
        recipe = changes.pop("recipe", state.recipe)
        recipe = replace(recipe, unk_token=named["unk_token"])
        return state.changed(recipe=recipe, named=named, **changes)

    @property
    def do_lower_case(self) -> bool:
        """Whether capitals are read as small letters."""
        return self._state.recipe.do_lower_case

    @property
    def strip_accents(self) -> bool | None:
        """Whether accents are dropped; None: when lower-casing."""
        return self._state.recipe.strip_accents

    @property
    def tokenize_chinese_chars(self) -> bool:
        """Whether each Chinese character is a word."""
        return self._state.recipe.tokenize_chinese_chars

    @property
    def split_special_tokens(self) -> bool:
        """Whether a text that spells a special token is just text."""
        return self._state.recipe.split_special_tokens

    @property
    def backend(self) -> str:
        """What splits text: "rust" or "python"."""
        return self._state.kind

    @property
    def is_fast(self) -> bool:
        """True: it knows of each token which characters of the text it stands for."""
        return True

    @property
    def init_kwargs(self) -> dict[str, Any]:
        """The settings, by the names of the arguments that make such a tokenizer."""
        return {
            name: value for name, value in self._settings().items() if name != "vocab"
        }

    def _settings(self) -> dict[str, Any]:
        """The arguments that make an equal tokenizer, as JSON can write them."""
        state, recipe = self._state, self._state.recipe
        named = dict(state.named)
        plain = (*SPECIALS, *OPTIONAL_SPECIALS)
        return {
            "vocab": dict(sorted(recipe.vocab.items(), key=lambda item: item[1])),
            "backend": state.kind,
            "do_lower_case": recipe.do_lower_case,
            "strip_accents": recipe.strip_accents,
            "tokenize_chinese_chars": recipe.tokenize_chinese_chars,
            "split_special_tokens": recipe.split_special_tokens,
            **{name: getattr(self, name) for name in SETTABLE},
            **{name: named.pop(name) for name in plain if name in named},
            "model_specific_special_tokens": named,
            "extra_special_tokens": [*state.extra],
            "added_tokens": [token._asdict() for token in recipe.added],
            "joining": self._joining,
        }

    # What splits text

    def wordpiece(self) -> WordPiece:
        """The same vocabulary and settings in plain Python, to watch each step.

        Raises:
            ValueError: An added token is not a plain literal.
        """
        return build_python(self._state.recipe)

    @property
    def backend_tokenizer(self) -> tokenizers.Tokenizer:
        """The same as a `tokenizers.Tokenizer`, with special tokens around texts.

        It is a copy: to change it does not change this tokenizer.
        """
        state = self._state
        return build_whole_rust(
            state.recipe, state.token_frame.cls, state.token_frame.sep, self._joining
        )
