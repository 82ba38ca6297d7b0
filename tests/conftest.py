"""What all tests share: jax on the CPU, with the strict settings that the code base can meet."""

import gc
import os
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
# Nearly all of a tiny fit is XLA compiling. Set before jax is loaded, so that the processes which
# tests start inherit it; whoever names another folder may share it between checkouts.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(ROOT / ".cache" / "jax"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
# Half of the compiler's time; what the programs compute is the same but for the order of sums.
os.environ["XLA_FLAGS"] = " ".join(
    [
        os.environ.get("XLA_FLAGS", ""),
        "--xla_backend_optimization_level=0",
        "--xla_cpu_use_fusion_emitters=false",
    ]
)
# As in pyproject.toml, for these processes; its messages are no patterns.
os.environ.setdefault(
    "PYTHONWARNINGS",
    ",".join(
        f"ignore:Error {what} persistent compilation cache entry" for what in ("reading", "writing")
    ),
)

import jax  # noqa: E402
import pytest  # noqa: E402

# `helpers`, `contracts` and `make_golden` are found here; the package must be installed.
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "scripts")]

jax.config.update("jax_platforms", "cpu")
# Tracing makes many small objects beside the million that stay; looking through them all again and
# again would take a tenth of the time.
gc.set_threshold(50_000, 20, 20)


@pytest.fixture
def strict_jax():
    """No implicit promotion of dtypes or ranks. Not for whole fits: optax itself computes
    float ** int32 (optax.tree_utils.tree_bias_correction), which strict promotion refuses."""
    with jax.numpy_dtype_promotion("strict"), jax.numpy_rank_promotion("raise"):
        yield


@pytest.fixture(scope="session")
def plain():
    """The tiny fit that others are compared with."""
    from helpers.tiny_fits import fitted

    return fitted()
