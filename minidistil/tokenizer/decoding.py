"""From tokens back to text."""

from __future__ import annotations

from collections.abc import Iterable

# How English is written where WordPiece has put spaces; in this order.
CONTRACTIONS = (
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
)


def join(tokens: Iterable[str]) -> str:
    """Put tokens together: "##" continues a word, punctuation closes up to it.

    >>> join(["untrust", "##worthy", "!"])
    'untrustworthy!'
    """
    text = ""
    for number, token in enumerate(tokens):
        if number:
            token = token[2:] if token.startswith("##") else " " + token
        text += close_up(token)
    return text


def close_up(text: str) -> str:
    """Write the contractions as they are written."""
    for apart, together in CONTRACTIONS:
        text = text.replace(apart, together)
    return text
