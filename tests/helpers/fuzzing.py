"""Damage files on purpose, load them, and judge what comes of it.

A case is known by its group and number, and is the same in every run:

    python tests/helpers/fuzzing.py header 1234 1235

repeats one and says what went wrong. `test_fuzz` runs each group in a process of its
own, so that a crash is noticed, with its number. They are forked from one process
(without arguments), which imports torch once for all of them.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

from minidistil import CheckpointError, CheckpointNotFoundError, ConfigError

KINDS = (CheckpointError, CheckpointNotFoundError, ConfigError, ValueError)
SECONDS = 10.0  # of the processor's time; a case takes a hundredth of one
MEMORY = 2**30  # bytes of address space beyond what the process has at its start
LONGEST_MESSAGE = 5000  # characters


class HungError(BaseException):
    """A case took too long. No Exception: nothing on the way may swallow it."""


class WrongError(Exception):
    """What was loaded is not what the files say, or an error is not clear."""


class Group(NamedTuple):
    """One way to damage a checkpoint, or a table.

    `damage` writes a folder, `load` is what is tried, `judge` compares what was loaded
    with what another reader says of the same files, and raises `WrongError`. `kinds`
    are the errors that a damaged file may be refused with.
    """

    damage: Callable[[random.Random, Path], None]
    load: Callable[[Path], Any]
    judge: Callable[[Path, Any], None]
    kinds: tuple[type[Exception], ...] = KINDS


# Values


class Raw(str):
    """JSON as it shall stand in the file."""


class Pairs(list[tuple[Any, Any]]):
    """A JSON object, which may name a key twice."""


def pairs(value: Any) -> Any:
    """A copy of a JSON value whose objects are `Pairs`."""
    if isinstance(value, dict):
        return Pairs((key, pairs(each)) for key, each in value.items())
    return [pairs(each) for each in value] if isinstance(value, list) else value


def written(value: Any) -> str:
    """The JSON text of a value."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, Pairs):
        inside = (f"{json.dumps(key)}:{written(each)}" for key, each in value)
        return "{" + ",".join(inside) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(written, value)) + "]"
    return json.dumps(value)


STRANGE = (
    *(None, True, False, 0, 1, 2, -1, -0.0, 1.0, 1.5, 0.1, "", " ", "0", "1", "-1"),
    *(2**31, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64, -(2**63), 10**18, 10**100),
    *("x" * 300, "x" * 10**5, "\0", "é", "e\u0301", "中", "\U0001f600", "\n"),
    *("../../etc/passwd", "/etc/passwd", "..", ".", "true", "null", "NaN"),
    *([], [[]], [0], [None], ["a", "b"], Pairs(), Pairs([("0", "A"), ("1", "B")])),
    *(Pairs([("1", "A"), ("0", "B")]), Pairs([("0", 1)]), Pairs([("content", "x")])),
    *map(Raw, ("NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1e-400", "1E2")),
    *map(Raw, ("9" * 5000, "-1" + "0" * 5000, "0." + "3" * 5000, "1e" + "9" * 5000)),
    *map(Raw, (r'"\ud800"', r'"\udc00\ud800"', r'"\u0000"', r'"\u202e"', "01", "0x1")),
    *map(Raw, ("[" * 10**5, "[" * 900 + "]" * 900, '{"a":' * 5000 + "1" + "}" * 5000)),
    *map(Raw, ("", "undefined", "'a'", "1,2", "1 2", "//", "/**/1", "+1", ".5", "1.")),
)


def places(value: Any) -> list[tuple[Any, int]]:
    """Every place in a JSON value: the list (or `Pairs`) and the index in it."""
    found: list[tuple[Any, int]] = []
    if isinstance(value, list):
        for index, each in enumerate(value):
            found.append((value, index))
            found += places(each[1] if isinstance(value, Pairs) else each)
    return found


