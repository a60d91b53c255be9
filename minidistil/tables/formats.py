"""The formats of tables, by the endings of files' names."""

from __future__ import annotations

from minidistil.tables.rows import TableError

# How each format is called in the code, and how the names of its files end.
ENDINGS = {
    "txt": (".txt",),
    "csv": (".csv",),
    "tsv": (".tsv",),
    "jsonl": (".jsonl", ".ndjson"),
    "parquet": (".parquet",),
}
COMPRESSIONS = {"gz": ".gz", "zst": ".zst"}
DELIMITERS = {"csv": ",", "tsv": "\t"}


def format_of(name: str) -> tuple[str, str] | None:
    """Return the format and the compression that the ending of a file's name says.

    Args:
        name: The name, or a path or an address that ends in it: ``"reviews.csv.gz"``.

    Returns:
        Such as ``("csv", "gz")``, or ``("csv", "")`` if it is not compressed; None for
        any other ending.

    Raises:
        TableError: for Parquet in a compressed file, which nobody could read in part.
    """
    rest = name.lower()
    compression = ""
    for each, ending in COMPRESSIONS.items():
        if rest.endswith(ending):
            rest, compression = rest.removesuffix(ending), each
            break
    for each, endings in ENDINGS.items():
        if rest.endswith(endings):
            if each == "parquet" and compression:
                raise TableError(
                    f"{name} is compressed as a whole; Parquet is compressed inside: "
                    f"unpack it, or write it as .parquet"
                )
            return each, compression
    return None


def known_endings() -> str:
    """All endings, for an error: ".txt, .csv … or .parquet"."""
    *some, last = [ending for endings in ENDINGS.values() for ending in endings]
    return f"{', '.join(some)} or {last}; all but .parquet also with .gz or .zst"
