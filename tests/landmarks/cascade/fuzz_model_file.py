"""Damages model files in every way and reads them.

    python -m tests.landmarks.fuzz_model_file --count=20000

A damaged file must be refused with a ValueError that names a byte, or give a model that
is sound: a change of one coordinate cannot be seen.
"""

import argparse
import pathlib
import re
import resource
import time

import numpy as np

from inpaint_jax.landmarks.cascade import model_file
from inpaint_jax.landmarks.cascade.shape_model import ShapeModel

# points, depth, levels, trees, features
SIZES = [
    (1, 1, 1, 1, 1),
    (2, 3, 2, 3, 5),
    (5, 2, 3, 4, 300),
    (68, 1, 1, 2, 7),
    (68, 2, 2, 60, 40),
    (3, 1, 4, 40, 500),
]
# Heads and counts that mean much: long numbers, negative ones, huge ones.
TOKENS = [
    b"\x04\xff\xff\xff\x7f",
    b"\x04\xff\xff\xff\xff",
    b"\x08\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\x84\xff\xff\xff\xff",
    b"\x01\x00",
    b"\x81\x01",
    b"\x03\x00\x00\x01",
    b"\x02\x00\x7d",
    b"\x0f",
    b"\x00",
    b"\x70",
]


def random_model(rng, points, depth, levels, trees, features):
    """A model of numbers of all sizes, some of which look like the start of a leaf."""
    splits = 2**depth - 1

    def floats(*shape):
        values = rng.normal(size=shape) * 10.0 ** rng.integers(-9, 3, shape)
        special = rng.choice([0.0, 1.0, -float(points), 0.5], shape)
        return np.where(rng.random(shape) < 0.1, special, values).astype(np.float32)

    def indices(limit, *shape):
        return rng.integers(0, limit, shape, dtype=np.int32)

    return ShapeModel(
        initial=floats(points, 2),
        first=indices(features, levels, trees, splits),
        second=indices(features, levels, trees, splits),
        threshold=floats(levels, trees, splits),
        leaves=floats(levels, trees, splits + 1, points, 2),
        anchor=indices(points, levels, features),
        offset=floats(levels, features, 2),
    )


def damaged(rng, data):
    """Returns the bytes with one to three things wrong."""
    for _ in range(rng.integers(1, 4)):
        # Half of the damage is done near the front, where the counts are.
        reach = len(data) if rng.random() < 0.5 else min(len(data), 200)
        at, end = np.sort(rng.integers(0, reach + 1, 2)).tolist()
        token = TOKENS[rng.integers(len(TOKENS))]
        head, middle, tail = data[:at], data[at:end], data[end:]
        match rng.integers(8):
            case 0:  # another byte
                data = head + rng.bytes(1) + data[at + 1 :]
            case 1:  # a flipped bit
                bit = 1 << int(rng.integers(8))
                data = (
                    head + bytes(byte ^ bit for byte in data[at:][:1]) + data[at + 1 :]
                )
            case 2:  # cut off
                data = head
            case 3:  # bytes lost
                data = head + tail
            case 4:  # bytes twice
                data = head + middle + middle + tail
            case 5:  # zeros
                data = head + bytes(len(middle)) + tail
            case 6:  # something inserted
                data = head + token + middle + tail
            case 7:  # something replaced
                data = head + token + data[at + len(token) :]
    return data


def is_read_or_refused(data):
    """Returns whether the bytes are read as a model, which must then be sound."""
    try:
        model = model_file.parse(data)
    except ValueError as error:
        assert re.match(r"byte \d+: .", str(error)), error
        return False
    features = model.anchor.shape[1]
    for indices in (model.first, model.second):
        assert indices.min() >= 0 and indices.max() < features
    assert model.anchor.min() >= 0 and model.anchor.max() < model.points
    assert all(np.isfinite(values).all() for values in model)
    trees = model.first.shape
    assert model.second.shape == model.threshold.shape == trees
    assert model.leaves.shape == (*trees[:2], trees[2] + 1, model.points, 2)
    assert model.offset.shape == (trees[0], features, 2)
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--file", type=pathlib.Path, help="instead of small models")
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    if arguments.file:
        wholes = [arguments.file.read_bytes()]
    else:
        wholes = [model_file.serialise(random_model(rng, *size)) for size in SIZES]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    read, longest, started = 0, 0.0, time.perf_counter()
    for i in range(arguments.count):
        data = damaged(rng, wholes[i % len(wholes)])
        start = time.perf_counter()
        read += is_read_or_refused(data)
        longest = max(longest, time.perf_counter() - start)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"{arguments.count} damaged files of {[len(whole) for whole in wholes]} bytes: "
        f"{read} read, {arguments.count - read} refused; longest {longest:.3f} s, "
        f"{time.perf_counter() - started:.0f} s in all; peak memory "
        f"{before / 1024:.0f} -> {after / 1024:.0f} MiB"
    )


if __name__ == "__main__":
    main()
