"""Chance: one default generator, seeds, and nothing else."""

import numpy as np
import pytest

import tinygrad_edu as tg
from tinygrad_edu.random import as_generator, manual_seed


def test_the_same_seed_gives_the_same_bits():
    manual_seed(7)
    first = [tg.rand(5).tolist(), tg.randn(5).tolist(), tg.randint(100, shape=(5,)).tolist()]
    manual_seed(7)
    again = [tg.rand(5).tolist(), tg.randn(5).tolist(), tg.randint(100, shape=(5,)).tolist()]
    assert first == again
    manual_seed(8)
    assert tg.rand(5).tolist() != first[0]
    assert tg.manual_seed is manual_seed


def test_the_default_generator_is_one_that_goes_on():
    manual_seed(7)
    assert as_generator() is as_generator(None)
    assert tg.rand(5).tolist() != tg.rand(5).tolist()


def test_a_whole_number_is_a_fresh_generator_with_that_seed():
    for seed in (5, np.int64(5)):
        assert as_generator(seed).random() == np.random.default_rng(5).random()
    assert as_generator(5) is not as_generator(5)
    manual_seed(7)
    expected = tg.rand(1).item()
    manual_seed(7)
    tg.rand(3, rng=5)  # does not move the default generator
    assert tg.rand(1).item() == expected


def test_a_generator_is_used_as_it_is():
    rng = np.random.default_rng(5)
    assert as_generator(rng) is rng
    tg.rand(3, rng=rng)
    assert rng.random() == np.random.default_rng(5).random(4)[-1]


@pytest.mark.parametrize("wrong", [1.5, "1", True, np.random.RandomState(0), np.random, [1]])
def test_anything_else_is_refused_by_name(wrong):
    with pytest.raises(TypeError, match=r"rng: .* give a seed .* numpy\.random\.Generator"):
        as_generator(wrong)


def test_a_negative_seed_is_refused():
    for use in (manual_seed, as_generator):
        with pytest.raises(ValueError, match="negative"):
            use(-1)


def test_without_a_seed_every_start_differs():
    from tinygrad_edu import random

    starts = set()
    for _ in range(3):
        random._default.clear()
        starts.add(tg.rand(1).item())
    assert len(starts) == 3
