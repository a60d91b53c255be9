"""Error messages: their base class, and how they show what was got.

A value is shown on one line, and never all of a long one. It may come from a hostile
file: a name of a million characters, brackets ten thousand deep, half of a surrogate
pair.
"""

from __future__ import annotations

import difflib
import operator
import re
from collections.abc import Iterable
from numbers import Real
from reprlib import Repr
from typing import TypeGuard


class MinidistilError(Exception):
    """The base of this library's own errors, each of which says what to do.

    Each of them is a built-in kind of error too, such as ValueError. A wrong argument
    is a plain TypeError, ValueError or IndexError, as elsewhere in Python.
    """


_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 120  # characters
_SHORT.maxlevel = 3
_SHORT.maxdict = _SHORT.maxlist = _SHORT.maxtuple = 12  # entries


def quote(value: object) -> str:
    """The value as Python writes it; of a long one, the beginning and the end."""
    return _SHORT.repr(value)


def shorten(text: object, length: int = 300) -> str:
    """What another library says, printable, in ``length`` characters at most."""
    whole = str(text).encode(errors="backslashreplace").decode()
    return whole if len(whole) <= length else f"{whole[:length]} …"


def first_line(error: BaseException) -> str:
    """What an error of another library says first, without the full stop."""
    text = str(error).strip() or type(error).__name__
    return shorten(text.splitlines()[0].rstrip(" ."))


def which_input(error: BaseException) -> tuple[int, str] | None:
    """Which of several inputs a pipeline's error is about, and what it says of it.

    Returns:
        The input's place, from 0, and what stands behind its name: of "text 5 is …"
        that is (5, " is …"). None where the error names no input.
    """
    text = str(error)
    named = re.match(r"(?:text|prompt|question) (\d+)", text)
    return None if named is None else (int(named[1]), text[named.end() :])


def is_boolean(value: object) -> bool:
    """Whether it is True or False: Python's, or one that numpy or torch made."""
    return isinstance(value, bool) or (
        # Asked by name, since neither of the two is imported for this.
        str(getattr(value, "dtype", "")) in ("bool", "torch.bool")
        and getattr(value, "ndim", None) == 0
    )


def as_integer(value: object) -> int | None:
    """The integer that a value is, as Python's own; None if it is none.

    Those of numpy are integers, and so is a tensor that holds one and nothing else.
    """
    # bool is a subclass of int; top_k=True is a mistake.
    if is_boolean(value) or getattr(value, "ndim", 0) != 0:
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]  # that is the question
    except TypeError:
        return None


def is_number(value: object) -> TypeGuard[Real]:
    """Whether it is a number, integer or not, of Python or numpy; a bool is none."""
    return isinstance(value, Real) and not is_boolean(value)


def check_integer(
    name: str, value: object, *, minimum: int, error: type[ValueError] = ValueError
) -> int:
    """Return an integer as Python's own; raise ``error`` if it is none, or too small.

    The caller keeps what is returned: one of numpy's cannot be written as JSON.
    """
    found = as_integer(value)
    if found is None or found < minimum:
        raise error(
            f"{name} is {quote(value)}, expected an integer of at least {minimum}"
        )
    return found


def check_flag(name: str, value: object) -> bool:
    """Return True or False as Python's own; raise ValueError for anything else."""
    if not is_boolean(value):
        raise ValueError(f"{name} is {quote(value)}, expected True or False")
    return bool(value)


def with_library(value: object) -> str:
    """What a value is, such as "a BertTokenizer of transformers" or "a str".

    The library is named because two of them may have classes of one name.
    """
    kind = type(value)
    library = kind.__module__.partition(".")[0]
    of = "" if library in ("builtins", "__main__") else f" of {library}"
    return f"{'an' if kind.__name__[0] in 'AEIOUaeiou' else 'a'} {kind.__name__}{of}"


def check_characters(name: str, text: str) -> None:
    """Raise TypeError at half of a surrogate pair, which stands for no character."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = text[error.start]
        raise TypeError(
            f"{name} has half of a surrogate pair, {half!r} (character {error.start}), "
            f"expected whole characters; decode it as UTF-8"
        ) from None


def unknown_keyword(
    unknown: Iterable[str], known: Iterable[str], where: str
) -> TypeError:
    """Return the error for the first of ``unknown``, given to ``where``."""
    name, known = next(iter(unknown)), sorted(known)
    # A part of a name says more than letters in common: mask, of attention_mask.
    near = [each for each in known if name in each] if len(name) > 2 else []
    near = near or difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(known)}"
    return TypeError(f"{where} has no argument {name!r}; {hint}")
