"""weights.py: what is written is read, and only weights that can code pictures are."""

import hashlib
import io
import json
import tracemalloc
import zipfile

import numpy as np
import pytest
from helpers.cae_coding_models import HYPERPRIOR, MODELS, SLIMMABLE, weights_of
from hypothesis import given, settings
from hypothesis import strategies as st

from inr.cae.layers import shapes
from inr.cae.model import model_from_json
from inr.cae.weights import N_KNOTS, read_weights, write_weights
from inr.errors import FormatError

DATA = write_weights(weights_of())


def arrays_of(data):
    with np.load(io.BytesIO(data)) as stored:
        return {name: stored[name] for name in stored.files}


def file_of(arrays):
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def changed(data=DATA, **changes):
    """The file with arrays changed by functions, named with __ for /."""
    arrays = arrays_of(data)
    for name, change in changes.items():
        path = name.replace("__", "/")
        arrays[path] = change(arrays[path])
    return file_of(arrays)


def with_meta(**changes):
    def change(meta):
        return np.array(json.dumps(json.loads(str(meta)) | changes))

    return changed(meta=change)


def with_model(**changes):
    model = json.loads(str(arrays_of(DATA)["meta"]))["model"]
    return with_meta(model=model | changes)


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_what_is_written_is_read(model):
    made = weights_of(model, "of that name", seed=3)
    data = write_weights(made)
    read = read_weights(data)
    assert (read.name, read.model, read.metadata) == ("of that name", model, {"seed": 3})
    assert read.sha256 == made.sha256 == hashlib.sha256(data).hexdigest()
    assert write_weights(read) == data  # no time of writing in it
    for group, tensors in made.tensors.items():
        for name, tensor in tensors.items():
            assert read.tensors[group][name].dtype == np.float16
            np.testing.assert_array_equal(read.tensors[group][name], tensor)
    assert list(read.densities) == list(model.widths or (0,))


def test_names_and_shapes_of_the_arrays():
    arrays = arrays_of(DATA)
    assert arrays["analysis/a0_w"].shape == (9, 9, 3, 4)
    assert arrays["analysis/a_short_w"].shape == (16, 16, 3, 6)
    assert arrays["synthesis/s2_w"].shape == (9, 9, 3, 4)
    assert arrays["hyper_synthesis/hs2_b"].shape == (12,)  # log b and mean of 6 latents
    assert arrays["vectors/ma2"].shape == arrays["vectors/log_m"].shape == (N_KNOTS, 6)
    assert arrays["densities/firsts"].shape == (N_KNOTS, 4)
    assert json.loads(str(arrays["meta"]))["format"] == 1


