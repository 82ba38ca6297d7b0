"""Latents to bytes and back: exact, in both engines, as a second implementation has them."""

import math
from fractions import Fraction

import hypothesis.strategies as st
import numpy as np
import pytest
from helpers import grid_loops
from hypothesis import given, settings
from threadpoolctl import threadpool_limits

from inr.coders import range_engine
from inr.coders.laplace_tables import LATENT_LIMIT, NARROW_HALF, WIDE_HALF, frequencies
from inr.coders.range_engine import words_to_bytes
from inr.coders.range_python import PythonWriter
from inr.coders.tensor_model import uniform_table
from inr.errors import FormatError
from inr.grid.context_model import Workspace, check_exact, densities, exact_networks
from inr.grid.latent_coder import decode_latents, encode_latents, latent_bits
from inr.grid.structure import FRONT_SLOPE, TAPS, Level, Pyramid, Structure
from inr.grid.wavefront import bands


@pytest.fixture(params=["constriction", "python"])
def engine(request, monkeypatch):
    if request.param == "constriction":
        pytest.importorskip("constriction")
    monkeypatch.setattr(range_engine, "HAS_CONSTRICTION", request.param == "constriction")


def random_params(pyramid, seed=0):
    """Networks whose densities are of all kinds, sharp and wide."""
    rng = np.random.default_rng(seed)
    params = {
        name: np.floor(rng.normal(0, 0.1, shape) * 1024) / 1024
        for group in pyramid.context_groups.values()
        for name, shape in group.items()
    }
    for context in pyramid.contexts:
        params[f"{context}_linear"][0, :2] += 0.5  # the mean follows the neighbours
        params[f"{context}_w0"][:2, :2] -= 2 * np.eye(2)  # x + max(0, -2 x) is |x|
        params[f"{context}_out"][1, :2] += 0.375  # and so does the scale
        params[f"{context}_b2"][1] -= 1.5
    return params


def random_latents(pyramid, seed=0):
    """Mostly zeros; here and there a patch of large ones, and single ones near the limit."""
    rng = np.random.default_rng(seed)
    latents = []
    for level in pyramid.levels:
        shape = level.height, level.width
        y = rng.laplace(size=shape) * np.where(rng.random(shape) < 0.1, 30, 0.6)
        y = np.where(rng.random(shape) < 0.01, rng.choice([-4095, 4095, 2000], shape), y)
        latents.append(np.rint(y).astype(np.int32))
    return latents


def pyramid_of(height, width, **structure):
    return Pyramid(height, width, 3, Structure(**structure))


def zero_params(pyramid):
    groups = pyramid.context_groups.values()
    return {name: np.zeros(shape) for group in groups for name, shape in group.items()}


SIZES = [(1, 1), (1, 7), (7, 1), (5, 3), (2, 40), (33, 17)]
STRUCTURES = [{}, {"n_hyper": 2, "n_taps": 20}, {"first_level": 1, "n_taps": 1, "n_features": 2}]
STRUCTURES += [{"prior": 2, **each} for each in STRUCTURES]


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.usefixtures("engine")
def test_round_trip(size, structure):
    pyramid = pyramid_of(*size, **structure)
    params, latents = random_params(pyramid), random_latents(pyramid)
    data = encode_latents(latents, params, pyramid)
    decoded = decode_latents(data, params, pyramid)
    assert all(each.dtype == np.int32 for each in decoded)
    assert [each.tolist() for each in decoded] == [each.tolist() for each in latents]
    # The last word is whole, and trailing zero bytes are left out.
    assert latent_bits(latents, params, pyramid) == pytest.approx(8 * len(data), abs=96)


@pytest.mark.parametrize("prior", [0, 2])
def test_round_trip_over_several_bands(prior):
    pyramid = pyramid_of(300, 300, n_hyper=1, prior=prior)
    params, latents = random_params(pyramid), random_latents(pyramid)
    assert len(list(bands(pyramid.levels[-1]))) > 2
    data = encode_latents(latents, params, pyramid)
    decoded = decode_latents(data, params, pyramid)
    assert all(np.array_equal(a, b) for a, b in zip(decoded, latents, strict=True))


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (5, 1), (3, 2), (4, 9)])
def test_bands_hold_the_fronts_in_order(size):
    level = Level(0, False, *size)
    latents = [(y, x) for y in range(size[0]) for x in range(size[1])]
    latents.sort(key=lambda place: (place[1] + FRONT_SLOPE * place[0], place[0]))
    (band,) = bands(level)
    assert list(zip(band.y.tolist(), band.x.tolist(), strict=True)) == latents
    assert band.size == len(latents)


# A second implementation: one latent at a time, in fractions, straight from the heads of the files.


