"""Packing: every row once, none cut, none beside one it could read."""

import random

import pytest

from parity.curation.packing import pack, unpacked
from parity.errors import UsageError


@pytest.mark.parametrize("seed", range(20))
def test_every_row_is_in_exactly_one_pack_that_holds_it(seed):
    draw = random.Random(seed)
    lengths = [draw.randint(1, 100) for _ in range(300)]
    packs = pack(lengths, 100)
    assert sorted(row for one in packs for row in one.rows) == list(range(300))
    assert all(one.tokens <= 100 for one in packs)
    assert all(one.lengths_tokens == tuple(lengths[row] for row in one.rows) for one in packs)
    assert packs == pack(lengths, 100)


def test_little_is_left_empty():
    draw = random.Random(1)
    lengths = [min(2048, max(8, int(draw.lognormvariate(5, 1)))) for _ in range(2000)]
    packs = pack(lengths, 2048)
    assert len(packs) == -(-sum(lengths) // 2048)  # best-fit decreasing needs no more than the tokens do


def test_the_fullest_that_fits_is_chosen():
    assert [one.rows for one in pack([6, 5, 4, 3, 2], 10)] == [(0, 2), (1, 3, 4)]


def test_positions_blocks_and_boundaries_begin_again_with_every_row():
    (one,) = pack([3, 2], 5)
    assert one.positions() == [0, 1, 2, 0, 1]
    assert one.blocks() == [0, 0, 0, 1, 1]
    assert one.boundaries() == [0, 3, 5]
    assert [alone.positions() for alone in unpacked([3, 2])] == [[0, 1, 2], [0, 1]]


@pytest.mark.parametrize("lengths", [[11], [3, 0], [3, -1]])
def test_a_row_that_fits_nowhere_is_named(lengths):
    with pytest.raises(UsageError, match="row"):
        pack(lengths, 10)
