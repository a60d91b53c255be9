"""Words are hidden as the papers have it: how many, which, and what stands there."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import chisquare

from minidistil.training.keys import generator, key
from minidistil.training.masking import IGNORED, Masking, chances, mask

V, MASK_ID = 40, 4
SPECIAL = torch.arange(V) < 5
USUAL = Masking()
LIKELY = 1e-4  # a true hypothesis is refused once in ten thousand seeds


def hide(ids, likely=None, masking=USUAL, place=0):
    if likely is None:
        likely = chances(torch.ones(V), SPECIAL, 0.0)
    return mask(ids, likely, MASK_ID, masking, generator(0, "hidden words", place))


def text(count):
    ids = torch.randint(5, V, (count,), generator=torch.manual_seed(0))
    ids[::11] = torch.arange(len(ids[::11])) % 5
    return ids


@pytest.mark.parametrize("share", [0.15, 0.5, 1.0])
def test_the_share_is_of_the_words_that_may_be_hidden(share):
    ids = text(1003)
    _, labels = hide(ids, masking=Masking(share=share))
    possible = int((~SPECIAL[ids]).sum())
    assert int((labels != IGNORED).sum()) == math.ceil(share * possible)


def test_no_special_token_is_ever_hidden_or_guessed():
    ids = text(2000)
    for place in range(20):
        read, labels = hide(ids, masking=Masking(share=1.0), place=place)
        assert (labels[SPECIAL[ids]] == IGNORED).all()
        assert (read[SPECIAL[ids]] == ids[SPECIAL[ids]]).all()
        assert (labels[~SPECIAL[ids]] == ids[~SPECIAL[ids]]).all()


def test_what_is_not_to_be_guessed_is_read_as_it_is():
    ids = text(2000)
    read, labels = hide(ids)
    others = labels == IGNORED
    assert others.sum() > 1000
    assert read[others].equal(ids[others])
    assert labels[~others].equal(ids[~others])


def test_eight_of_ten_become_mask_one_another_word_and_one_stays():
    ids = torch.full((40_000,), 7)
    read, _ = hide(ids, masking=Masking(share=1.0))
    # A random word is the same as before, or [MASK], once in so many.
    same, masked = int((read == 7).sum()), int((read == MASK_ID).sum())
    found = [masked, same, len(ids) - masked - same]
    by_chance = 0.1 / V
    wanted = [0.8 + by_chance, 0.1 + by_chance, 0.1 - 2 * by_chance]
    expected = [share * len(ids) for share in wanted]
    assert chisquare(found, expected).pvalue > LIKELY


def test_a_random_word_is_any_of_the_vocabulary():
    ids = torch.full((40_000,), 7)
    read, _ = hide(ids, masking=Masking(share=1.0, hidden=0.0, random=1.0))
    assert chisquare(read.bincount(minlength=V)).pvalue > LIKELY


@pytest.mark.parametrize("smoothing", [0.0, 0.7])
def test_rare_words_are_chosen_in_proportion_to_a_power_of_their_count(smoothing):
    counts = torch.arange(V) ** 2
    ids = torch.arange(5, 15)
    likely = chances(counts, SPECIAL, smoothing)
    # Of ten words one is chosen: its chance is its weight among the ten.
    found = torch.zeros(10)
    for place in range(5000):
        _, labels = hide(ids, likely, Masking(share=0.1), place)
        (chosen,) = (labels != IGNORED).nonzero().flatten()
        found[chosen] += 1
    weights = [float(count) ** -smoothing for count in counts[ids]]
    expected = [5000 * weight / sum(weights) for weight in weights]
    assert chisquare(found.tolist(), expected).pvalue > LIKELY


def test_a_word_that_the_corpus_does_not_have_counts_as_one_that_is_there_once():
    assert chances(torch.tensor([0, 1]), torch.zeros(2).bool(), 0.7).tolist() == [1, 1]


def test_what_is_chosen_says_nothing_of_what_becomes_of_it():
    # The first half of a text must not be the one with the masks.
    ids = torch.full((20_000,), 7)
    read, labels = hide(ids, masking=Masking(share=0.5))
    chosen = (labels != IGNORED).nonzero().flatten()
    masked = read[chosen] == MASK_ID
    quarters = torch.stack([part.sum() for part in masked[:9600].view(4, -1)])
    assert chisquare(quarters.tolist()).pvalue > LIKELY


def test_the_same_place_draws_the_same_and_another_one_does_not():
    ids = text(1000)
    one, same, other = (hide(ids, place=place)[0] for place in (3, 3, 4))
    assert one.equal(same)
    assert not one.equal(other)


def test_every_purpose_and_place_has_a_key_of_its_own():
    purposes = ("dropout", "hidden words", "order of rows", "order of batches")
    keys = [
        key(seed, purpose, *place)
        for seed in (0, 1, 10)
        for purpose in purposes
        for place in [(0,), (1,), (10,), (0, 0), (0, 1), (1, 0), (1, 10), (11, 0)]
    ]
    assert len({*keys}) == len(keys)
    assert all(0 <= each < 2**63 for each in keys)


def test_a_key_is_the_same_on_every_machine():
    # BLAKE2b of "0/dropout/1/2", by `b2sum -l 64`, without the last bit.
    assert key(0, "dropout", 1, 2) == 0x576BE486E43ECE0B >> 1
