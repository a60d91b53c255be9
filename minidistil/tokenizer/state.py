"""All that a tokenizer knows at a moment: replaced as a whole, and never changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from minidistil.tokenizer.backends import Backend, PythonBackend, RustBackend
from minidistil.tokenizer.rows import Frame
from minidistil.tokenizer.vocabulary import OPTIONAL_SPECIALS, SPECIALS, Recipe

BACKENDS: dict[str, Callable[[Recipe], Backend]] = {
    "rust": RustBackend,
    "python": PythonBackend,
}


@dataclass(frozen=True)
class State:
    """The words, the special ones by name, and what splits text into them.

    Attributes:
        recipe: What decides how text is split.
        named: The special tokens that have a name.
        extra: Those that have none.
        kind: The name of the backend.
    """

    recipe: Recipe
    named: Mapping[str, str]
    extra: tuple[str, ...]
    kind: str

    def __post_init__(self) -> None:
        order = dict.fromkeys((*OPTIONAL_SPECIALS, *SPECIALS, *self.named))
        named = {name: self.named[name] for name in order if name in self.named}
        object.__setattr__(self, "named", named)

    @cached_property
    def ids(self) -> dict[str, int]:
        """The id of each token, added ones included."""
        return self.recipe.ids

    @cached_property
    def tokens(self) -> dict[int, str]:
        """The token of each id, as it is decoded."""
        tokens = {id: token for token, id in self.ids.items()}
        return tokens | self.backend.written

    @cached_property
    def skipped(self) -> frozenset[str]:
        """What `decode` leaves out if asked to: the literals that are special."""
        return frozenset(
            self.tokens[one.id] for one in self.recipe.added if one.special
        )

    @cached_property
    def all_special(self) -> list[str]:
        """The special tokens that a name or a list names."""
        return list(dict.fromkeys((*self.named.values(), *self.extra)))

    @cached_property
    def backend(self) -> Backend:
        """What splits text."""
        return BACKENDS[self.kind](self.recipe)

    @cached_property
    def other_backend(self) -> Backend:
        """One that takes special tokens in a text for text, or the reverse."""
        split = not self.recipe.split_special_tokens
        return BACKENDS[self.kind](replace(self.recipe, split_special_tokens=split))

    @cached_property
    def token_frame(self) -> Frame:
        """The tokens that stand around texts."""
        cls, sep, pad = (self.named[f"{name}_token"] for name in ("cls", "sep", "pad"))
        return Frame(cls, sep, sep, pad)

    @cached_property
    def id_frame(self) -> Frame:
        """Their ids."""
        return Frame(*map(self.ids.get, self.token_frame))

    def id_of(self, token: str) -> int:
        """The id of a token; the unknown token's for any other."""
        return self.ids.get(token, self.ids[self.named["unk_token"]])

    def ids_of(self, tokens: Iterable[str]) -> list[int]:
        """The ids of tokens."""
        return [self.id_of(token) for token in tokens]

    def changed(self, **changes: Any) -> State:
        """A new one in which something is different, ready for use."""
        new = replace(self, **changes)
        if new.recipe == self.recipe:
            new.__dict__["backend"] = self.backend
        _ = new.backend  # so that what is wrong with it is raised before it is used
        return new
