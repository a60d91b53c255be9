"""Hide words, for the model to guess: masked language modelling.

As BERT has it (Devlin et al. 2018, arXiv:1810.04805, 3.1), but for which tokens are
chosen: DistilBERT was trained with rare words more often than frequent ones, as XLM
proposed (Lample and Conneau 2019, arXiv:1901.07291, 3.3).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

IGNORED = -100  # the label of a token that is not to be guessed


class Masking(NamedTuple):
    """How tokens are hidden.

    Attributes:
        share: Of all tokens that may be, how many have to be guessed.
        hidden: Of these, how many become [MASK].
        random: How many become a random word; the rest stays, and is guessed too.
        smoothing: A token of count n in the corpus is chosen in proportion to
            n ** -smoothing; 0 is all alike.
    """

    share: float = 0.15
    hidden: float = 0.8
    random: float = 0.1
    smoothing: float = 0.0


def chances(counts: Tensor, special: Tensor, smoothing: float) -> Tensor:
    """How likely each word of the vocabulary is chosen, in proportion, (V,) float64.

    Args:
        counts: How often each occurs in the corpus, (V,).
        special: Which of them are [CLS], [SEP], [PAD], [MASK] …, (V,) booleans: never.
        smoothing: See `Masking`.
    """
    found = counts.clamp(min=1).double().pow(-smoothing)
    return found.masked_fill(special, 0.0)


def mask(
    ids: Tensor,
    chances: Tensor,
    mask_id: int,
    masking: Masking,
    draw: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Hide some of the tokens of a batch.

    Args:
        ids: The tokens of all its rows, end to end, (N,).
        chances: See `chances`.
        mask_id: The id of [MASK].
        masking: How many of them.
        draw: Where the random numbers come from.

    Returns:
        What the model reads, (N,), and what it has to guess, (N,): the token that was
        there, or `IGNORED`.
    """
    weights = chances[ids]  # (N,)
    possible = int((weights > 0).sum())
    count = min(math.ceil(masking.share * possible), possible)
    # Each waits for a time that is exponential in its weight; the first ones are
    # chosen: a draw without replacement (Efraimidis and Spirakis 2006).
    waits = torch.empty(len(ids), dtype=torch.float64).exponential_(generator=draw)
    chosen = (waits / weights).topk(count, largest=False).indices
    labels = torch.full_like(ids, IGNORED)
    labels[chosen] = ids[chosen]
    fate = torch.rand(count, generator=draw)
    words = torch.randint(len(chances), (count,), generator=draw, dtype=ids.dtype)
    read = ids.clone()
    read[chosen] = torch.where(
        fate < masking.hidden,
        torch.full_like(words, mask_id),
        torch.where(fate < masking.hidden + masking.random, words, ids[chosen]),
    )
    return read, labels