def rounded(v):
    return Fraction(math.floor(v * 1024 + Fraction(1, 2)), 1024)


def product(weights, x):
    return [sum((w * v for w, v in zip(row, x, strict=True)), Fraction(0)) for row in weights]


def density_of(latents, index, row, column, params, pyramid):
    """(mean index, scale) of one latent; params are nested lists of fractions."""
    level, y, context = pyramid.levels[index], latents[index], pyramid.context_of[index]

    def counted(i, latent):
        octaves = pyramid.levels[i].exponent if pyramid.structure.prior == 2 else 0
        return Fraction(int(latent), 2**octaves)

    x0 = []
    for dy, dx in TAPS[: pyramid.structure.n_taps]:
        inside = 0 <= row + dy and 0 <= column + dx < level.width
        x0.append(counted(index, y[row + dy, column + dx] if inside else 0))
    name = pyramid.feature_name(index)
    if name is None:
        x0 += [Fraction(0)] * pyramid.structure.n_features
    else:
        octaves = [each.exponent - level.exponent for each in pyramid.levels[:index]]
        before = enumerate(zip(latents, octaves, strict=False))
        seen = [counted(i, each[row >> e, column >> e]) for i, (each, e) in before]
        x0 += [rounded(v) for v in product(params[name], seen)]
    x = x0
    for layer in range(2):
        sums = product(params[f"{context}_w{layer}"], x)
        bias = params[f"{context}_b{layer}"]
        x = [rounded(v + max(0, s + b)) for v, s, b in zip(x, sums, bias, strict=True)]
    outs = zip(
        product(params[f"{context}_out"], x),
        product(params[f"{context}_linear"], x0),
        params[f"{context}_b2"],
        strict=True,
    )
    mean, log_scale = (a + b + c for a, b, c in outs)
    if pyramid.structure.prior == 2:
        mean *= 2**level.exponent
        log_scale += Fraction(level.exponent * 11, 16)
    most = LATENT_LIMIT * 32
    mean_index = min(max(math.floor(mean * 32 + Fraction(1, 2)), -most), most)
    return mean_index, math.floor(min(max(log_scale, -5), 5) * 16 + Fraction(1, 2)) + 80