def damage_value(rng: random.Random, value: Any, likely: tuple[Any, ...] = ()) -> Any:
    """Change a JSON value (of `Pairs` and lists) in one place; it is returned."""
    everywhere = places(value)
    if not everywhere or rng.random() < 0.01:
        return rng.choice(STRANGE)
    container, index = rng.choice(everywhere)
    key, old = container[index] if isinstance(container, Pairs) else (None, None)
    if not isinstance(container, Pairs):
        old = container[index]

    def put(new: Any) -> None:
        container[index] = (key, new) if isinstance(container, Pairs) else new

    how = rng.randrange(9)
    if how == 0:
        del container[index]
    elif how == 1:
        container.insert(rng.randrange(len(container) + 1), container[index])
        if rng.random() < 0.7 and isinstance(container, Pairs):
            container.append((key, rng.choice((*likely, *STRANGE))))
    elif how == 2 and isinstance(container, Pairs):
        container[index] = (rng.choice((nudged(rng, str(key)), *keys(value))), old)
    elif how == 3:
        # Copies: a value that is put into itself would have no end.
        other, place = rng.choice(everywhere)
        if isinstance(other, Pairs) == isinstance(container, Pairs):
            left, right = deepcopy(container[index]), deepcopy(other[place])
            container[index], other[place] = right, left
        else:
            put(rng.choice(STRANGE))
    elif how == 4:
        put(rng.choice(([old], Pairs([("a", old)]), Pairs([("content", old)]))))
    elif how in (5, 6) and likely:
        put(rng.choice(likely))
    elif how == 7:
        put(nudged(rng, old))
    else:
        put(rng.choice(STRANGE))
    return value


def keys(value: Any) -> list[str]:
    """The keys of a JSON object."""
    return [key for key, _ in value] if isinstance(value, Pairs) else ["a"]


