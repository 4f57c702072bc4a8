"""Evaluates all trees of one level of a cascade, with hard or soft splits.

Trees have one depth; node i has the children 2i + 1 (left) and 2i + 2 (right), and the
leaves follow the inner nodes. The batch is the last axis: all faces use the same pairs
of features, so each lookup reads a whole row.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Values = Float[Array, "features batch"]
Table = Int[Array, "trees splits"]
Thresholds = Float[Array, "trees splits"]
Tables = tuple[Table, Table, Thresholds]
"""(first, second, threshold), as in `reached`."""
Leaves = Float[Array, "leaves coordinates"]
LevelLeaves = Float[Array, "levels leaves coordinates"]
Shapes = Float[Array, "batch coordinates"]
_Arguments = tuple[Values, Tables, LevelLeaves, Int[Array, ""], Float[Array, ""]]

_UNROLL = 25


def reached(
    value: Values, first: Table, second: Table, threshold: Thresholds
) -> Int[Array, "trees batch"]:
    """Finds the leaf that each face reaches in each tree.

    Args:
      value: grey levels of the feature pixels, `[features, batch]`.
      first: index of the first feature of each split, `[trees, splits]`.
      second: index of the second feature of each split, `[trees, splits]`.
      threshold: a split goes left where first - second exceeds it, in grey levels.

    Returns:
      Number of the leaf, counted from the left, `[trees, batch]`.
    """
    splits = first.shape[1]

    def leaf_under(node: int) -> Int[Array, ""] | Int[Array, "trees batch"]:
        # All splits are evaluated: whole rows cost less than each face's own path.
        if node >= splits:
            return jnp.int32(node - splits)
        difference = value[first[:, node]] - value[second[:, node]]
        left = difference > threshold[:, node, None]
        return jnp.where(left, leaf_under(2 * node + 1), leaf_under(2 * node + 2))

    return leaf_under(0)


def add_leaves(
    shape: Shapes, leaves: Leaves, chosen: Int[Array, "trees batch"]
) -> Shapes:
    """Adds one leaf of each tree to the shapes, in dlib's order of summation.

    Args:
      shape: the shapes, `[batch, coordinates]`.
      leaves: the leaves of all trees, one per row.
      chosen: row of `leaves` for each tree and face, `[trees, batch]`.

    Returns:
      The new shapes.
    """

    def add(shape: Shapes, rows: Int[Array, "trees batch"]) -> tuple[Shapes, None]:
        for row in rows:
            shape = shape + leaves.at[row].get(mode="promise_in_bounds")
        return shape, None

    whole = len(chosen) - len(chosen) % _UNROLL
    chunks = chosen[:whole].reshape(-1, _UNROLL, chosen.shape[1])
    shape, _ = jax.lax.scan(add, shape, chunks)
    return add(shape, chosen[whole:])[0]


@jax.custom_vjp
def soft_sum(
    value: Values,
    tables: Tables,
    leaves: LevelLeaves,
    level: Int[Array, ""],
    temperature: Float[Array, ""],
) -> Shapes:
    """Returns the weighted sum of all leaves of all trees of a level.

    A split gives its left branch the weight sigmoid((first - second - threshold) /
    temperature); the weight of a leaf is the product of the weights on the path to it.

    Args:
      value: grey levels of the feature pixels, `[features, batch]`; the only argument
        with a gradient.
      tables: the level's splits, see `Tables`.
      leaves: of all levels, `[levels, leaves, coordinates]`.
      level: number of the level.
      temperature: in grey levels, above 0.

    Returns:
      The sum for each face, `[batch, coordinates]`.
    """
    left = _left(value, tables, temperature)
    weight = jnp.stack(_reached(left)[left.shape[1] :], axis=1)
    weight = weight.reshape(leaves.shape[1], -1)
    return jnp.einsum("kb,kc->bc", weight, leaves[level])


def _soft_sum_forward(
    value: Values,
    tables: Tables,
    leaves: LevelLeaves,
    level: Int[Array, ""],
    temperature: Float[Array, ""],
) -> tuple[Shapes, _Arguments]:
    arguments = value, tables, leaves, level, temperature
    return soft_sum(*arguments), arguments


def _soft_sum_backward(
    arguments: _Arguments, toward: Shapes
) -> tuple[Values, None, None, None, None]:
    # The gradient of a split is its weight times the difference in value between left
    # and right. A node's value follows from the leaves, its weight from the root.
    value, tables, leaves, level, temperature = arguments
    left = _left(value, tables, temperature)
    splits = left.shape[1]
    worth = jnp.einsum("kc,bc->kb", leaves[level], toward)
    worth = worth.reshape(left.shape[0], -1, left.shape[2])
    worth = {splits + leaf: worth[:, leaf] for leaf in range(splits + 1)}
    advantage = {}
    for node in reversed(range(splits)):
        on_left, on_right = worth[2 * node + 1], worth[2 * node + 2]
        advantage[node] = on_left - on_right
        worth[node] = on_right + left[:, node] * advantage[node]
    advantage = jnp.stack([advantage[node] for node in range(splits)], axis=1)
    weight = jnp.stack(_reached(left)[:splits], axis=1)
    slope = left * (1.0 - left) / temperature
    toward_difference = advantage * weight * slope
    toward_difference = toward_difference.reshape(-1, left.shape[2])
    first, second, _ = (table.reshape(-1) for table in tables)
    toward_value = (
        jnp.zeros_like(value)
        .at[first]
        .add(toward_difference)
        .at[second]
        .add(-toward_difference)
    )
    return toward_value, None, None, None, None


soft_sum.defvjp(_soft_sum_forward, _soft_sum_backward)


def _left(
    value: Values, tables: Tables, temperature: Float[Array, ""]
) -> Float[Array, "trees splits batch"]:
    first, second, threshold = (table.reshape(-1) for table in tables)
    excess = value[first] - value[second] - threshold[:, None]
    return jax.nn.sigmoid(excess / temperature).reshape(*tables[0].shape, -1)


def _reached(
    left: Float[Array, "trees splits batch"],
) -> list[Float[Array, "trees batch"]]:
    """Returns the weight of each node, inner nodes first, then leaves."""
    weight = [jnp.ones_like(left[:, 0])]
    for node in range(left.shape[1]):
        weight.append(weight[node] * left[:, node])
        weight.append(weight[node] * (1.0 - left[:, node]))
    return weight
