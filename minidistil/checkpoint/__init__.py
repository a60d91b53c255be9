"""How a checkpoint becomes a model, and a model a checkpoint.

- `tensors`: the tensors in its files, checked; and how they are written.
- `fitting`: each tensor in its place in a model, or one error that lists what differs.
- `pretrained`: `from_pretrained` and `save_pretrained`, which put the two together.
"""

from minidistil.checkpoint.tensors import CheckpointError

__all__ = ["CheckpointError"]
