"""The settings of jax under which this package computes, and what it says if jax cannot compute.

jax is loaded by the functions only: decoding and coding with trained weights must not wait for it.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np

from inr.errors import BackendError, OutOfMemoryError

if TYPE_CHECKING:
    from jax import Device

# In the text of jax's errors; only some of them have a status of their own for it.
_OUT_OF_MEMORY = ("RESOURCE_EXHAUSTED", "Out of memory", "out of memory", "OUT_OF_MEMORY")


@contextmanager
def own_jax_settings() -> Iterator[None]:
    """Compute under the settings that this package is written for, whatever the caller has set.

    They hold for this thread and end with the block; the same picture and seed give the same bytes
    under all settings of the caller's. Only where jax computes, and what it logs, stays the
    caller's choice. May be entered again inside, also to change single settings there.

    Raises:
      BackendError: jax cannot be loaded, or has no such backend as was asked for.
      OutOfMemoryError: jax had not enough memory in the block.
    """
    jax = _load_jax()
    with ExitStack() as settings:
        for setting in (
            jax.enable_x64(False),
            jax.numpy_dtype_promotion("standard"),  # optax computes float ** int32
            jax.numpy_rank_promotion("allow"),
            jax.default_matmul_precision(None),
            jax.default_prng_impl("threefry2x32"),
            jax.threefry_partitionable(True),
            jax.enable_custom_prng(False),
            jax.legacy_prng_key("allow"),
            jax.debug_nans(False),  # the fit looks for NaN itself, and goes on at a lower rate
            jax.debug_infs(False),
            jax.debug_key_reuse(False),
            jax.check_tracer_leaks(False),
            jax.enable_checks(False),
            jax.disable_jit(False),
            jax.no_tracing(False),
            jax.no_execution(False),
            jax.transfer_guard("allow"),
        ):
            settings.enter_context(setting)
        platform()  # finds out before the work
        try:
            yield
        except jax.errors.JaxRuntimeError as error:
            if not any(sign in str(error) for sign in _OUT_OF_MEMORY):
                raise
            raise OutOfMemoryError(
                f"not enough memory for jax ({_reason(error)}); try a smaller picture, network "
                "or batch"
            ) from error


def platform() -> str:
    """Name what jax computes on in this thread: "cpu", "gpu" or "tpu"; raises as `device`."""
    return str(device().platform)


def device() -> "Device":
    """Find the device that jax computes on in this thread.

    Unlike jax.default_backend() and jax.devices() this heeds jax.default_device.

    Raises:
      BackendError: jax cannot be loaded, or has no such backend as was asked for.
    """
    jax = _load_jax()
    try:
        with jax.transfer_guard("allow"):
            (found,) = jax.device_put(np.float32(0)).devices()
    except (AssertionError, RuntimeError, ValueError) as error:  # which one depends on the backend
        raise BackendError(_no_backend(jax, error)) from error
    return found


def _load_jax() -> Any:
    try:
        import jax
    except Exception as error:  # as of JAX_ENABLE_X64=maybe
        raise BackendError(f"jax cannot be loaded: {_reason(error)}") from error
    return jax


def _no_backend(jax: Any, error: Exception) -> str:
    names = ("jax_platforms", "jax_platform_name", "jax_default_device")
    values = {name.upper(): jax.config.values.get(name) for name in names}
    given = {name: value for name, value in values.items() if value}
    where = " and ".join(f"{name}={value}" for name, value in given.items()) or "any backend"
    advice = f"unset {' and '.join(given)}" if given else "set JAX_PLATFORMS=cpu"
    return (
        f"jax cannot compute on {where}; installed here: {', '.join(_backends_installed())}; "
        f"{advice}, or install what is missing, as by pip install 'inr[cuda]' ({_reason(error)})"
    )


def _backends_installed() -> list[str]:
    """What can be had from here without starting any: cpu, and plugins as jax finds them."""
    plugins = {
        each.name.removeprefix("xla_") for each in metadata.entry_points(group="jax_plugins")
    }
    return ["cpu", *sorted(name.rstrip("0123456789") for name in plugins)]


def _reason(error: Exception) -> str:
    """Return the first line of an error of jax, without its advice at the end."""
    lines = str(error).splitlines()
    return lines[0].split(" (set JAX_PLATFORMS")[0].rstrip(".") if lines else repr(error)
