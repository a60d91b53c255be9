"""Fine-tune every head, and distil as DistilBERT was distilled.

    rows ─ features ─ plan ─ passes ─ student ─ losses ─ gradients ─ a step
                                                     └─ metrics, report, state

Read `loop` and `objectives` first: they are written for that. `plan` says which rows a
step learns from, `keys` where random numbers come from, `state` how a training goes on.
"""
