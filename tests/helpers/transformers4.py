"""Version 4.57 of transformers, the last that had a question answering pipeline.

It cannot stand beside version 5 in one environment: it has a folder of its own, and
answers from a process of its own. The tests install it when they need it, once. To do
so beforehand, so that they need no network:

    python tests/helpers/transformers4.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from threading import Timer
from typing import Any

# With what it needs and the environment of version 5 has not, or has too new.
PACKAGES = (
    "transformers==4.57.6",
    "huggingface_hub==0.36.2",
    "tokenizers==0.22.2",
    "requests==2.32.5",
    "urllib3==2.5.0",
    "certifi==2025.8.3",
    "idna==3.10",
    "charset_normalizer==3.4.3",
)
ROOT = Path(__file__).parents[2]
# Where pytest keeps what is to outlive a session.
CACHE = ROOT / ".pytest_cache" / "d"
FOLDER = CACHE / PACKAGES[0].replace("==", "-")
WORKER = Path(__file__).with_name("transformers4_worker.py")
SECONDS = 300


def install() -> Path:
    """Install it, unless it is there; return the folder.

    Raises:
        subprocess.SubprocessError: pip could not, or not in time.
    """
    if FOLDER.is_dir():
        return FOLDER
    CACHE.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--quiet"]
    patience = ["--retries", "1", "--timeout", "20"]
    with tempfile.TemporaryDirectory(dir=CACHE) as place:
        target = Path(place) / "packages"
        subprocess.run(
            [*pip, *patience, "--target", str(target), *PACKAGES],
            check=True,
            timeout=SECONDS,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            target.rename(FOLDER)
        except OSError:
            if not FOLDER.is_dir():  # else another test run was quicker
                raise
    return FOLDER


def environment(packages: Path) -> dict[str, str]:
    """What a process needs that uses it, with minidistil from this clone."""
    settings = {
        "PYTHONPATH": os.pathsep.join([str(packages), str(ROOT)]),
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "RUST_BACKTRACE": "0",
    }
    return os.environ | settings


class Transformers4:
    """Its question answering pipeline, in a process that waits for questions."""

    def __init__(self, packages: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(WORKER)],
            env=environment(packages),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
        )

    def ask(self, folder: Path, settings: dict[str, Any], **call: Any) -> Any:
        """Answer as its pipeline does on a checkpoint.

        Args:
            folder: The checkpoint's.
            settings: Of its tokenizer.
            call: The arguments of a call; ``inputs`` is the one without a name.

        Raises:
            OldError: what it raised.
        """
        request = {"folder": str(folder), "settings": settings, "call": call}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        late = Timer(SECONDS, self._process.kill)
        late.start()
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        late.cancel()
        assert line, (
            "transformers 4.57 ended; see: python tests/helpers/transformers4_worker.py"
        )
        answer = json.loads(line)
        if "error" in answer:
            raise OldError(answer["error"])
        return answer["answer"]

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()


class OldError(Exception):
    """What version 4.57 raised: its class and its words."""


def installed() -> Path:
    """Its folder; the test is skipped if it is not here and cannot be fetched."""
    import pytest  # `install` has to do without it

    try:
        return install()
    except subprocess.CalledProcessError as error:
        said = (error.stderr or "nothing").strip().splitlines()[-1]
    except subprocess.TimeoutExpired:
        said = f"not done in {SECONDS} s"
    raise pytest.skip.Exception(
        f"{PACKAGES[0]} is missing and pip cannot install it into {FOLDER} ({said}): "
        f"run python tests/helpers/transformers4.py where there is a package index"
    )


def start() -> Transformers4:
    """Start it, or skip the test."""
    return Transformers4(installed())


def run(script: Path, *arguments: object) -> None:
    """Run another program with it, to the end."""
    found = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), *map(str, arguments)],
        env=environment(installed()),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert found.returncode == 0, found.stdout


if __name__ == "__main__":
    print(install())
