"""From ids back to tokens and text."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from typing import Any

from minidistil.tokenizer.access import VocabularyAccess
from minidistil.tokenizer.decoding import close_up, join
from minidistil.tokenizer.inputs import to_lists


class Decoder(VocabularyAccess):
    """Ids and tokens to text; see `DistilBertTokenizer`."""

    def decode(
        self,
        token_ids: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> str | list[str]:
        """The text of ids: an id, a list of ids or a tensor; a batch gives a list.

        Args:
            token_ids: The ids, or an encoding that has `input_ids`.
            skip_special_tokens: Leave out [CLS], [SEP], [PAD], [UNK], [MASK] and what
                was added as special.
            clean_up_tokenization_spaces: Also close up what spans tokens: "it ' s"
                becomes "it's". None: as the tokenizer was made.

        Raises:
            ValueError: An id is not in the vocabulary.
        """
        if isinstance(token_ids, Mapping):
            token_ids = token_ids["input_ids"]
        ids = to_lists(token_ids)
        if clean_up_tokenization_spaces is None:
            clean_up_tokenization_spaces = self.clean_up_tokenization_spaces
        skipped = self._state.skipped if skip_special_tokens else ()

        def text_of(ids: list[int]) -> str:
            text = join(self._tokens_of(ids, skipped), self._joining)
            return close_up(text) if clean_up_tokenization_spaces else text

        if isinstance(ids, list) and any(isinstance(row, list) for row in ids):
            return [text_of(row) for row in ids]
        return text_of([ids] if isinstance(ids, int) else ids)

    def batch_decode(
        self,
        sequences: Any,
        skip_special_tokens: bool = False,
        clean_up_tokenization_spaces: bool | None = None,
    ) -> list[str]:
        """The text of each row of ids."""
        if isinstance(sequences, Mapping):
            sequences = sequences["input_ids"]
        if len(sequences) == 0:
            return []
        text = self.decode(sequences, skip_special_tokens, clean_up_tokenization_spaces)
        return [text] if isinstance(text, str) else text

    def clean_up_tokenization(self, text: str) -> str:
        """The text with the contractions of English closed up."""
        return close_up(text)

    def convert_tokens_to_string(self, tokens: Iterable[str]) -> str:
        """Tokens put together to text."""
        return join(tokens, self._joining)

    def convert_ids_to_tokens(
        self, ids: Any, skip_special_tokens: bool = False
    ) -> str | list[str]:
        """The token of an id, or the tokens of many.

        Args:
            ids: An id, a list of ids or a tensor.
            skip_special_tokens: Leave out what `all_special_tokens` lists.

        Raises:
            ValueError: An id is not in the vocabulary.
        """
        ids = to_lists(ids)
        if isinstance(ids, int):
            return self._tokens_of([ids], ())[0]
        special = self._state.all_special if skip_special_tokens else ()
        return self._tokens_of(ids, {*special})

    def _tokens_of(self, ids: Iterable[int], skipped: Container[str]) -> list[str]:
        known = self._state.tokens
        tokens = []
        for id in ids:
            if id not in known:
                raise ValueError(
                    f"there is no token with id {id!r}; expected an integer from 0 to "
                    f"{max(known)} that is in this tokenizer's vocabulary"
                )
            tokens.append(known[id])
        return [token for token in tokens if token not in skipped]