def test_a_width_is_a_corner_of_the_kernels_with_gdn_and_densities_of_its_own():
    whole = weights_of(SLIMMABLE)
    narrow = whole.at_width(4)
    assert whole.at_width(0) is whole
    assert narrow.model == SLIMMABLE.at_width(4)
    assert narrow.model.transform.n_latents == 4
    w = whole.tensors["analysis"]
    np.testing.assert_array_equal(narrow.tensors["analysis"]["a1_w"], w["a1_w"][:, :, :4, :4])
    np.testing.assert_array_equal(narrow.tensors["analysis"]["a0_b"], w["a0_b"][:4])
    np.testing.assert_array_equal(narrow.tensors["analysis"]["ga0@4_gamma"], w["ga0@4_gamma"])
    assert "ga0@6_gamma" not in narrow.tensors["analysis"]
    assert narrow.densities[0] is whole.densities[4]
    with pytest.raises(KeyError):  # whose widths are checked by those who ask
        whole.at_width(5)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no weights file of an autoencoder"),
        (b"PK\x03\x04", "no weights file of an autoencoder"),
        (DATA[:-1], "no weights file of an autoencoder"),
        (file_of({"x": np.zeros(3)}), "no weights file of an autoencoder: 'meta'"),
        (with_meta(format=2), "weights of format 2; this version reads 1"),
        (with_meta(name=None, model=None), "no weights file"),
        (with_meta(facts=3), "no weights file"),
        (with_meta(model=[]), "model is list; expected is an object"),
        (with_meta(model={}), "transform is NoneType"),
        (with_meta(format=None), "weights of format None"),
        (changed(meta=lambda m: np.array("{")), "'meta' is no JSON"),
        (changed(meta=lambda m: np.array("[1]")), "'meta' is no JSON object"),
        (changed(meta=lambda m: np.array("[" * 9999)), "'meta' is no JSON"),
        (changed(meta=lambda m: np.array([str(m)])), r"'meta' is <U\d+\[1\], no text"),
        (changed(meta=lambda m: np.zeros(3)), r"'meta' is float64\[3\], no text"),
        (changed(meta=lambda m: np.array(" " * (1 << 21))), r"'meta' is <U2097152\[\], no text"),
        (with_model(widths=3), "widths=3: expected a list"),
        (with_model(widths=[True]), r"widths\[0\]=True: expected int"),
        (with_model(widths=list(range(1, 99))), "widths=.*expected a list of at most 64"),
        (with_model(lambda_low=[]), r"lambda_low=\[\]: expected float"),
        (with_model(lambda_high=float("nan")), "expected 0 < lambda_low"),
        (with_model(depth=3), "Model has no field 'depth'"),
        (with_model(transform={"kind": ["Balle2017"]}), r"transform of kind \['Balle2017'\]"),
        (with_model(transform={"kind": "Hyperprior"}), "known are Balle2017, Residual"),
        (with_model(transform={"kind": "Balle2017", "hidden": 10**9}), "expected int in 1..4096"),
        (with_model(transform={"kind": "Balle2017", "hidden": 0}), "expected int in 1..4096"),
        (with_model(transform={"kind": "Balle2017", "has_shortcut": 1}), "has_shortcut=1: exp"),
        (with_model(transform={"kind": "Balle2017", "gdn_suffix": 1}), "gdn_suffix=1: expected"),
        (with_model(widths=[3, 4]), "expected rising widths"),
        (with_model(lambda_low=0), "expected 0 < lambda_low"),
        (with_model(prior={"kind": "Normal"}), "Normal"),
        (with_model(transform={"kind": "Balle2017", "hidden": "x"}), "no weights file"),
        (with_model(transform={"kind": "Balle2017", "depth": 2}), "depth"),
        (with_model(transform={"kind": "Residual"}), "do not fit their model"),
        (changed(analysis__a0_w=lambda w: w[1:]), r"do not fit their model.*analysis/a0_w"),
        (changed(analysis__a0_w=lambda w: w.astype("f4")), "a0_w is float32 or not finite"),
        (changed(analysis__a0_b=lambda w: w * np.float16(np.nan)), "a0_b is float16 or not fin"),
        (changed(vectors__log_m=lambda v: v * np.float16(np.nan)), "log_m is .*not finite"),
        (changed(vectors__ms0=lambda v: v[:5]), r"do not fit their model.*vectors/ms0"),
        (changed(vectors__ma2=lambda v: v * 0 + np.float16(6e4)), "not be computed with exactly"),
        (changed(analysis__a2_w=lambda w: w * 0 + np.float16(6e4)), "'a2_w': sums may reach"),
        (changed(analysis__ga0_gamma=lambda w: -w), "'ga0_gamma' holds .*, below 0"),
        (changed(densities__firsts=lambda f: f[:2]), "density tables"),
        (changed(densities__frequencies=lambda f: f + 1), "density tables: a table sums"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_other_files_are_refused(data, message):
    with pytest.raises(FormatError, match=message):
        read_weights(data)


@pytest.mark.parametrize("name", sorted(arrays_of(DATA)))
def test_each_array_is_needed(name):
    arrays = arrays_of(DATA)
    del arrays[name]
    with pytest.raises(FormatError, match=name.split("/")[-1]):
        read_weights(file_of(arrays))


def test_arrays_too_many_are_refused():
    extra = {"analysis/a9_w": np.zeros((1, 1), np.float16)}
    with pytest.raises(FormatError, match=r"do not fit their model.*a9_w"):
        read_weights(file_of(arrays_of(DATA) | extra))


def test_tensors_of_each_width_are_needed():
    arrays = arrays_of(write_weights(weights_of(SLIMMABLE)))
    del arrays["synthesis/gs1@4_beta"]
    with pytest.raises(FormatError, match=r"do not fit their model.*gs1@4_beta"):
        read_weights(file_of(arrays))


def test_densities_of_other_knots_are_refused():
    def one_knot(data):
        arrays = arrays_of(data)
        own = weights_of(HYPERPRIOR).densities[0]
        n = int((own.lengths[0].astype(int) + 1).sum())
        cut = {"firsts": own.firsts[:1], "lengths": own.lengths[:1]}
        cut["frequencies"] = own.frequencies[:n]
        return file_of(arrays | {f"densities/{name}": each for name, each in cut.items()})

    with pytest.raises(FormatError, match=r"densities of shape \(1, 4\); expected \(33, 4\)"):
        read_weights(one_knot(DATA))


def bomb(n_bytes=1 << 30, name="analysis/a0_w"):
    """A whole file in which one member claims many zeros, and holds 64 MB of them."""
    file = io.BytesIO(DATA)
    header = io.BytesIO()
    shape = (n_bytes // 2,)
    fields = {"descr": "<f2", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(header, fields)
    made = io.BytesIO()
    with (
        zipfile.ZipFile(file) as old,
        zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for info in old.infolist():
            data = old.read(info)
            if info.filename == f"{name}.npy":
                data = header.getvalue() + bytes(1 << 26)
            new.writestr(info.filename, data)
    return made.getvalue()


@pytest.mark.parametrize("name", ["analysis/a0_w", "vectors/ma2", "densities/frequencies"])
def test_a_member_of_a_gigabyte_of_zeros_costs_nothing(name):
    data = bomb(name=name)
    tracemalloc.start()
    with pytest.raises(FormatError, match=r"do not fit their model|more than the \d+ allowed"):
        read_weights(data)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 5e6


def test_a_model_too_large_to_be_unpacked():
    """Its shapes are right, so that only the limit refuses it."""
    model = json.loads(str(arrays_of(DATA)["meta"]))["model"]
    model["transform"] |= {"hidden": 4096, "n_latents": 4096}
    wide = model_from_json(model)
    meta = json.loads(str(arrays_of(DATA)["meta"])) | {"model": model}
    claimed = {
        f"{group}/{name}": shape
        for group, chain in wide.chains().items()
        for name, shape in shapes(chain).items()
    }
    lengths = wide.scale_vectors() | {"log_m": 4096}
    claimed |= {f"vectors/{name}": (N_KNOTS, n) for name, n in lengths.items()}
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
        for name, shape in claimed.items():
            header = io.BytesIO()
            fields = {"descr": "<f2", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(header, fields)
            new.writestr(f"{name}.npy", header.getvalue())
        others = {n: a for n, a in arrays_of(DATA).items() if n.startswith("densities/")}
        for name, array in (others | {"meta": np.array(json.dumps(meta))}).items():
            part = io.BytesIO()
            np.save(part, array)
            new.writestr(f"{name}.npy", part.getvalue())
    with pytest.raises(FormatError, match=r"arrays of \d+ bytes, more than the 268435456 allowed"):
        read_weights(made.getvalue())


def test_no_pickle_is_opened():
    file = io.BytesIO()
    np.savez(file, meta=np.array([{}], object))
    with pytest.raises(FormatError, match="no weights file"):
        read_weights(file.getvalue())


@settings(deadline=None, max_examples=60)
@given(st.integers(0, len(DATA) - 1), st.integers(1, 255))
def test_a_damaged_byte_raises_format_error_or_is_one_that_zip_does_not_read(at, flip):
    damaged = bytearray(DATA)
    damaged[at] ^= flip
    try:
        read = read_weights(bytes(damaged))
    except FormatError:
        return
    assert write_weights(read) == DATA


@settings(deadline=None, max_examples=40)
@given(st.integers(0, len(DATA) - 1))
def test_truncated_files_are_refused(n):
    with pytest.raises(FormatError):
        read_weights(DATA[:n])
