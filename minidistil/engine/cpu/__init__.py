"""The engine on a CPU: `core` has batches go through `encoder` and a head."""
