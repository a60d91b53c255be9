"""Text in, token ids out, and back.

Reading order, each file a class that the next one extends: `words` (the settings),
`access` (tokens, ids and special tokens), `text` (decoding), `storage` (files) and
`tokenizer` (the class and its call). They stand on `backends` (what splits the text),
`rows` (truncation, special tokens, padding), `encoding` and `row_encoding` (the
result), `vocabulary` and `state` (what is known), and, for the files,
`checkpoint_files`, `special_tokens`, `tokenizer_json` and `settings`.
"""

from __future__ import annotations

from minidistil.tokenizer.encoding import BatchEncoding
from minidistil.tokenizer.row_encoding import CharSpan, Encoding, TokenSpan
from minidistil.tokenizer.tokenizer import DistilBertTokenizer

__all__ = ["BatchEncoding", "CharSpan", "DistilBertTokenizer", "Encoding", "TokenSpan"]