def nudged(rng: random.Random, value: Any) -> Any:
    """A value near another one."""
    if isinstance(value, bool) or value is None:
        return rng.choice((not value, str(value), 0))
    if isinstance(value, int | float):
        near = (value + 1, value - 1, value * 2, -value, float(value), str(value))
        return rng.choice((*near, value // 2, value + 2**32, [value]))
    if isinstance(value, str) and not isinstance(value, Raw):
        near = (value + "x", value[:-1], value[1:], value.upper(), f" {value}")
        near += (f"{value} ", f"{value}\0", f"{value}\n", f"{value}é", f"./{value}")
        return rng.choice((*near, f"../{value}", f"{value}{value}"))
    return rng.choice(STRANGE)


def damage_bytes(rng: random.Random, content: bytes) -> bytes:
    """Change some bytes of a file, whatever they mean."""
    at = rng.randrange(len(content) + 1)
    upto = min(len(content), at + rng.choice((1, 2, 8, 100)))
    how = rng.randrange(12)
    if how < 4:
        flipped = bytearray(content)
        for _ in range(rng.choice((1, 1, 1, 2, 5, 50))):
            if flipped:
                flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
        return bytes(flipped)
    parts = (b"\0", b"\xff", b"\xed\xa0\x80", b"\xc0\x80", b'"', b"{", b"}", b"]", b",")
    return {
        4: content[:at],
        5: content[at:],
        6: content[:at] + content[upto:],
        7: content[:at] + content[at:upto] * 2 + content[upto:],
        8: content[:at] + rng.randbytes(upto - at) + content[upto:],
        9: content[:at] + rng.choice(parts) + content[at:],
        10: content + rng.choice((b"\0", b" ", b"\n", b"x", content)),
        11: rng.choice((b"", b"\0" * 64, rng.randbytes(at), b"\xef\xbb\xbf" + content)),
    }[how]


def damage_text(rng: random.Random, text: str) -> bytes:
    """Write a text as another encoding would, or damage its bytes, or do not."""
    how = rng.randrange(40)
    if how == 0:
        return b"\xef\xbb\xbf" + text.encode(errors="surrogatepass")
    if how == 1:
        return text.encode("utf-16", errors="surrogatepass")
    if how == 2:
        return text.encode("utf-32-le", errors="surrogatepass")
    if how == 3:
        return text.encode("latin-1", errors="replace") + b"\xe9"
    content = text.encode(errors="surrogatepass")
    return damage_bytes(rng, content) if how < 8 else content


# Running


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise `HungError` in a block that takes too much of the processor's time."""

    def ring(*_: object) -> None:
        raise HungError(f"more than {seconds:g} seconds")

    before = signal.signal(signal.SIGPROF, ring)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


class Watch:
    """Notes which files Python opens outside a folder while it is on."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)
        self.on = False
        self.strayed: list[str] = []
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self.on and event == "open" and isinstance(arguments[0], str | os.PathLike):
            path = os.path.realpath(os.fspath(arguments[0]))
            # Python reads modules, and libraries their data, when first needed.
            near = path.startswith((self.folder, sys.prefix, sys.base_prefix, "/sys"))
            if not near and not path.endswith((".py", ".pyc", ".so")):
                self.strayed.append(path)


def run_case(group: Group, rng: random.Random, folder: Path, watch: Watch) -> str:
    """Run one case; returns "loaded" or "refused", raises what went wrong."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    group.damage(rng, folder)
    watch.strayed.clear()
    try:
        with limited(SECONDS):
            watch.on = True
            loaded = group.load(folder)
    except group.kinds as error:
        watch.on = False
        check_error(error, folder, group.kinds)
        return "refused"
    finally:
        watch.on = False
        if watch.strayed:
            raise WrongError(f"opened {watch.strayed[0]}")
    with limited(SECONDS):
        group.judge(folder, loaded)
    return "loaded"


def check_error(
    error: Exception, folder: Path, kinds: tuple[type[Exception], ...] = KINDS
) -> None:
    """Raise unless an error is one of the library's own, clear, and names the file."""
    said = str(error)
    if type(error) not in kinds:
        raise WrongError(f"{type(error).__name__} is not one of the library's: {said}")
    if str(folder) not in said:
        raise WrongError(f"it is not said which file: {said}")
    if len(said) > LONGEST_MESSAGE:
        raise WrongError(f"{len(said)} characters say what is wrong: {said[:200]}")
    try:
        said.encode()
    except UnicodeEncodeError:
        raise WrongError(f"what is said cannot be printed: {said!a:.200}") from None


def run(name: str, group: Group, numbers: range, failures_shown: int = 5) -> int:
    """Run some cases of a group; prints a summary and returns how many went wrong."""
    warnings.simplefilter("ignore")
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root).resolve() / "checkpoint"
        watch = Watch(folder)
        # Once, for all that is imported or allocated by then to stay.
        run_case(group, random.Random(f"{name} first"), folder, watch)
        with Path("/proc/self/statm").open() as statm:
            size = int(statm.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
        for number in numbers:
            # Where a crash happened is read from the last of these.
            os.write(2, f"\r{number}".encode())
            try:
                outcome = run_case(
                    group, random.Random(f"{name} {number}"), folder, watch
                )
            except (Exception, HungError) as error:
                outcome = "wrong"
                if counts["wrong"] < failures_shown:
                    print(f"{name} {number}: {type(error).__name__}: {error!s:.500}")
                    if not isinstance(error, WrongError):
                        print("".join(traceback.format_tb(error.__traceback__)[-6:]))
            counts[outcome] += 1
    print(json.dumps(counts))
    return counts["wrong"]


def serve(run_group: Callable[[str, int, int], int]) -> None:
    """Fork a child for each line `GROUP FIRST LAST`; answer with how it ended.

    That is a line of JSON: its exit status, what it printed, and its errors.
    """
    for line in sys.stdin:
        name, first, last = line.split()
        with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as errors:
            child = os.fork()
            if child == 0:
                os.dup2(printed.fileno(), 1)
                os.dup2(errors.fileno(), 2)
                status = 1
                try:
                    status = run_group(name, int(first), int(last))
                except BaseException:
                    traceback.print_exc()
                sys.stdout.flush()
                os._exit(status)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            texts = []
            for file in (printed, errors):
                file.seek(0)
                texts.append(file.read().decode(errors="replace"))
        print(json.dumps([status, *texts]), flush=True)


if __name__ == "__main__":
    import fuzzing  # itself, by the name that the groups know it by
    from fuzz_groups import GROUPS as CHECKPOINTS
    from fuzz_tables import GROUPS as TABLES

    GROUPS = CHECKPOINTS | TABLES

    def run_group(name: str, first: int, last: int) -> int:
        return 1 if fuzzing.run(name, GROUPS[name], range(first, last)) else 0

    if sys.argv[1:]:
        chosen, *numbers = sys.argv[1:]
        sys.exit(run_group(chosen, *map(int, numbers)))
    serve(run_group)
