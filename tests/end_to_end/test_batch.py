"""Several fits at once: what each of them would have been by itself, about."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from helpers.options import encode_options
from helpers.tiny_fits import smooth, tiny

from inr.codec import batch_key, encode_batch, encode_picture
from inr.fitting.loop import Block
from inr.fitting.members import pick_members
from inr.image.read import from_array
from inr.kinds import open_file
from inr.mlp.encode import prepare
from inr.mlp.file import read_codes
from inr.mlp.fit.program import NOISE, MlpProgram
from inr.mlp.splits.wavelet import Wavelet
from inr.options import Job

RIGL = {"field.hidden": "12", "sparsify": "rigl", "sparsify.n_updates": "5"}


def job(settings=None, picture=None, name="siren", **options):
    """Picture, recipe and options of one encoding."""
    loaded = from_array(smooth() if picture is None else picture)
    return Job(loaded, tiny(settings, name), encode_options(**options))


def alone_of(one):
    """The result of a job by itself."""
    return encode_picture(one.picture, one.recipe, one.options)


def rigl(sparsity, bits):
    return RIGL | {"sparsify.sparsity": sparsity, "quantize.bits": bits}


# ---------------------------------------------------------------- fits


@pytest.fixture(scope="module")
def jobs():
    """They differ in all that the members of a batch may differ in."""
    return [
        job(rigl("0.3", "6"), target_bytes=200),
        job(rigl("0.5", "8"), picture=255 - smooth(), seed=1, target_bytes=180),
        job(rigl("0.2", "7"), picture=smooth()[::-1], seed=2, target_bytes=230),
    ]


@pytest.fixture(scope="module")
def batch(jobs):
    told = []
    return encode_batch(jobs, report=told.append), told


@pytest.mark.slow  # five compilations
def test_each_fit_of_a_batch_is_about_what_it_is_by_itself(jobs, batch):
    for one, together in zip(jobs, batch[0], strict=True):
        alone = alone_of(one)
        # Sums run in another order, and 60 steps at a high rate amplify that.
        assert together.psnr_db == pytest.approx(alone.psnr_db, abs=3)
        assert together.n_steps == alone.n_steps
        assert 0.975 <= len(together.data) / one.options.target.n_bytes <= 1


@pytest.mark.slow  # shares the compilation of the test above
def test_each_member_keeps_its_own_sparsity_and_picture(jobs, batch):
    for one, encoded in zip(jobs, batch[0], strict=True):
        opened = open_file(encoded.data).content
        codes = read_codes(opened)
        n_zeros = sum(int((codes[name] == 0).sum()) for name in ("w0", "w1", "w2"))
        assert n_zeros == round(one.recipe.sparsify.sparsity * 204)
        assert encoded.psnr_db > 15  # the other pictures are 10 dB off
        assert encoded.seconds > 0


@pytest.mark.slow  # as above
def test_progress_of_a_batch_is_told(batch):
    encoded, told = batch
    steps = [progress.step for progress in told]
    assert steps == sorted(set(steps))
    assert steps[-1] == told[-1].n_steps == encoded[0].n_steps == 60
    mean_db = -10 * np.log10(np.mean([10 ** (-one.psnr_db / 10) for one in encoded]))
    assert told[-1].psnr_db == pytest.approx(mean_db, abs=4)  # the blocks' mean, not the best


@pytest.mark.slow  # a compilation: two fields, and the rate term
def test_bands_and_the_rate_term_run_in_batches_too():
    settings = {"split": "wavelet", "fit.rate_lambda": "1e-4"}
    some = [job(settings, seed=seed) for seed in (0, 1)]
    for encoded in encode_batch(some):
        assert open_file(encoded.data).content.stages.split == replace(
            Wavelet(), low_share=float(np.float32(0.8))
        )
        assert encoded.psnr_db > 15


@pytest.mark.parametrize(
    ("settings", "wishes"),
    [
        ({}, [{}, {"seed": 3}, {"seed": 7}]),
        ({}, [{"target_bytes": 150 + 20 * i, "seed": i} for i in range(3)]),
        ({"quantize": "kmeans", "quantize.bits": "4"}, [{"seed": i} for i in range(3)]),
        ({"split": "wavelet"}, [{"seed": i} for i in range(3)]),
        ({"sparsify": "feathermap"}, [{"seed": i} for i in range(2)]),
    ],
)
def test_without_training_the_bytes_are_those_of_single_fits(settings, wishes):
    """All of the host's work on the members of a batch, apart from sums in another order."""
    some = [job({"fit.steps": "0"} | settings, **options) for options in wishes]
    alone = [alone_of(one).data for one in some]
    assert [encoded.data for encoded in encode_batch(some)] == alone
    assert len(set(alone)) == len(alone)


