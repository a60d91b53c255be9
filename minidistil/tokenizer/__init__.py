"""Text in, token ids out, and back.

Reading order: `tokenizer` (the class and its call), `backends` (what splits the text),
`rows` (truncation, special tokens, padding), `encoding` (the result), `vocabulary`
(the files).
"""

from __future__ import annotations

from minidistil.tokenizer.encoding import BatchEncoding
from minidistil.tokenizer.tokenizer import DistilBertTokenizer

__all__ = ["BatchEncoding", "DistilBertTokenizer"]
