"""The chain of numbers that dlib's files are.

An integer is a head byte (0x80: negative; low four bits: how many bytes follow) and its
magnitude, least significant byte first. A float is two integers, mantissa and exponent
of two. There is nothing else in the file, and nothing that marks where a number starts:
a chain can only be followed from number to number. Python follows one chain in 0.1 us a
number; NumPy follows and reads many chains side by side in 0.03 us a number.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import NoReturn

import numpy as np
from jaxtyping import Bool, Float, Float32, Int, Int32, Int64

MAX_BYTES = 1 << 30
_LONGEST, _WORD = 4, 8
# A float32 below 2^128 has 24 bits; dlib writes the smallest as 0x80 * 2^-156.
_MANTISSA_BITS, _MIN_EXPONENT, _MAX_EXPONENT = 24, -156, 127
_EXPONENT_OF_ZERO = 40
_SIDE_BY_SIDE = 1 << 12  # chains that are followed; it bounds temporary memory

Starts = Int64[np.ndarray, " chains"]


class Chain:
    """Takes the numbers of a file from front to back, and reads many chains in it.

    Every error is a ValueError that starts with the byte where it was seen.

    Attributes:
      position: byte at which the next number starts.
    """

    def __init__(self, data: bytes) -> None:
        """Starts at the first byte.

        Args:
          data: content of the file, at most `MAX_BYTES`.
        """
        self.position = 0
        self._size = len(data)
        if not 0 < self._size <= MAX_BYTES:
            self.fail(f"{self._size} bytes; expected 1 to {MAX_BYTES}")
        self._data = data
        # Zeros behind the end, so that a whole word can be read at every byte.
        padding = np.zeros(_WORD, np.uint8)
        self._heads = np.concatenate([np.frombuffer(data, np.uint8), padding])
        self._words = np.ndarray((self._size + 1,), "<i8", self._heads, 0, (1,))

    def fail(self, what: str, *, at: int | None = None) -> NoReturn:
        """Raises the error for what was seen at a byte, by default here."""
        raise ValueError(f"byte {self.position if at is None else at}: {what}")

    def integer(self) -> int:
        """Takes an integer."""
        start = self.skip(1)
        head, *magnitude = self._data[start : self.position]
        if head & 0x70 or not 1 <= len(magnitude) <= _LONGEST:
            self._fail_at_head(start)
        value = int.from_bytes(magnitude, "little")
        return -value if head & 0x80 else value

    def expect(self, value: int, what: str) -> None:
        """Takes an integer that must be `value`."""
        start = self.position
        found = self.integer()
        if found != value:
            self.fail(f"{found} as {what}; expected {value}", at=start)

    def count(self, what: str) -> int:
        """Takes the number of things that follow, which have a byte or more each."""
        start = self.position
        found = self.integer()
        rest = self._size - self.position
        if not 1 <= found <= rest:
            self.fail(f"{found} as {what}; expected 1 to {rest}", at=start)
        return found

    def peek(self, *what: str) -> list[int]:
        """Returns the counts that come next without taking them."""
        start = self.position
        found = [self.count(name) for name in what]
        self.position = start
        return found

    def skip(self, count: int) -> int:
        """Passes over numbers, unchecked, and returns where the first one starts."""
        start, self.position = self.position, self._follow(self.position, count)
        return start

    def finish(self) -> None:
        """Checks that the file ends here."""
        if self.position != self._size:
            self.fail(f"{self._size - self.position} bytes behind the end of the model")

    def runs(self, opening: bytes, count: int, *, doublings: int) -> dict[int, int]:
        """Looks for runs of like chains, to pass over each of them at once.

        All places that look like an opening are followed side by side. Then what starts
        where another ends makes a run of two, two such runs one of four, and so on.

        Args:
          opening: the bytes with which each of the chains starts.
          count: numbers in each of the chains, the opening included.
          doublings: a run has 2^doublings chains.

        Returns:
          {start of a run: where it ends}. It is empty if there are more openings than a
          file of such chains could hold.
        """
        most = self._size // count
        starts = np.fromiter(itertools.islice(self._find(opening), most + 1), np.int64)
        if not 0 < len(starts) <= most:
            return {}
        ends = starts.copy()
        for first in range(0, len(ends), _SIDE_BY_SIDE):
            at = ends[first : first + _SIDE_BY_SIDE]
            for _ in range(count):
                self._step(at)
        for _ in range(doublings):
            second = np.searchsorted(starts, ends)
            second[second == len(starts)] = 0
            joined = starts[second] == ends
            starts, ends = starts[joined], ends[second[joined]]
        return dict(zip(starts.tolist(), ends.tolist(), strict=True))

    def records(
        self,
        starts: Starts,
        items: int,
        *,
        bounds: Sequence[tuple[int, int]],
        floats: int,
        at_once: int = 1 << 21,
    ) -> tuple[
        Int32[np.ndarray, "chains items integers"],
        Float32[np.ndarray, "chains items floats"],
    ]:
        """Reads chains of records, each a few integers and then a few floats.

        Args:
          starts: where the chains start; they must lie in what was passed over.
          items: records in each chain.
          bounds: lowest and highest value of each integer of a record.
          floats: how many a record has, all finite.
          at_once: how many numbers are read at once, which bounds temporary memory.

        Returns:
          The integers and the floats.
        """
        low, high = np.array(bounds, np.int64).reshape(-1, 2).T
        head, size = len(low), len(low) + 2 * floats
        integers = np.empty((len(starts), items, head), np.int32)
        values = np.empty((len(starts), items, floats), np.float32)
        together = max(1, at_once // (len(starts) * size))
        for first in range(0, items, together):
            part = slice(first, min(first + together, items))
            numbers, ends = self._numbers(starts, (part.stop - first) * size)
            numbers = numbers.reshape(len(starts), -1, size)
            whole = numbers[..., :head]
            mantissa, exponent = numbers[..., head::2], numbers[..., head + 1 :: 2]
            valid = np.empty(numbers.shape, bool)
            valid[..., :head] = (low <= whole) & (whole <= high)
            valid[..., head::2] = np.abs(mantissa) < 1 << _MANTISSA_BITS
            valid[..., head + 1 :: 2] = _keeps_finite(exponent, mantissa)
            if not valid.all():
                self._fail_at_number(starts, numbers, valid)
            integers[:, part] = whole
            values[:, part] = _float(mantissa, exponent)
            starts = ends
        return integers, values

    def _numbers(
        self, starts: Starts, count: int
    ) -> tuple[Int64[np.ndarray, "chains numbers"], Starts]:
        """Returns the `count` numbers from each start on, and where they end."""
        places = np.empty((count, len(starts)), np.int64)
        ends = starts.copy()
        for row in places:
            row[:] = ends
            self._step(ends)
        return self._read(places).T, ends

    def _step(self, places: Starts) -> None:
        """Moves from numbers to those that follow, in place."""
        places += (self._heads.take(places, mode="clip") & 0x0F) + 1

    def _read(
        self, places: Int64[np.ndarray, "numbers chains"]
    ) -> Int64[np.ndarray, "numbers chains"]:
        """Returns the numbers at many places."""
        words = self._words[places]
        sizes = words & 0x7F
        if sizes.min() < 1 or sizes.max() > _LONGEST:
            self._fail_at_head(int(places[(sizes < 1) | (sizes > _LONGEST)][0]))
        magnitude = (words >> 8) & ((1 << 8 * sizes) - 1)
        return np.where(words & 0x80, -magnitude, magnitude)

    def _fail_at_number(
        self,
        starts: Starts,
        numbers: Int64[np.ndarray, "chains items size"],
        valid: Bool[np.ndarray, "chains items size"],
    ) -> NoReturn:
        chain, record, column = np.argwhere(~valid)[0].tolist()
        at = self._follow(int(starts[chain]), record * valid.shape[-1] + column)
        self.fail(f"{numbers[chain, record, column]} is out of bounds", at=at)

    def _fail_at_head(self, at: int) -> NoReturn:
        self.fail(f"{self._data[at]:#04x} opens no number", at=at)

    def _follow(self, at: int, count: int) -> int:
        """Returns where the chain from `at` on ends."""
        data = self._data
        try:
            for _ in range(count):
                at += (data[at] & 0x0F) + 1
        except IndexError:
            at = len(data) + 1
        if at > self._size:
            self.fail("the file ends too early", at=self._size)
        return at

    def _find(self, pattern: bytes) -> Iterator[int]:
        at = self._data.find(pattern)
        while at >= 0:
            yield at
            at = self._data.find(pattern, at + 1)


def encode(values: Int[np.ndarray, " count"]) -> bytes:
    """Returns the chain of these integers, each of which lies within +-2^32."""
    magnitude = np.abs(values.astype(np.int64))
    longer = 1 << 8 * np.arange(1, _LONGEST)
    sizes = 1 + np.searchsorted(longer, magnitude, side="right")
    table = np.empty((len(values), 1 + _LONGEST), np.uint8)
    table[:, 0] = sizes | np.where(values < 0, 0x80, 0)
    table[:, 1:] = magnitude.astype("<u4").view(np.uint8).reshape(-1, _LONGEST)
    return table[np.arange(1 + _LONGEST) <= sizes[:, None]].tobytes()


def float_numbers(values: Float[np.ndarray, "*shape"]) -> Int64[np.ndarray, "*shape 2"]:
    """Returns mantissa and exponent of finite floats as dlib writes them.

    The mantissa has 24 bits, less the low bytes that are zero. Zero loses its sign.
    """
    fraction, exponent = np.frexp(values.astype(np.float64))
    mantissa = (fraction * (1 << _MANTISSA_BITS)).astype(np.int64)
    exponent = exponent.astype(np.int64) - _MANTISSA_BITS
    for _ in range(2):
        shorter = mantissa % 256 == 0
        mantissa = np.where(shorter, mantissa >> 8, mantissa)
        exponent = np.where(shorter, exponent + 8, exponent)
    exponent = np.where(mantissa == 0, _EXPONENT_OF_ZERO, exponent)
    return np.stack([mantissa, exponent], axis=-1)


def _float(
    mantissa: Int64[np.ndarray, "*shape"], exponent: Int64[np.ndarray, "*shape"]
) -> Float32[np.ndarray, "*shape"]:
    # A power of two is put together from its bits: ten times faster than ldexp. The
    # product is exact, and rounded once if it is subnormal in single precision.
    scale = (exponent + 1023 << 52).view(np.float64)
    return (mantissa * scale).astype(np.float32)


def _keeps_finite(
    exponent: Int64[np.ndarray, "*shape"], mantissa: Int64[np.ndarray, "*shape"]
) -> Bool[np.ndarray, "*shape"]:
    bits = np.clip(_MAX_EXPONENT + 1 - exponent, 0, _MANTISSA_BITS)
    in_range = (exponent >= _MIN_EXPONENT) & (exponent <= _MAX_EXPONENT)
    return in_range & (np.abs(mantissa) >> bits == 0)
