"""What the tests beside other libraries share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def no_test_inherits_the_state_of_accelerate() -> Iterator[None]:
    """Its settings are the process's, from the first `Accelerator` or `Trainer` on."""
    yield
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(reset_partial_state=True)
