"""The decoder under damaged and hostile files. `scripts/fuzz.py` runs the same for longer."""

import dataclasses
import tracemalloc

import numpy as np
import pytest
from contracts.methods import CODERS, QUANTIZERS, SPLITS
from helpers import fuzz
from helpers.built_files import built_file, cae_models, stages_of

from inr import decode
from inr.coders.zstd import Zstd
from inr.errors import FormatError
from inr.format.container import pack, unpack
from inr.kinds import find_kind
from inr.mlp.fields.feathermap import FeathermapSiren
from inr.mlp.fields.siren import Siren
from inr.mlp.quantize.kmeans import KMeans
from inr.mlp.tags import read_stages, write_stages

SMALL_FILE = built_file(stages_of(coder=Zstd()))


@pytest.fixture(scope="module")
def files():
    return fuzz.built_files()


def test_damaged_files_give_the_right_picture_or_a_format_error():
    summary = fuzz.run(range(400), seed=1, max_bytes=512e6)
    assert summary.failures == []
    # Otherwise the damage stops at the first check, and this test sees nothing.
    assert summary.n_pictures > 25
    assert len(summary.n_refused) > 20
    assert any("multiply-adds" in kind for kind in summary.n_refused)
    assert any("header claims" in kind for kind in summary.n_refused)


def test_a_case_above_the_limits_fails():
    slow = fuzz.run(range(4), seed=1, max_seconds=0.0)
    assert len(slow.failures) == 4
    assert all(" s, more than 0.0: " in failure for failure in slow.failures)
    large = fuzz.run(range(4), seed=1, max_bytes=1)
    assert all(" MB, more than " in failure for failure in large.failures)


@pytest.mark.parametrize("number", range(3))
def test_claims_are_whole_files_of_any_size(files, number):
    first = files[(0, 13, 19)[number]]  # one of each kind
    opened = [open_any_of(fuzz.claiming(first, np.random.default_rng(seed))) for seed in range(150)]
    assert {kind for kind, _ in opened} == {("mlp", "grid", "cae")[number]}
    n_pixels = [n for _, n in opened]
    assert min(n_pixels) < fuzz.MAX_PIXELS < 1e6 < max(n_pixels)


def open_any_of(data):
    """Kind and number of pixels of a file whose checksum and lengths are right."""
    header, _ = unpack(data)
    return find_kind(header.kind).name, header.height * header.width


def test_damaged_files_of_every_method_do_as_well(monkeypatch):
    net = FeathermapSiren(Siren(hidden=9, n_layers=2), rank=2)
    made = [
        *(stages_of(quantizer=quantizer) for quantizer in QUANTIZERS),
        *(stages_of(split, coder=coder) for split in SPLITS[1:] for coder in CODERS[:2]),
        stages_of(SPLITS[1], field=net, quantizer=KMeans(bits=3)),
        stages_of(field=net),
    ]
    monkeypatch.setattr(fuzz, "built_files", lambda: [built_file(stages) for stages in made])
    summary = fuzz.run(range(400), seed=2, max_bytes=512e6)
    assert summary.failures == []
    assert summary.n_pictures > 10
    assert len(summary.n_refused) > 15


def test_a_case_is_the_same_on_every_run(files):
    assert fuzz.built_files() == files
    assert fuzz.case(files, 5, 3) == fuzz.case(files, 5, 3)
    assert fuzz.case(files, 5, 3) != fuzz.case(files, 6, 3)


def claiming(data, **changes):
    """The same sections under a changed header, with the right checksum."""
    header, sections = unpack(data)
    return pack(dataclasses.replace(header, **changes), sections)


def with_net(data, net):
    """The same weights section under the claim of another network."""
    stages = read_stages(unpack(data)[0].stages)
    return claiming(data, stages=write_stages(dataclasses.replace(stages, field=net)))


def test_a_huge_claim_is_refused_before_memory_is_taken():
    data = claiming(SMALL_FILE, height=60000, width=60000)
    tracemalloc.start()
    with pytest.raises(FormatError, match=r"60000x60000 pixels.* --max-pixels"):
        decode(data)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 1e6


def test_a_part_of_a_huge_picture_is_drawn_where_it_is_trusted():
    data = claiming(SMALL_FILE, height=60000, width=60000)
    pixels = decode(data, max_pixels=None, region=(59990, 59995, 10, 5))
    assert pixels.shape == (5, 10, 3)


@pytest.mark.parametrize("coder", CODERS)
def test_a_huge_network_without_its_codes_is_refused_before_memory_is_taken(coder):
    small = built_file(stages_of(coder=coder))
    data = with_net(small, Siren(hidden=4000, n_layers=2))  # 16 million, just below the limit
    tracemalloc.start()
    with pytest.raises(FormatError):
        decode(data)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 64e6  # zstd may take a byte a weight before it knows


def test_a_network_above_the_limit_is_refused():
    data = with_net(SMALL_FILE, Siren(hidden=4096, n_layers=64))
    with pytest.raises(FormatError, match="weights are above the limit of 16777216"):
        decode(data)


def test_the_same_bytes_give_the_same_pixels(files):
    with cae_models() as models:
        for data in files:
            assert np.array_equal(decode(data, models=models), decode(data, models=models))
