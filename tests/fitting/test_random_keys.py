"""random_keys.py: no key serves twice."""

import jax
import numpy as np

from inr.fitting.random_keys import FOR_MASKS, FOR_NOISE, fit_key, step_key


def test_seeds_that_agree_in_some_bits_have_noise_of_their_own():
    # Once the noise of a step was seeded by step + 2**24 * seed, modulo 2**32.
    keys = set()
    for seed in (0, 1, 256, 512, 1 << 24, (1 << 32) - 1):
        for start in (0, 1):
            for step in (0, 7):
                for purpose in (FOR_NOISE, FOR_MASKS):
                    key = step_key(fit_key(seed, start), np.uint32(step), purpose)
                    keys.add(tuple(np.asarray(jax.random.key_data(key)).tolist()))
    assert len(keys) == 6 * 2 * 2 * 2
