"""What is done with a checkpoint beside loading it: ``minidistil weights``.

- `headers`: read the table of contents of a safetensors file, here or on the hub.
- `inspection`: what is in a checkpoint, and which model it fits.
- `catalogue`: the official checkpoints, and which of them are in the cache.
- `walk`: loading, one step at a time, for readers.
- `trace`: two models side by side, layer by layer.
- `goldens` and `verification`: does it give the right numbers on this machine?
- `pickles` and `conversion`: other layouts, made into the one that is loaded.
"""
