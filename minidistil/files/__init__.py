"""Files of any kind, on any system.

- `reading`: what the system refuses is told apart from what is wrong with a file.
- `writing`: whole or not at all, through links and into pipes, with the old mode.
"""

from __future__ import annotations

from minidistil.files.reading import (
    errno_of,
    is_file,
    is_folder,
    mode_of,
    read_bytes,
    read_json,
    reading_from,
    refusal,
)
from minidistil.files.writing import (
    is_temporary,
    replacing,
    replacing_all,
    sync_folder,
    write_file,
)

__all__ = [
    "errno_of",
    "is_file",
    "is_folder",
    "is_temporary",
    "mode_of",
    "read_bytes",
    "read_json",
    "reading_from",
    "refusal",
    "replacing",
    "replacing_all",
    "sync_folder",
    "write_file",
]
