"""Where a checkpoint's files are: the bundled one, a folder, or a hub repository."""

from __future__ import annotations

from minidistil.hub.checkpoints import (
    BUNDLED,
    CheckpointFiles,
    HubCheckpointFiles,
    open_checkpoint,
)
from minidistil.hub.errors import CheckpointNotFoundError

__all__ = [
    "BUNDLED",
    "CheckpointFiles",
    "CheckpointNotFoundError",
    "HubCheckpointFiles",
    "open_checkpoint",
]