def write_latents(writer, values, modelled):
    """Writes the latents of one front that share an alphabet; returns which kinds there were."""
    raws, rests, kinds = [], [], set()
    for y, (mean_index, scale) in zip(values, modelled, strict=True):
        half = NARROW_HALF if scale <= 80 else WIDE_HALF
        n_raw = max(0, math.ceil((scale - 80) / 16 / math.log(2)) - 2)
        centre = (mean_index + 16) // 32
        r = y - centre
        h = -(-abs(r) // 2**n_raw)
        if h > half:
            h = half + 1
            rests.append(abs(r) - half * 2**n_raw - 1)
            kinds.add("escape")
        elif h and n_raw:
            raws.append(((abs(r) - 1) % 2**n_raw, n_raw))
            kinds.add("raw")
        symbol = 2 * h - (r < 0)
        table = frequencies(np.array([scale]), half)[0, mean_index - 32 * centre + 16]
        writer.put(np.array([symbol], np.int32), table)
    for raw, n_raw in raws:
        table = [(2**24 - 64 + 2**n_raw) // 2**n_raw] * 2**n_raw + [1] * (64 - 2**n_raw)
        writer.put(np.array([raw], np.int32), np.array(table, np.int64))
    for shift in (7, 0):
        halves = np.array([rest >> shift & 127 for rest in rests], np.int32)
        writer.put(halves, uniform_table(128))
    return kinds


@pytest.mark.parametrize(
    "settings",
    [
        {},  # 5 x 7 hyper, 5 x 7, 9 x 13
        {"prior": 2},
        {"prior": 2, "first_level": 1, "n_feature_levels": 40},
        {"prior": 3},
    ],
)
def test_a_second_implementation_writes_the_same_bytes(settings):
    structure = {"n_hyper": 1, "n_taps": 8, "n_features": 2, "n_feature_levels": 2} | settings
    pyramid = pyramid_of(9, 13, **structure)
    params, latents = random_params(pyramid, 3), random_latents(pyramid, 3)
    exact = {name: np.vectorize(Fraction)(each).tolist() for name, each in params.items()}
    writer, kinds = PythonWriter(), set()
    for index, y in enumerate(latents):
        for t in range(y.shape[1] + FRONT_SLOPE * y.shape[0]):
            front = [(row, t - FRONT_SLOPE * row) for row in range(y.shape[0])]
            front = [place for place in front if 0 <= place[1] < y.shape[1]]
            modelled = [density_of(latents, index, *place, exact, pyramid) for place in front]
            for is_wide in (False, True):
                which = [i for i, (_, scale) in enumerate(modelled) if (scale > 80) == is_wide]
                found = write_latents(
                    writer, [int(y[front[i]]) for i in which], [modelled[i] for i in which]
                )
                kinds |= {(is_wide, kind) for kind in found}
    assert kinds == {(False, "escape"), (True, "escape"), (True, "raw")}  # all that there are
    assert encode_latents(latents, params, pyramid) == words_to_bytes(writer.finish())


def test_floats_see_the_same_densities():
    for prior in (0, 2):
        pyramid = pyramid_of(20, 30, prior=prior)
        params = random_params(pyramid)
        latents = [np.clip(each, -1, 1) for each in random_latents(pyramid)]
        bits = sum(each.sum() for each in grid_loops.bits_of_levels(latents, params, pyramid))
        # Rounding of means and scales. Few latents are at the floor, which knows no escapes.
        assert latent_bits(latents, params, pyramid) == pytest.approx(bits, rel=0.005)


# Exactness.


def test_one_and_two_blas_threads_give_the_same_numbers():
    pyramid = pyramid_of(9, 9)
    (network,) = exact_networks(random_params(pyramid), pyramid)
    x = np.random.default_rng(0).integers(-(2**23), 2**23, (21, 50_000)).astype(np.float64)
    x[-1] = 1
    given = []
    for n_threads in (1, 2):
        work = Workspace.for_latents(x.shape[1], network)
        work.x[:] = x
        with threadpool_limits(n_threads):
            given.append(densities(network, work))
    assert np.array_equal(*given)
    spread = given[0].max(axis=1) - given[0].min(axis=1)
    assert spread.tolist() == [2 * LATENT_LIMIT * 32, 160]  # both limits are met


def test_too_large_sums_are_refused():
    pyramid = pyramid_of(9, 9)
    params = random_params(pyramid)
    check_exact(params, pyramid)
    params["context_w0"][:] = 64  # sums of 64 * 4095 * 14 taps, in units of 2**-10: 2**32
    params["context_w1"][:] = 64 - 2.0**-16  # times 64 * 20, in units of 2**-16: 2**58
    with pytest.raises(FormatError, match=r"sums of 'context_w1' may reach .* beyond the 53 bits"):
        check_exact(params, pyramid)
    with pytest.raises(FormatError, match="context_w1"):
        decode_latents(b"", params, pyramid)


def test_too_large_sums_of_coarse_latents_are_refused():
    pyramid = pyramid_of(9, 9, prior=2)
    for context in pyramid.contexts:
        params = random_params(pyramid)
        check_exact(params, pyramid)
        params[f"{context}_w0"][:] = 64
        params[f"{context}_w1"][:] = 64 - 2.0**-16
        params[f"{context}_out"][:] = 64
        with pytest.raises(
            FormatError, match=rf"sums of '{context}_w1' may reach .* beyond the 53"
        ):
            check_exact(params, pyramid)


def test_wrong_arguments():
    pyramid = pyramid_of(5, 3)
    params, latents = random_params(pyramid), random_latents(pyramid)
    with pytest.raises(ValueError, match=r"shapes \[\], but the pyramid's levels are \[\(5, 3\)\]"):
        encode_latents([], params, pyramid)
    with pytest.raises(ValueError, match=r"latents\[0\] of dtype int64"):
        encode_latents([latents[0].astype(np.int64)], params, pyramid)
    with pytest.raises(ValueError, match=r"span 0\.\.4096; expected are int32 in \+-4095"):
        encode_latents([np.array([[4096, 0, 0]] * 5, np.int32)], params, pyramid)
    with pytest.raises(ValueError, match=r"'context_b0'.*: shape \(19,\), .* has \(20,\)"):
        encode_latents(latents, {**params, "context_b0": np.zeros(19)}, pyramid)
    with pytest.raises(ValueError, match=r"'context_w0'.*: no such tensor"):
        encode_latents(latents, {}, pyramid)
    for wrong in (0.1, 65.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="not all multiples of 2\\*\\*-16 within \\+-64"):
            encode_latents(latents, {**params, "context_b0": np.full(20, wrong)}, pyramid)


# The bytes.

EXACT_BYTES = "fd8bc202eeb6f5e1a9d2e5a5c48bd2861b935be51e4be42c7d0a39e537234b61ff68cd989d9a6699"


@pytest.mark.usefixtures("engine")
def test_two_even_latents_on_paper():
    """b = 1/148 with mean -1/2: -1 and 0 have 2**23 of 2**24 each, but for 15 * 256."""
    pyramid = pyramid_of(1, 1)
    params = zero_params(pyramid)
    params["context_b2"] = np.array([-0.5, -5.0])

    def encoded(y):
        return encode_latents([np.array([[y]], np.int32)], params, pyramid)

    # The interval of 0 begins at 0. That of -1 begins at 2**23 - 15 * 256 of 2**24, in steps of
    # 2**40 - 1, which is 2**63 - 15 * 2**48 less 2**23, rounded up to a word.
    assert encoded(0) == b""
    assert encoded(-1) == (2**31 - 15 * 2**16).to_bytes(4, "little")


@pytest.mark.usefixtures("engine")
def test_exact_bytes():
    """Changed bytes here make every stored file unreadable."""
    pyramid = pyramid_of(5, 14, n_hyper=1, n_taps=4, n_features=2)
    params, latents = zero_params(pyramid), []
    params["context_linear"][0, 0] = 0.75
    params["context_out"][1, 1] = 0.125
    params["context_b2"] = np.array([0.25, -0.5])
    params["feature0"][:] = 1.5
    params["context_w1"][1, 4] = -0.375
    for level in pyramid.levels:
        places = np.arange(level.size).reshape(level.height, level.width)
        y = np.where(places % 5 == 0, places * places % 7, 0)
        latents.append(np.where(places == 34, -20, y).astype(np.int32))
    assert encode_latents(latents, params, pyramid).hex() == EXACT_BYTES
    stored = decode_latents(bytes.fromhex(EXACT_BYTES), params, pyramid)
    assert [each.tolist() for each in stored] == [each.tolist() for each in latents]


def stream_of(*symbols_and_tables):
    writer = PythonWriter()
    for symbol, table in symbols_and_tables:
        writer.put(np.array([symbol], np.int32), table)
    return words_to_bytes(writer.finish())


@pytest.mark.usefixtures("engine")
def test_a_latent_beyond_the_limit_is_refused():
    pyramid = pyramid_of(1, 1)
    table = frequencies(np.array([80]), NARROW_HALF)[0, 16]  # of all-zero params
    seven_bits = uniform_table(128)
    rest = LATENT_LIMIT - NARROW_HALF - 1
    data = stream_of((16, table), (rest >> 7, seven_bits), (rest & 127, seven_bits))
    assert decode_latents(data, zero_params(pyramid), pyramid)[0].tolist() == [[LATENT_LIMIT]]
    rest += 1
    data = stream_of((16, table), (rest >> 7, seven_bits), (rest & 127, seven_bits))
    with pytest.raises(FormatError, match=r"lies outside \+-4095"):
        decode_latents(data, zero_params(pyramid), pyramid)


@pytest.mark.usefixtures("engine")
def test_missing_and_trailing_bytes():
    pyramid = pyramid_of(33, 17)
    params, latents = random_params(pyramid), random_latents(pyramid)
    data = encode_latents(latents, params, pyramid)
    with pytest.raises(FormatError, match="trailing zero bytes"):
        decode_latents(data + b"\0", params, pyramid)
    with pytest.raises(FormatError, match="end with its last symbol"):
        decode_latents(data + b"words", params, pyramid)
    with pytest.raises(FormatError):
        decode_latents(data[: len(data) // 2], params, pyramid)


@settings(deadline=None, max_examples=60)
@given(st.binary(max_size=200), st.integers(0, 3), st.booleans())
def test_any_bytes_give_latents_or_format_error(data, seed, has_constriction):
    pyramid = pyramid_of(5, 19, n_taps=5, n_features=2)
    with pytest.MonkeyPatch.context() as patch:
        if not has_constriction:
            patch.setattr(range_engine, "HAS_CONSTRICTION", False)
        try:
            decoded = decode_latents(data, random_params(pyramid, seed), pyramid)
        except FormatError:
            return
    sizes = [(level.height, level.width) for level in pyramid.levels]
    assert [each.shape for each in decoded] == sizes
    assert max(abs(each).max() for each in decoded) <= LATENT_LIMIT


def test_damaged_bytes_read_the_same_in_both_engines():
    pytest.importorskip("constriction")
    pyramid = pyramid_of(9, 19)
    params, rng = random_params(pyramid), np.random.default_rng(0)
    data = encode_latents(random_latents(pyramid), params, pyramid)
    for _ in range(40):
        damaged = bytearray(data)
        damaged[rng.integers(len(damaged))] = rng.integers(256)
        outcomes = []
        for has_constriction in (True, False):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(range_engine, "HAS_CONSTRICTION", has_constriction)
                try:
                    decoded = decode_latents(bytes(damaged), params, pyramid)
                    outcomes.append([each.tolist() for each in decoded])
                except FormatError as error:
                    outcomes.append(str(error))
        assert outcomes[0] == outcomes[1]
