"""Safetensors files written by hand: sound ones, odd ones and hostile ones."""

from __future__ import annotations

import json
import struct

EIGHT = struct.pack("<2f", 1.5, -2.25)  # two float32


def described(dtype="F32", shape=(2,), begin=0, end=8):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def file_bytes(header: dict | bytes, data: bytes = b"", *, length: int | None = None):
    """Write a safetensors file by hand: length, header, data."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


OK = {"w": described()}
HOSTILE = {
    "empty": b"",
    "shorter than its length": b"abc",
    "no header": file_bytes(b""),
    "header of 10 GB": file_bytes(OK, EIGHT, length=10**10),
    "header of 2**64 - 1 bytes": file_bytes(OK, EIGHT, length=2**64 - 1),
    "header longer than the file": file_bytes(OK, EIGHT, length=10**6),
    "header cut": file_bytes(OK, EIGHT, length=20),
    "data cut": file_bytes(OK, EIGHT[:-1]),
    "data too long": file_bytes(OK, EIGHT + b"x"),
    "data missing": file_bytes(OK),
    "overlap": file_bytes({"v": described(begin=4, end=12), **OK}, bytes(12)),
    "same place": file_bytes({"v": described(), **OK}, EIGHT),
    "hole": file_bytes({"v": described(begin=12, end=20), **OK}, bytes(20)),
    "hole at the start": file_bytes({"w": described(begin=4, end=12)}, bytes(12)),
    "backwards": file_bytes({"w": described(begin=8, end=0)}, EIGHT),
    "negative place": file_bytes({"w": described(begin=-8, end=0)}, EIGHT),
    "shape too large": file_bytes({"w": described(shape=(3,))}, EIGHT),
    "shape too small": file_bytes({"w": described(shape=(1,))}, EIGHT),
    "negative shape": file_bytes({"w": described(shape=(-1, -2))}, EIGHT),
    "overflowing shape": file_bytes({"w": described(shape=(2**62, 4, 2))}, EIGHT),
    "shape over 64 bits": file_bytes({"w": described(shape=(2**64 + 2,))}, EIGHT),
    "shape not whole": file_bytes({"w": described(shape=(2.0,))}, EIGHT),
    "no shape": file_bytes({"w": {"dtype": "F32", "data_offsets": [0, 8]}}, EIGHT),
    "unknown type": file_bytes({"w": described(dtype="F31")}, EIGHT),
    "not JSON": file_bytes(b"weights", EIGHT),
    "a list": file_bytes(b"[]"),
    "nested deeply": file_bytes(b'{"w":' * 50_000, EIGHT),
    "not UTF-8": file_bytes(b'{"\xff":1}', EIGHT),
    "tensor is no object": file_bytes({"w": 1}, EIGHT),
    "metadata no strings": file_bytes({"__metadata__": {"a": 1}, **OK}, EIGHT),
    "named twice": file_bytes(
        b"{%b,%b}" % ((json.dumps(OK)[1:-1].encode(),) * 2), EIGHT
    ),
    "no tensors": file_bytes({}),
    "a zip file": b"PK\x03\x04" + bytes(100),
    "a pickle": b"\x80\x02}q\x00." + bytes(100),
    "a web page": b"<!DOCTYPE html><html><body>Not Found</body></html>",
}
