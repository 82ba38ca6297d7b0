"""Programs of tiles: results in order, on all cores, whatever the caller has set."""

import threading

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inr.grid.fit.side_by_side import TileProgram


def scaled(x, y, *, factor):
    return {"sum": jnp.sum(x) * factor, "y": y + 1}


def jobs(n):
    return [(np.full((3,), i, np.float32), np.int32(i)) for i in range(n)]


@pytest.mark.parametrize("n", [0, 1, 2, 150])
def test_results_come_in_the_order_of_the_jobs(n):
    found = list(TileProgram(scaled, ("factor",)).map(jobs(n), factor=2))
    assert [float(each["sum"]) for each in found] == [6.0 * i for i in range(n)]
    assert [int(each["y"]) for each in found] == [i + 1 for i in range(n)]
    assert all(isinstance(each["sum"], np.ndarray) for each in found)


def test_jobs_are_asked_for_while_others_run():
    asked = []

    def endless():
        for i in range(1000):
            asked.append(i)
            yield (np.zeros(3, np.float32), np.int32(i))

    made = TileProgram(scaled, ("factor",)).map(endless(), factor=1)
    next(made)
    assert 1 <= len(asked) < 100, "not all of them are held in memory"


def test_each_set_of_static_arguments_is_compiled_once(caplog):
    program = TileProgram(scaled, ("factor",))
    with jax.log_compiles():
        for factor in (5, 7, 5, 7):  # of no other test
            (found,) = program.map(jobs(2)[1:], factor=factor)
            assert float(found["sum"]) == 3 * factor
    assert caplog.text.count("Finished XLA compilation of jit(scaled)") == 2


def test_what_fails_in_a_thread_fails_in_the_caller():
    program = TileProgram(scaled, ("factor",))
    wrong = [(np.zeros(3, np.float32), np.int32(0)), (np.zeros(4, np.float32), np.int32(0))]
    with pytest.raises(TypeError, match="float32"):
        list(program.map(wrong, factor=1))
    assert len(list(program.map(jobs(3), factor=1))) == 3, "the threads are still there"


@pytest.mark.parametrize(
    ("setting", "value"),
    [("jax_transfer_guard", "disallow"), ("jax_debug_nans", True), ("jax_disable_jit", True)],
)
def test_threads_compute_under_our_settings(setting, value):
    before = jax.config.values[setting]
    program = TileProgram(scaled, ("factor",))
    list(program.map(jobs(1), factor=1))
    jax.config.update(setting, value)
    try:
        nan = [(np.full(3, np.nan, np.float32), np.int32(0))]
        (found,) = program.map(nan, factor=1)
    finally:
        jax.config.update(setting, before)
    assert np.isnan(found["sum"])


def test_it_may_be_used_in_several_threads_at_once():
    program, found = TileProgram(scaled, ("factor",)), {}

    def use(factor):
        found[factor] = [float(each["sum"]) for each in program.map(jobs(40), factor=factor)]

    threads = [threading.Thread(target=use, args=(factor,)) for factor in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {f: [3.0 * i * f for i in range(40)] for f in (1, 2, 3)}