def test_one_job_is_a_single_fit(plain):
    (encoded,) = encode_batch([job()])
    assert encoded.data == plain.data


# ---------------------------------------------------------------- keys


LIKE = [
    (job(seed=0), job(seed=5)),
    (job(picture=smooth()), job(picture=255 - smooth())),
    (job({"quantize.bits": "4"}), job({"quantize.bits": "8"})),
    (job(target_bytes=160), job(target_bytes=300)),
    (job(target_bytes=256), job(target_bpp=2.0)),
    (job(rigl("0.3", "6")), job(rigl("0.9", "6"))),
    (job({"coder": "zstd"}), job({"coder": "lzma"})),
    (
        job({"split": "wavelet"}, picture=smooth()),
        job({"split": "wavelet"}, picture=255 - smooth()),
    ),
]
UNLIKE = [
    (job(), job({"field.hidden": "9"})),
    (job(), job({"field.first_omega_0": "6"})),
    (job(), job({"fit.steps": "61"})),
    (job(), job({"fit.optimizer.learning_rate": "1e-2"})),
    (job(), job({"fit.rate_lambda": "1e-3"})),
    (job(), job({"fit.rate_term": "true"})),
    (job(), job(target_bytes=200)),
    (job(picture=smooth(32, 32)), job(picture=smooth(32, 31))),
    (job(picture=smooth(32, 16)), job(picture=smooth(16, 32))),
    (job(picture=smooth()), job(picture=smooth(n_channels=1))),
    (job(picture=smooth(n_channels=3)), job(picture=smooth(n_channels=4))),
    (job(picture=smooth()), job(picture=smooth().astype(np.uint16) * 257)),
    (job(), job({"quantize": "float16"})),
    (job({"quantize": "kmeans", "quantize.bits": "4"}), job({"quantize": "kmeans"})),
    (job(), job(rigl("0.3", "6") | {"field.hidden": "8"})),
    (job(rigl("0.3", "6")), job(rigl("0.3", "6") | {"sparsify.n_updates": "6"})),
    (job(rigl("0.3", "6")), job(rigl("0.3", "6") | {"sparsify.drop": "0.2"})),
    (job(rigl("0.3", "6")), job(rigl("0.3", "6") | {"sparsify": "set"})),
    (job(), job({"split": "wavelet"})),
    (job({"split": "wavelet"}), job({"split": "wavelet", "split.wavelet": "db2"})),
]
ALONE = [
    job(target_psnr=30.0),
    job(time_budget=5.0),
    job(checkpoint="c.npz"),
    job({"fit.n_seeds": "2"}),
    job(picture=np.full((8, 8, 3), 7, np.uint8)),
]


@pytest.mark.parametrize(("first", "second"), LIKE)
def test_like_jobs_have_equal_keys(first, second):
    assert batch_key(first) == batch_key(second)
    assert hash(batch_key(first)) == hash(batch_key(second))


@pytest.mark.parametrize(("first", "second"), UNLIKE)
def test_unlike_jobs_have_unequal_keys_and_are_refused(first, second):
    assert batch_key(first) != batch_key(second)
    with pytest.raises(ValueError, match="cannot run as one batch; group them by batch_key"):
        encode_batch([first, second])


@pytest.mark.parametrize("one", ALONE)
def test_some_jobs_run_on_their_own(one):
    assert batch_key(one) is None
    with pytest.raises(ValueError, match="cannot run as one batch"):
        encode_batch([one, one])


def test_a_target_that_cannot_be_met_is_refused_with_its_key():
    with pytest.raises(ValueError, match="target of 40 bytes is too small"):
        batch_key(job(target_bytes=40))


def test_pixels_and_noise_are_those_of_single_fits():
    problems = [prepare(job(seed=seed)).problem for seed in (3, 9)]
    together = MlpProgram(problems, tiny().fit)
    state = together.start(1.0)
    block = Block(NOISE, first_step=0, n_steps=3, length=3, begin=0.0, end=0.05, ends_phase=False)
    own = together.schedule(state, block)
    for i, problem in enumerate(problems):
        alone = MlpProgram([problem], tiny().fit)
        alone_state = alone.start(1.0)
        members = pick_members((together.data, state, own), i)
        singles = pick_members((alone.data, alone_state, alone.schedule(alone_state, block)), 0)
        jax.tree.map(np.testing.assert_array_equal, members, singles)
