"""The words of a tokenizer and their ids; special tokens and how to add some."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from minidistil.messages import quote
from minidistil.tokenizer.backends import rust_token
from minidistil.tokenizer.inputs import check_keywords
from minidistil.tokenizer.special_tokens import EXTRA, OLD_EXTRA
from minidistil.tokenizer.vocabulary import (
    OPTIONAL_SPECIALS,
    SPECIALS,
    AddedToken,
    as_added,
    with_added,
)
from minidistil.tokenizer.words import CHANGING, Words

if TYPE_CHECKING:
    import tokenizers


class VocabularyAccess(Words):
    """Words and ids, special tokens and literals; see `DistilBertTokenizer`."""

    def convert_tokens_to_ids(self, tokens: str | Iterable[str]) -> int | list[int]:
        """The id of a token, or the ids of many; the unknown token's for any other."""
        if isinstance(tokens, str):
            return self._state.id_of(tokens)
        return self._state.ids_of(tokens)

    def get_vocab(self) -> dict[str, int]:
        """A copy of the vocabulary, added tokens included: token to id."""
        return dict(self._state.ids)

    @property
    def vocab(self) -> dict[str, int]:
        """The same as `get_vocab()`."""
        return self.get_vocab()

    @property
    def vocab_size(self) -> int:
        """The number of tokens without the added ones; `len()` counts all."""
        return len(self._state.recipe.vocab)

    def __len__(self) -> int:
        return len(self._state.ids)

    def get_added_vocab(self) -> dict[str, int]:
        """The literals, special tokens among them, and their ids."""
        return {token.content: token.id for token in self._state.recipe.added}

    @property
    def added_tokens_encoder(self) -> dict[str, int]:
        """The same as `get_added_vocab()`."""
        return self.get_added_vocab()

    @property
    def added_tokens_decoder(self) -> dict[int, tokenizers.AddedToken]:
        """The literals by their ids, and how each is matched."""
        return {token.id: rust_token(token) for token in self._state.recipe.added}

    # Special tokens

    @property
    def special_tokens_map(self) -> dict[str, str]:
        """The special tokens by name."""
        return dict(self._state.named)

    @property
    def extra_special_tokens(self) -> list[str]:
        """The special tokens that have no name."""
        return [*self._state.extra]

    @property
    def additional_special_tokens(self) -> list[str]:
        """The same as `extra_special_tokens`."""
        return self.extra_special_tokens

    @property
    def extra_special_tokens_ids(self) -> list[int]:
        """Their ids."""
        return self._state.ids_of(self._state.extra)

    @property
    def additional_special_tokens_ids(self) -> list[int]:
        """Their ids."""
        return self.extra_special_tokens_ids

    @property
    def all_special_tokens(self) -> list[str]:
        """The special tokens, those with a name first."""
        return [*self._state.all_special]

    @property
    def all_special_ids(self) -> list[int]:
        """Their ids."""
        return self._state.ids_of(self._state.all_special)

    def add_tokens(self, new_tokens: Any, special_tokens: bool = False) -> int:
        """Add literals behind the tokens that are there.

        The model needs a row for each: `model.resize_token_embeddings(len(tokenizer))`.
        Threads that tokenize meanwhile see the tokens of before or of after.

        Args:
            new_tokens: A string, an `AddedToken`, or a list of either.
            special_tokens: Whether they are special: matched exactly as written, and
                left out by `decode` if it is asked to.

        Returns:
            How many are new, or are matched in another way than before.
        """
        if not isinstance(new_tokens, (list, tuple)):
            new_tokens = [new_tokens] if new_tokens else []
        with CHANGING:
            state = self._state
            added, count = with_added(
                state.recipe, new_tokens, special=bool(special_tokens)
            )
            if count:
                recipe = replace(state.recipe, added=added)
                self._state = state.changed(recipe=recipe)
        return count

    def add_special_tokens(
        self,
        special_tokens_dict: Mapping[str, Any],
        replace_extra_special_tokens: bool = True,
        **old: Any,
    ) -> int:
        """Add special tokens, with a name or without.

        Args:
            special_tokens_dict: Tokens by name, as `{"pad_token": "<pad>"}`; a list of
                those without a name is `"extra_special_tokens"` (or, as it was once
                called, `"additional_special_tokens"`).
            replace_extra_special_tokens: Whether that list takes the place of the
                former one. The tokens of the former stay in the vocabulary.
            old: `replace_additional_special_tokens`, the old name of the same.

        Returns:
            How many are new, or are matched in another way than before.

        Raises:
            ValueError: There is no such name, or it is no token.
        """
        former = "replace_additional_special_tokens"
        replaces = bool(old.pop(former, replace_extra_special_tokens))
        check_keywords("add_special_tokens()", old, self.add_special_tokens)
        tokens: list[AddedToken] = []
        named: dict[str, str] = {}
        given = dict(special_tokens_dict)
        if OLD_EXTRA in given and not given.get(EXTRA):
            given[EXTRA] = given.pop(OLD_EXTRA)  # behind those with a name
        with CHANGING:
            state = self._state
            extra = state.extra
            known = (*SPECIALS, *OPTIONAL_SPECIALS, *state.named)
            for name, value in given.items():
                if name in (EXTRA, OLD_EXTRA):
                    if not isinstance(value, (list, tuple)):
                        raise ValueError(
                            f"{name} is {quote(value)}, expected a list of tokens"
                        )
                    new = [as_added(token, special=True) for token in value]
                    if not replaces:
                        new = [token for token in new if token.content not in extra]
                    contents = tuple(token.content for token in new)
                    kept = () if replaces and new else extra
                    extra = tuple(dict.fromkeys((*kept, *contents)))
                    tokens += new
                elif name in known:
                    tokens.append(as_added(value, special=True))
                    named[name] = tokens[-1].content
                else:
                    raise ValueError(
                        f"there is no special token {name!r}, expected one of "
                        f"{', '.join(dict.fromkeys(known))}, {EXTRA}"
                    )
            added, count = with_added(state.recipe, tokens, special=True)
            recipe = replace(state.recipe, added=added)
            self._state = self._renamed(state, named, recipe=recipe, extra=extra)
        return count
