"""Frequency tables of latents: hand-worked rows, invariants, and the Laplace density in floats."""

import zlib

import numpy as np
import pytest

from inr.coders.laplace_symbols import count_bits, to_symbols
from inr.coders.laplace_tables import (
    LEAST_FREQUENCY,
    N_NARROW,
    N_SCALES,
    NARROW_HALF,
    WIDE_HALF,
    frequencies,
    laplace_tables,
)
from inr.coders.tensor_model import TOTAL

ALPHABETS = [
    pytest.param(np.arange(N_NARROW), NARROW_HALF, id="narrow"),
    pytest.param(np.arange(N_NARROW, N_SCALES), WIDE_HALF, id="wide"),
]


def b_of(scale):
    return np.exp((scale - 80) / 16)


def test_the_sharpest_density_gives_all_but_the_least_to_one_symbol():
    table = frequencies(np.array([0]), NARROW_HALF)[0]  # b = 1/148
    assert table[16].tolist() == [TOTAL - 16 * 256] + [256] * 16  # mean 0
    # Mean -1/2, just between the bins of -1 (symbol 1) and of 0.
    assert table[0].tolist() == [TOTAL // 2 - 15 * 256, TOTAL // 2] + [256] * 15


def test_a_mean_on_the_other_side_swaps_the_signs():
    for scales, half in ((np.arange(0, 81, 20), NARROW_HALF), (np.arange(81, 161, 20), WIDE_HALF)):
        table = frequencies(scales, half)
        mirrored = table[:, :0:-1]  # frac 15..-15 for -15..15
        assert np.array_equal(table[:, 1:, 1::2], mirrored[..., 2::2])
        assert np.array_equal(table[:, 1:, 0], mirrored[..., 0])


@pytest.mark.parametrize(("scales", "half"), ALPHABETS)
def test_every_row_is_a_valid_table_that_falls_on_both_sides(scales, half):
    table = frequencies(scales, half)
    assert table.shape == (len(scales), 32, 2 * half + 3)
    assert (table.sum(axis=-1) == TOTAL).all()
    assert table.min() >= LEAST_FREQUENCY
    for side in (table[..., 1:-2:2], table[..., 2:-2:2]):
        assert (np.diff(side) <= 0).all()  # of bins 1..half; the escapes hold a whole tail


@pytest.mark.parametrize(("scales", "half"), ALPHABETS)
def test_rows_agree_with_the_exponential_function(scales, half):
    table = frequencies(scales, half)
    b = b_of(scales)[:, None, None]
    n_raw = laplace_tables().n_raw_bits[scales][:, None, None]
    edges = np.arange(half + 1) * 2.0**n_raw + 0.5
    frac = np.arange(-16, 16)[:, None] / 32
    for first, sign in ((2, 1), (1, -1)):
        tails = 0.5 * np.exp(-(edges - sign * frac) / b)
        mass = np.concatenate([tails[..., :-1] - tails[..., 1:], tails[..., -1:]], axis=-1)
        expected = np.maximum(mass * TOTAL, LEAST_FREQUENCY)
        # Rounded down to whole numbers; the exponents have 16 fractional bits.
        assert np.allclose(table[..., first::2], expected, rtol=4e-4, atol=1)


def test_raw_bits_are_two_octaves_below_the_scale():
    n_raw = laplace_tables().n_raw_bits
    expected = np.maximum(0, np.ceil(np.log2(b_of(np.arange(N_SCALES)))) - 2)
    assert n_raw.tolist() == expected.tolist()
    assert n_raw[:N_NARROW].max() == 0
    assert n_raw.max() == 6


def test_tables_hold_the_frequencies_less_one():
    tables = laplace_tables()
    for scale, rows, first in ((50, tables.narrow, 0), (100, tables.wide, N_NARROW)):
        half = (rows.shape[1] - 3) // 2
        row = rows[(scale - first) * 32 + 5 + 16]
        assert (row + 1).tolist() == frequencies(np.array([scale]), half)[0, 5 + 16].tolist()


def test_tables_cost_little_more_than_the_density_itself():
    """Means in 32nds, scales in 16ths, raw bits, floors and escapes, all together."""
    rng = np.random.default_rng(0)
    n = 100_000
    wide, sharp = rng.uniform(0, np.log(50), n), rng.uniform(np.log(0.05), np.log(0.5), n)
    log_scale = np.where(rng.random(n) < 0.05, wide, sharp)
    mean = rng.laplace(size=n) * 0.3
    y = np.rint(mean + rng.laplace(size=n) * np.exp(log_scale))
    distance = np.abs(y - mean)
    near, far = (np.exp(-(distance + side) / np.exp(log_scale)) for side in (-0.5, 0.5))
    inside = 1 - 0.5 * (np.exp((distance - 0.5) / np.exp(log_scale)) + far)
    ideal = -np.log2(np.maximum(np.where(distance < 0.5, inside, 0.5 * (near - far)), 2.0**-16))
    density = np.floor(np.stack([mean * 32 + 16.5, log_scale * 16 + 80.5])).astype(np.int64)
    tables = laplace_tables()
    bits = count_bits(to_symbols(y.astype(np.int32), density, tables), tables)
    assert ideal.sum() < bits < ideal.sum() * 1.002


def test_tables_are_the_same_as_on_every_other_machine():
    """A changed number here makes every stored file unreadable."""
    row = [12324745, 1559930, 2596895, 102938, 171366, 6792, 11308, 448, 746] + [256] * 8
    assert frequencies(np.array([64]), NARROW_HALF)[0, 19].tolist() == row
    tables = laplace_tables()
    sums = [zlib.crc32(rows.astype("<i4").tobytes()) for rows in (tables.narrow, tables.wide)]
    assert sums == [1032467929, 2005320208]
