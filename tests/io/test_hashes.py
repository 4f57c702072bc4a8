"""Hashes of trees and JSON: equal for what is read again, another for all else."""

import json
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest

from inpaint_jax.io import hashes

TREE = {"a": {"x": np.arange(6, dtype=np.float32)}, "b": np.int32(3)}


class Node(NamedTuple):
    x: Any


def test_equal_trees_have_equal_hashes_whatever_holds_them():
    same = {"b": jnp.int32(3), "a": Node(jnp.arange(6, dtype=jnp.float32))}
    assert hashes.of_arrays(same) == hashes.of_arrays(TREE)


@pytest.mark.parametrize(
    "other",
    [
        {**TREE, "b": np.int32(4)},
        {**TREE, "b": np.int64(3)},
        {**TREE, "a": {"y": TREE["a"]["x"]}},
        {**TREE, "a": {"x": TREE["a"]["x"].reshape(2, 3)}},
        {**TREE, "a": {"x": -0.0 * TREE["a"]["x"]}},
        {"a": TREE["a"]},
        {},
    ],
)
def test_other_trees_have_other_hashes(other):
    assert hashes.of_arrays(other) != hashes.of_arrays(TREE)


def test_json_that_is_read_again_has_the_same_hash():
    value = {"t": (1, 2.5), "n": float("nan"), 10: None, 9: "x"}
    read = json.loads(json.dumps(value))
    assert hashes.of_json(read) == hashes.of_json(value)
    assert hashes.of_json({**read, "t": [1, 2]}) != hashes.of_json(value)
