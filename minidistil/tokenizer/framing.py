"""What stands around texts: [CLS] before the first, [SEP] after each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from minidistil.tokenizer.inputs import to_lists
from minidistil.tokenizer.rows import count_specials
from minidistil.tokenizer.storage import Stored


class Framing(Stored):
    """Special tokens around ids that are there; see `DistilBertTokenizer`."""

    def num_special_tokens_to_add(self, pair: bool = False) -> int:
        """How many special tokens stand around one text, or around a pair."""
        return count_specials(pair)

    @property
    def max_len_single_sentence(self) -> int:
        """The most tokens of a text, without those that stand around it."""
        return self.model_max_length - count_specials(pair=False)

    @property
    def max_len_sentences_pair(self) -> int:
        """The most tokens of two texts together, without those around them."""
        return self.model_max_length - count_specials(pair=True)

    def build_inputs_with_special_tokens(
        self, token_ids_0: Sequence[int], token_ids_1: Sequence[int] | None = None
    ) -> list[int]:
        """The ids of one text or two with those that stand around them."""
        frame = self._state.id_frame
        second = [] if token_ids_1 is None else [*to_lists(token_ids_1), frame.last]
        return [frame.cls, *to_lists(token_ids_0), frame.sep, *second]

    def create_token_type_ids_from_sequences(
        self, token_ids_0: Sequence[int], token_ids_1: Sequence[int] | None = None
    ) -> list[int]:
        """0 for the first text and what stands around it, 1 for the second."""
        second = 0 if token_ids_1 is None else len(token_ids_1) + 1
        return [0] * (len(token_ids_0) + 2) + [1] * second

    def get_special_tokens_mask(
        self,
        token_ids_0: Any,
        token_ids_1: Any = None,
        already_has_special_tokens: bool = False,
    ) -> list[int]:
        """1 for each special token in a row, 0 for others.

        Args:
            token_ids_0: The ids of a row; or of a text, which is still to be put
                between special tokens.
            token_ids_1: The ids of a second text.
            already_has_special_tokens: Whether it is a row.
        """
        if not already_has_special_tokens:
            second = [] if token_ids_1 is None else [*[0] * len(token_ids_1), 1]
            return [1, *[0] * len(token_ids_0), 1, *second]
        if token_ids_1 is not None:
            raise ValueError(
                "token_ids_1 is given, but a row that has its special tokens is whole; "
                "leave it out"
            )
        special = {*self.all_special_ids}
        return [int(id in special) for id in to_lists(token_ids_0)]
