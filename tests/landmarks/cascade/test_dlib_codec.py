"""Chains of numbers are read and written as plain loops over the bytes do it."""

import math

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from inpaint_jax.landmarks.cascade import dlib_codec

LARGEST = float(np.finfo(np.float32).max)


def number(value):
    """The bytes of an integer, written by hand."""
    magnitude = abs(value).to_bytes(max(1, -(-abs(value).bit_length() // 8)), "little")
    return bytes([len(magnitude) | (0x80 if value < 0 else 0)]) + magnitude


def numbers(*values):
    return b"".join(map(number, values))


def pair(value):
    """Mantissa and exponent as dlib's float_details makes them."""
    fraction, exponent = math.frexp(value)
    mantissa, exponent = int(fraction * 2**24), exponent - 24
    for _ in range(8):
        if mantissa & 0xFF == 0:
            mantissa, exponent = mantissa >> 8, exponent + 8
    return mantissa, exponent


def value_of(mantissa, exponent):
    return np.float32(math.ldexp(mantissa, exponent))


def read_floats(pairs, chains):
    """Reads the same floats from each of several chains."""
    data = numbers(*(item for pair in pairs for item in pair))
    chain = dlib_codec.Chain(data * chains)
    starts = np.array([chain.skip(2 * len(pairs)) for _ in range(chains)])
    chain.finish()
    _, found = chain.records(starts, len(pairs), bounds=[], floats=1)
    return found[..., 0]


def refusal(data, use):
    with pytest.raises(ValueError) as caught:
        use(dlib_codec.Chain(data))
    return str(caught.value)


@given(st.lists(st.integers(-(2**32) + 1, 2**32 - 1), min_size=1))
@settings(max_examples=50, deadline=None)
def test_integers_are_written_as_by_hand_and_read_back(values):
    data = dlib_codec.encode(np.array(values))
    assert data == numbers(*values)
    chain = dlib_codec.Chain(data)
    assert [chain.integer() for _ in values] == values
    chain.finish()


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
@settings(max_examples=100, deadline=None)
def test_floats_are_written_as_by_hand_and_read_back(values):
    array = np.array(values, np.float32)
    pairs = dlib_codec.float_numbers(array)
    assert pairs.tolist() == [list(pair(value)) for value in values]
    found = read_floats(pairs.tolist(), 1)
    # Adding zero takes the sign from it, which the format cannot hold.
    np.testing.assert_array_equal(found.view(np.int32), [(array + 0).view(np.int32)])


@pytest.mark.parametrize("chains", [1, 150])
def test_any_mantissa_and_exponent_are_read_as_ldexp(chains):
    rng = np.random.default_rng(0)
    mantissa = rng.integers(-(2**24) + 1, 2**24, 400) >> rng.integers(0, 24, 400)
    exponent = rng.integers(-156, 105, 400)
    pairs = [*zip(mantissa.tolist(), exponent.tolist(), strict=True)]
    pairs += [(0x80, -156), (1, -149), (3, -150), (1, -156), (1, 127), (0, 40)]
    expected = np.array([value_of(*pair) for pair in pairs])
    assert (np.abs(expected[expected != 0]) < np.finfo(np.float32).tiny).sum() > 10
    found = read_floats(pairs, chains)
    assert found.shape == (chains, len(pairs)) and found.dtype == np.float32
    np.testing.assert_array_equal(
        found.view(np.int32), np.tile(expected.view(np.int32), (chains, 1))
    )


@pytest.mark.parametrize("chains", [2, 150])
@pytest.mark.parametrize(
    ("wrong", "number_at_fault"),
    [
        ((1 << 24, 0), 0),
        ((-(1 << 24), -20), 0),
        ((1, 128), 1),
        ((0, 128), 1),
        ((2, 127), 1),
        ((0xFFFFFF, 105), 1),
        ((1, -157), 1),
        ((0, 32000), 1),
        ((0, 32001), 1),
        ((0, 32002), 1),
        ((5, -(2**31)), 1),
        ((5, 2**32 - 1), 1),
    ],
)
def test_a_float_out_of_range_is_refused_where_it_stands(
    wrong, number_at_fault, chains
):
    before, after = numbers(77, -5, 1, -1), numbers(1, 1)
    data = b"".join(
        before + (numbers(*wrong) if i == chains - 1 else numbers(9, 9)) + after
        for i in range(chains)
    )

    def use(chain):
        starts = np.array([chain.skip(8) for _ in range(chains)])
        chain.records(starts, 4, bounds=[], floats=1)

    at = len(data) - len(after) - len(numbers(*wrong[number_at_fault:]))
    message = refusal(data, use)
    assert message == f"byte {at}: {wrong[number_at_fault]} is out of bounds"


def test_the_largest_float_is_not_refused():
    assert read_floats([pair(LARGEST), pair(-LARGEST)], 1).tolist() == [
        [LARGEST, -LARGEST]
    ]


@pytest.mark.parametrize("chains", [2, 150])
def test_records_of_integers_and_floats(chains):
    rng = np.random.default_rng(chains)
    whole = rng.integers(-5, 70_000, (chains, 10, 2))
    values = rng.normal(size=(chains, 10, 2)).astype(np.float32)
    table = np.concatenate(
        [whole, dlib_codec.float_numbers(values).reshape(chains, 10, 4)], axis=-1
    )
    chain = dlib_codec.Chain(
        b"".join(numbers(7, *row.ravel().tolist()) for row in table)
    )
    starts = []
    for _ in range(chains):
        chain.expect(7, "sevens")
        starts.append(chain.skip(60))
    # A few records at a time, so that there are several portions and a last short one.
    found, floats = chain.records(
        np.array(starts),
        10,
        bounds=[(-5, 69_999)] * 2,
        floats=2,
        at_once=3 * 6 * chains,
    )
    np.testing.assert_array_equal(found, whole)
    np.testing.assert_array_equal(floats, values)


@pytest.mark.parametrize("chains", [1, 120])
@pytest.mark.parametrize("wrong", [-1, 8])
def test_an_integer_out_of_bounds_is_refused_where_it_stands(wrong, chains):
    one = numbers(300, 0, 1, 7)
    last = numbers(300, 0, 1, wrong)

    def use(chain):
        starts = np.array([chain.skip(4) for _ in range(chains)])
        chain.records(starts, 2, bounds=[(0, 300), (0, 7)], floats=0)

    at = chains * len(one) - 2
    message = refusal(one * (chains - 1) + last, use)
    assert message == f"byte {at}: {wrong} is out of bounds"


def test_a_long_chain_is_read_whole():
    rng = np.random.default_rng(0)
    values = rng.normal(size=9_000).astype(np.float32)
    found = read_floats(dlib_codec.float_numbers(values).tolist(), 1)
    np.testing.assert_array_equal(found, [values])


@pytest.mark.parametrize("chains", [1, 150])
@pytest.mark.parametrize("head", [0x00, 0x05, 0x08, 0x0F, 0x80, 0x11, 0x31, 0x41, 0xC1])
def test_what_opens_no_number_is_refused(head, chains):
    good = numbers(1, 2)
    data = good * (chains - 1) + numbers(1) + bytes([head]) + bytes(15)
    at = len(good) * (chains - 1) + 2
    starts = np.arange(chains) * len(good)

    def side_by_side(chain):
        chain.records(starts, 1, bounds=[(0, 9)] * 2, floats=0)

    def one_by_one(chain):
        for _ in range(2 * chains):
            chain.integer()

    for use in (side_by_side, one_by_one):
        assert refusal(data, use) == f"byte {at}: {head:#04x} opens no number"


def test_a_number_that_is_cut_off_is_refused():
    data = numbers(1, 70_000)
    for end in range(2, len(data)):
        for use in (
            lambda chain: chain.skip(2),
            lambda chain: (chain.integer(), chain.integer()),
        ):
            assert refusal(data[:end], use) == f"byte {end}: the file ends too early"


def test_counts_are_bounded_by_what_follows():
    data = numbers(3) + bytes(3)
    assert dlib_codec.Chain(data).count("trees") == 3
    for value in (0, -3, 4, 2**32 - 1):
        data = numbers(5, value) + bytes(3)

        def use(chain):
            chain.expect(5, "fives")
            chain.count("trees")

        assert refusal(data, use) == f"byte 2: {value} as trees; expected 1 to 3"


def test_peeking_takes_nothing():
    chain = dlib_codec.Chain(numbers(2, 3, 1, 1))
    assert chain.peek("a", "b") == [2, 3] and chain.position == 0
    assert chain.integer() == 2


def test_what_is_not_expected_is_refused():
    chain = dlib_codec.Chain(numbers(2, 300))
    chain.expect(2, "twos")
    with pytest.raises(ValueError, match="^byte 2: 300 as levels; expected 15$"):
        chain.expect(15, "levels")


def test_bytes_behind_the_end_are_refused():
    data = numbers(2) + b"more"
    message = refusal(data, lambda chain: (chain.integer(), chain.finish()))
    assert message == "byte 2: 4 bytes behind the end of the model"


def test_the_size_of_a_file_is_bounded(monkeypatch):
    monkeypatch.setattr(dlib_codec, "MAX_BYTES", 4)
    assert dlib_codec.Chain(bytes(4)).position == 0
    for size in (0, 5):
        with pytest.raises(ValueError, match=f"^byte 0: {size} bytes; expected 1 to 4"):
            dlib_codec.Chain(bytes(size))


@pytest.mark.parametrize("doublings", [0, 1, 2, 3])
def test_runs_end_where_following_them_ends(doublings):
    rng = np.random.default_rng(doublings)
    opening, count = numbers(-136, -1), 7
    data, starts = b"", []
    for length in rng.integers(1, 20, 60).tolist():
        data += numbers(*rng.integers(0, 10**6, 3).tolist())
        for _ in range(length):
            # Values that look like the opening: bytes of it, or all of it.
            rest = rng.choice([-136, -1, 0x018188, 0x8801, 5], count - 2).tolist()
            starts.append(len(data))
            data += opening + numbers(*rest)
    data += numbers(1, 2, 3)
    chain = dlib_codec.Chain(data)
    found = chain.runs(opening, count, doublings=doublings)
    for start, end in found.items():
        chain.position = start
        chain.skip(count * 2**doublings)
        assert chain.position == end
    runs, expected = 2**doublings, set()
    for i in range(len(starts) - runs + 1):
        chain.position = starts[i]
        chain.skip(count * (runs - 1))
        if chain.position == starts[i + runs - 1]:
            expected.add(starts[i])
    assert len(expected) > 20 and expected <= set(found)


def test_runs_are_not_looked_for_in_vain():
    opening = numbers(-136, -1)
    none = numbers(1, 2, 3) * 99
    assert dlib_codec.Chain(none).runs(opening, 5, doublings=0) == {}
    # More openings than chains of ten numbers fit into these bytes.
    many = opening * 1000
    assert dlib_codec.Chain(many).runs(opening, 10, doublings=0) == {}
    assert len(dlib_codec.Chain(many).runs(opening, 4, doublings=0)) == 1000


def test_any_number_of_chains_is_followed():
    opening = numbers(-136, -1)
    found = dlib_codec.Chain(opening * 9000).runs(opening, 4, doublings=1)
    size = len(opening)
    assert all(end == start + 4 * size for start, end in list(found.items())[:-4])
    assert len(found) == 9000 - 2
