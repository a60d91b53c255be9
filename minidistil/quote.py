"""How an error message shows what it got: on one line, and never all of a long value.

What is quoted may come from a hostile file: a name of a million characters, brackets
ten thousand deep, half of a surrogate pair.
"""

from __future__ import annotations

from reprlib import Repr

_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 120  # characters
_SHORT.maxlevel = 3
_SHORT.maxdict = _SHORT.maxlist = _SHORT.maxtuple = 12  # entries


def quote(value: object) -> str:
    """The value as Python writes it; of a long one, the beginning and the end."""
    return _SHORT.repr(value)


def cut(text: object, length: int = 300) -> str:
    """What another library says, printable, in ``length`` characters at most."""
    whole = str(text).encode(errors="backslashreplace").decode()
    return whole if len(whole) <= length else f"{whole[:length]} …"
