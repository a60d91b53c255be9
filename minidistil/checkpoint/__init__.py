"""How a checkpoint becomes a model, and a model a checkpoint.

Loading goes through three files, in this order:

- `tensors`: the tensors in the checkpoint's files, checked.
- `fitting`: each tensor in its place in a model, or one error that lists what differs.
- `pretrained`: `from_pretrained` and `save_pretrained`, which put the two together.

`saving` writes a checkpoint; `companions` names the files beside the weights, such as
the tokenizer's.
"""

from minidistil.checkpoint.tensors import CheckpointError

__all__ = ["CheckpointError"]
