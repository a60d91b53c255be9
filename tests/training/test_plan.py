"""The plan of a training: which rows, when, and together with which."""

from __future__ import annotations

from itertools import chain

import pytest
import torch

from minidistil.training.plan import WINDOW, Plan


def plan(rows=23, batch_size=4, pass_rows=3, epochs=3, seed=0, longest=50):
    lengths = torch.randint(2, longest, (rows,), generator=torch.manual_seed(1))
    return Plan(
        lengths, seed=seed, epochs=epochs, batch_size=batch_size, pass_rows=pass_rows
    )


def batches(found, epoch):
    first = epoch * found.steps_per_epoch
    return [
        found.batch(step).tolist()
        for step in range(first, first + found.steps_per_epoch)
    ]


@pytest.mark.parametrize("rows", [1, 3, 4, 5, 23, 4 * WINDOW, 4 * WINDOW + 1, 1000])
def test_each_row_is_learnt_from_once_an_epoch(rows):
    found = plan(rows)
    for epoch in range(3):
        assert sorted(chain(*batches(found, epoch))) == list(range(rows))


def test_a_last_small_batch_is_kept():
    found = plan(rows=23, batch_size=4)
    assert found.steps_per_epoch == 6
    assert found.steps == 18
    for epoch in range(3):
        assert sorted(map(len, batches(found, epoch))) == [3, 4, 4, 4, 4, 4]


def test_epochs_and_seeds_have_orders_of_their_own():
    orders = [batches(plan(seed=seed), epoch) for seed in (0, 1) for epoch in (0, 1)]
    assert all(a != b for i, a in enumerate(orders) for b in orders[:i])


def test_a_step_has_the_same_rows_whatever_was_asked_before():
    one, other = plan(), plan()
    forwards = [one.batch(step).tolist() for step in range(one.steps)]
    backwards = [other.batch(step).tolist() for step in reversed(range(other.steps))]
    assert forwards == backwards[::-1]


def test_passes_are_the_batch_in_parts():
    found = plan(batch_size=8, pass_rows=3)
    for step in range(found.steps):
        passes = found.passes(step)
        assert torch.cat(passes).equal(found.batch(step))
        assert all(len(each) <= 3 for each in passes)


def test_how_much_is_computed_at_once_changes_no_batch():
    some, others = plan(pass_rows=1), plan(pass_rows=4)
    for epoch in range(3):
        assert batches(some, epoch) == batches(others, epoch)


def test_rows_of_like_length_come_together():
    found = plan(rows=3200, batch_size=32, longest=100)
    lengths = found._lengths
    padding = sum(int(lengths[rows].max()) * len(rows) for rows in batches(found, 0))
    assert padding < 1.03 * int(lengths.sum())


def test_short_and_long_batches_are_mixed():
    found = plan(rows=3200, batch_size=32, longest=100)
    longest = [int(found._lengths[rows].max()) for rows in batches(found, 0)]
    half = len(longest) // 2
    means = [sum(part) / half for part in (longest[:half], longest[half:])]
    assert abs(means[0] - means[1]) < 15
    assert longest != sorted(longest)
    assert longest != sorted(longest, reverse=True)


def test_rows_meet_others_only_within_a_window():
    # Of all rows at once sorted by length, each batch would be the same in each epoch.
    found = plan(rows=2 * WINDOW * 4, batch_size=4)
    together = [{frozenset(rows) for rows in batches(found, epoch)} for epoch in (0, 1)]
    assert len(together[0] & together[1]) < 20
