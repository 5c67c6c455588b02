"""Thumbnails: every array has a picture, and words; nothing that matters is lost on the way."""

import struct
import zlib

import numpy as np
import pytest

from tinygrad_edu.drawing.style import NEGATIVE, NOT_FINITE, POSITIVE
from tinygrad_edu.drawing.thumbnails import (
    LEVELS,
    MOST,
    not_finite,
    pixels,
    summary,
    thumbnail,
    words,
)

ZERO, STRONGEST, WEAKEST, NO_NUMBER = LEVELS + 1, 2 * LEVELS + 1, LEVELS + 2, 2 * LEVELS + 2


def read(png):
    """(red, green, blue, alpha) of every pixel: the slow way round, checking every sum."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert struct.unpack(">I", png[at + 8 + length : at + 12 + length])[0] == zlib.crc32(
            kind + data
        )
        chunks[kind], at = data, at + 12 + length
    assert list(chunks) == [b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"]
    width, height, depth, colour, *rest = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert (depth, colour, rest) == (8, 3, [0, 0, 0])
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert (lines[:, 0] == 0).all()
    palette = np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3)
    alpha = np.frombuffer(chunks[b"tRNS"], np.uint8)
    assert len(palette) == len(alpha) == NO_NUMBER + 1
    return np.concatenate([palette, alpha[:, None]], axis=1)[lines[:, 1:]]


# ---------------------------------------------------------------- colours


def test_hue_is_sign_and_solidness_is_size():
    (row,) = read(thumbnail(np.array([4.0, 2.0, 0.0, -2.0, -4.0, np.nan, -np.inf])).png)
    assert row[0].tolist() == [*POSITIVE, 255]
    assert row[1].tolist() == [*POSITIVE, 127]
    assert row[2, 3] == 0
    assert row[3].tolist() == [*NEGATIVE, 127]
    assert row[4].tolist() == [*NEGATIVE, 255]
    assert row[5].tolist() == row[6].tolist() == [*NOT_FINITE, 255]


def test_the_smallest_number_is_not_drawn_as_zero():
    assert pixels(np.array([1.0, 1e-300, -5e-324, 0.0])).tolist() == [
        [STRONGEST, WEAKEST, ZERO - 1, ZERO]
    ]


@pytest.mark.parametrize("x", [np.zeros((2, 3)), np.zeros(4, "i4"), np.zeros(2, bool)], ids=str)
def test_all_zero_is_all_clear(x):
    assert (pixels(x) == ZERO).all()


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "i1", "u1", "i8", "u8", "?"])
def test_every_dtype_has_a_picture(dtype):
    x = np.array([[0, 1], [1, 0]], dtype)
    assert pixels(x).tolist() == [[ZERO, STRONGEST], [STRONGEST, ZERO]]
    assert summary(x).startswith("2×2") and words(x)


def test_the_largest_numbers_of_a_dtype_overflow_nowhere():
    for x in (np.array([-128, 127], "i1"), np.array([-1.2e307, 1.2e307]), np.full(2, 6e4, "f2")):
        for y in (x, np.tile(x, 50)):
            assert thumbnail(y) and summary(y) and words(y)
    assert words(np.full(3, 1.5e308)) == "mean 1.5e+308"
    assert pixels(np.tile(np.array([-128, 0], "i1"), 100)).tolist() == [[1] * MOST]


# ---------------------------------------------------------------- shapes


@pytest.mark.parametrize(
    ("shape", "grid"),
    [
        ((5,), (1, 5)),
        ((2, 3), (2, 3)),
        ((1, 1), (1, 1)),
        ((24, 24), (24, 24)),
        ((500, 2), (24, 2)),
        ((25, 1000), (24, 24)),
        ((4, 2, 3), (5, 7)),
        ((2, 2, 2, 3), (5, 7)),
        ((3, 2, 2), (5, 5)),
        ((1, 1, 8, 8), (8, 8)),
        ((64, 32, 9, 9), (20, 27)),
    ],
    ids=str,
)
def test_how_many_pixels_a_shape_has(shape, grid):
    picture = thumbnail(np.ones(shape))
    assert (picture.rows, picture.columns) == pixels(np.ones(shape)).shape == grid
    assert read(picture.png).shape == (*grid, 4)


def test_matrices_of_a_larger_array_are_apart():
    x = np.arange(1.0, 13).reshape(3, 2, 2)
    grid = pixels(x)
    assert (grid[2] == 0).all() and (grid[:, 2] == 0).all(), "gaps"
    assert (grid[3:, 3:] == 0).all(), "there is no fourth"
    level = np.ceil(x / 12 * LEVELS) + ZERO
    np.testing.assert_array_equal(grid[:2, :2], level[0])
    np.testing.assert_array_equal(grid[:2, 3:], level[1])
    np.testing.assert_array_equal(grid[3:, :2], level[2])


def test_of_a_large_array_spikes_and_nan_survive():
    x = np.full((1000, 300), 0.001)
    x[777, 111], x[5, 5] = -9, np.nan
    grid = pixels(x)
    assert (grid == 1).sum() == 1 and (grid == NO_NUMBER).sum() == 1
    assert grid[0, 0] == NO_NUMBER and grid[777 * 24 // 1000, 111 * 24 // 300] == 1
    many = np.zeros((200, 3, 3))
    many[150, 1, 1] = 1
    assert (pixels(many) == STRONGEST).sum() == 1


def test_each_pixel_is_the_largest_of_its_block():
    x = np.random.default_rng(0).standard_normal(96)
    blocks = x.reshape(24, 4)
    largest = blocks[np.arange(24), np.abs(blocks).argmax(1)]
    np.testing.assert_array_equal(pixels(x), pixels(largest))


def test_nothing_has_no_picture():
    assert thumbnail(np.zeros((0, 3))) is None
    assert summary(np.zeros((0, 3))) == "0×3 float64, empty"


def test_a_single_number_has_one_pixel():
    assert pixels(np.array(-2.0)).tolist() == [[1]]


def test_the_array_is_left_alone():
    x = np.random.default_rng(0).standard_normal((100, 100))
    before = x.copy()
    thumbnail(x), summary(x), words(x)
    np.testing.assert_array_equal(x, before)


# ---------------------------------------------------------------- words


def test_what_is_not_finite_is_counted():
    x = np.array([np.nan, np.inf, -np.inf, 1, 2])
    assert not_finite(x) == "1 nan, 2 infinite"
    assert not_finite(x[1:2]) == "1 infinite" and not_finite(x[3:]) == ""
    assert summary(x) == "5 float64, 1 nan, 2 infinite, mean 1.5, from 1 to 2"
    assert summary(x[:1].repeat(3)) == "3 float64, 3 nan"


def test_a_summary_is_what_numpy_says():
    x = np.random.default_rng(0).standard_normal((7, 5)).round(1)
    x[0, 0] = 0
    zeros = int((x == 0).sum())
    assert summary(x) == (
        f"7×5 float64, mean {x.mean():.4g}, from {x.min():.4g} to {x.max():.4g}, "
        f"‖{np.linalg.norm(x):.4g}‖, {zeros} of 35 zero"
    )
    assert summary(np.array(2.5, "f4")) == "scalar float32, 2.5"
    assert words(np.array([3, 0, 5])) == "0 to 5"
