"""From tokens back to text."""

from __future__ import annotations

from collections.abc import Iterable

# How tokens are put together, as a `tokenizer.json` can ask for:
TIDY = "tidy"  # "##" continues a word, and English is written as it is written
PLAIN = "plain"  # "##" continues a word
SPACED = "spaced"  # spaces between tokens as they are

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


def join(tokens: Iterable[str], joining: str = TIDY) -> str:
    """Put tokens together: "##" continues a word, punctuation closes up to it.

    >>> join(["untrust", "##worthy", "!"])
    'untrustworthy!'
    """
    if joining == SPACED:
        return " ".join(tokens)
    text = ""
    for number, token in enumerate(tokens):
        if number:
            token = token[2:] if token.startswith("##") else " " + token
        text += close_up(token) if joining == TIDY else token
    return text


def close_up(text: str) -> str:
    """Write the contractions as they are written."""
    for apart, together in CONTRACTIONS:
        text = text.replace(apart, together)
    return text
