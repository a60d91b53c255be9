"""How a checkpoint becomes a model, and a model a checkpoint.

Loading goes through these files, in this order:

- `keywords`: what the caller asks for, in this library's words or in transformers'.
- `tensors`: the tensors in the checkpoint's files, checked; `memory`: those of a dict.
- `matching`: which tensor is which parameter; `advice`: what to do if some are not.
- `fitting`: each tensor in its place in a model, or one error that lists what differs.
- `pretrained`: `from_pretrained` and `save_pretrained`, which put these together.

`saving` checks that what is saved can be loaded, and writes it; `companions` names the
files beside the weights, such as the tokenizer's. `conveniences` are what training
programs ask of any model.
"""

from minidistil.checkpoint.tensors import CheckpointError

__all__ = ["CheckpointError"]
