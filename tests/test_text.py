"""The book as it was published, characters as numbers and back, windows that miss nothing."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import tinygrad_edu as tg
from tinygrad_edu import data
from tinygrad_edu.data import Characters, windows

BOOK = data.text()


# ---------------------------------------------------------------- the book


def test_the_book_is_the_one_described():
    digest = hashlib.sha256(BOOK.encode()).hexdigest()
    assert digest == "6f696a0d437bab76d186b949f3256d50432827d0dabce259ed44e77fb5bdfe28"
    assert (len(BOOK), len(set(BOOK))) == (143_090, 69)
    assert BOOK.startswith("ALICE'S ADVENTURES IN WONDERLAND\n\nLewis Carroll\n\nCHAPTER I\n\n")
    assert BOOK.endswith("\n\nTHE END\n")


def test_the_book_has_twelve_chapters_and_no_spaces_to_spare():
    chapters = [line for line in BOOK.split("\n") if line.startswith("CHAPTER ")]
    assert " ".join(line.split()[1] for line in chapters) == "I II III IV V VI VII VIII IX X XI XII"
    lines = BOOK.split("\n")
    assert all(line == " ".join(line.split()) for line in lines)
    assert "\n\n\n" not in BOOK
    assert max(map(len, lines)) < 80


def test_the_book_carries_no_words_of_its_publishers():
    assert not any(word in BOOK for word in ("Gutenberg", "EDITION", "opyright", "*", "\r", "\x1a"))


def test_it_is_found_where_people_look_for_it():
    assert tg.data.text() == BOOK
    assert {"text", "Characters", "windows"} <= set(data.__all__)


def test_importing_reads_no_book():
    code = (
        "import sys; sys.addaudithook(lambda event, args: event == 'open' and "
        "'alice' in str(args[0]) and sys.exit('read at import'))\n"
        "import tinygrad_edu.data\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# ---------------------------------------------------------------- characters


def test_the_book_comes_back_from_its_numbers():
    characters = Characters(BOOK)
    codes = characters.encode(BOOK)
    assert codes.dtype == np.int64 and codes.shape == (len(BOOK),)
    assert (codes.min(), codes.max(), len(characters)) == (0, 68, 69)
    assert characters.decode(codes) == BOOK


@given(st.text(min_size=1))
@example("\ud800a\udfff\U0001f600e\u0301")
def test_any_text_comes_back(text):
    """Emoji, accents apart from their letters, even halves of surrogate pairs."""
    characters = Characters(text)
    codes = characters.encode(text)
    assert codes.tolist() == [characters.alphabet.index(c) for c in text]
    assert characters.decode(codes) == text


def test_numbers_do_not_depend_on_the_order_of_the_text():
    assert Characters("dawn").encode("wand").tolist() == Characters("wand").encode("wand").tolist()


def test_a_saved_alphabet_gives_the_same_numbers():
    characters = Characters("to be or not to be")
    again = Characters(characters.alphabet)
    assert again.alphabet == characters.alphabet == " benort"
    assert repr(again) == "Characters(' benort')"


@pytest.mark.parametrize("character", "\x00mz\U0001f600")
def test_a_stranger_is_named_with_its_position(character):
    """Before, between and after the characters of the alphabet."""
    with pytest.raises(ValueError, match=r"at position 3 is not in the alphabet 'klnox'") as error:
        Characters("xoknl").encode("xok" + character + "n" + character)
    assert repr(character) in str(error.value)


def test_nothing_encodes_to_nothing():
    characters = Characters("a")
    assert characters.encode("").shape == (0,)
    assert characters.decode([]) == ""
    assert characters.decode(np.int8(0)) == "a"
    assert characters.decode(characters.encode("aa").astype(np.uint8)) == "aa"


@pytest.mark.parametrize("text", ["", b"abc", None, ["a", "b"]])
def test_an_alphabet_needs_a_text(text):
    with pytest.raises(ValueError, match="Characters: got .*; give a text"):
        Characters(text)


@pytest.mark.parametrize("code", [-1, 3, 2**40])
def test_a_number_outside_the_alphabet_is_refused(code):
    with pytest.raises(ValueError, match=rf"{code} at position 1 is outside 0 \.\. 2"):
        Characters("abc").decode([0, code, 1])


def test_codes_must_be_whole_numbers_in_one_row():
    with pytest.raises(TypeError, match="codes are float64"):
        Characters("abc").decode([0.0, 1.0])
    with pytest.raises(TypeError, match="codes are bool"):
        Characters("abc").decode([True, False])
    with pytest.raises(ValueError, match=r"shape \(2, 1\); decode one row"):
        Characters("abc").decode([[0], [1]])


# ---------------------------------------------------------------- windows


@given(st.integers(2, 40), st.integers(1, 12), st.integers(1, 12))
def test_windows_are_all_that_fit(n, length, stride):
    sequence = np.arange(n) ** 2
    if length >= n:
        return
    x, y = windows(sequence, length, stride)
    starts = range(0, n - length, stride)
    assert x.tolist() == [sequence[s : s + length].tolist() for s in starts]
    assert y.tolist() == [sequence[s + 1 : s + length + 1].tolist() for s in starts]


def test_end_to_end_windows_predict_everything_once():
    x, y = windows(np.arange(13), 4)
    assert x.ravel().tolist() == list(range(12))
    assert y.ravel().tolist() == list(range(1, 13))


def test_windows_are_copies():
    codes = np.arange(9)
    x, y = windows(codes, 3, stride=1)
    x[:] = y[:] = -1
    assert codes.tolist() == list(range(9))


def test_windows_of_rows_and_of_lists():
    x, y = windows(np.arange(12.0, dtype="float32").reshape(6, 2), 2)
    assert x.shape == y.shape == (2, 2, 2) and x.dtype == np.float32
    np.testing.assert_array_equal(y[0], [[2, 3], [4, 5]])
    assert windows([3, 1, 4], 2)[1].tolist() == [[1, 4]]


@pytest.mark.parametrize(("codes", "length"), [([], 1), ([1], 1), ([1, 2, 3], 3), (7, 1)])
def test_a_window_needs_something_that_follows(codes, length):
    with pytest.raises(ValueError, match=f"too short for a window of {length}.*give {length + 1}"):
        windows(codes, length)


@pytest.mark.parametrize("wrong", [0, -2, 2.0, "3"])
def test_lengths_are_whole_numbers(wrong):
    with pytest.raises(ValueError, match=f"length={wrong!r}; give a whole number"):
        windows(range(9), wrong)
    with pytest.raises(ValueError, match=f"stride={wrong!r}; give a whole number"):
        windows(range(9), 3, stride=wrong)
