"""The trees of one level of a cascade, all at once: one leaf each, or all in part.

Trees have one depth; node i has the children 2i + 1 (left) and 2i + 2 (right), and the
leaves follow the inner nodes. The batch is the last axis of what faces differ in: all
faces look the same pairs of features up, so each lookup moves a whole row.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

Values = Float[Array, "features batch"]
Table = Int[Array, "trees splits"]
Thresholds = Float[Array, "trees splits"]
Tables = tuple[Table, Table, Thresholds]
"""First, second and threshold, as in `reached`."""
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
      value: of the feature pixels, in grey levels.
      first: index of the first feature of each split.
      second: of the second.
      threshold: a split goes left where first - second exceeds it.

    Returns:
      Leaf, counted from the left.
    """
    splits = first.shape[1]

    def leaf_under(node: int) -> Int[Array, ""] | Int[Array, "trees batch"]:
        # All splits are looked at: whole rows cost less than each face's own way.
        if node >= splits:
            return jnp.int32(node - splits)
        difference = value[first[:, node]] - value[second[:, node]]
        left = difference > threshold[:, node, None]
        return jnp.where(left, leaf_under(2 * node + 1), leaf_under(2 * node + 2))

    return leaf_under(0)


def add_leaves(
    shape: Shapes, leaves: Leaves, chosen: Int[Array, "trees batch"]
) -> Shapes:
    """Adds one leaf of each tree, in dlib's order: float32 sums depend on it.

    Args:
      shape: to add to.
      leaves: of many trees.
      chosen: row of `leaves` for each tree and face.

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
    """Adds all leaves of all trees of a level, each as far as it is reached.

    A split sends a face left with weight sigmoid((first - second - threshold) /
    temperature); a leaf counts with the product of the weights on the way to it.

    Args:
      value: of the feature pixels, in grey levels; the only argument with a gradient.
      tables: of the level.
      leaves: of all levels.
      level: whose trees these are.
      temperature: in grey levels, above 0.

    Returns:
      The sum for each face.
    """
    left = _left(value, tables, temperature)
    share = jnp.stack(_reached(left)[left.shape[1] :], axis=1)
    share = share.reshape(leaves.shape[1], -1)
    return jnp.einsum("kb,kc->bc", share, leaves[level])


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
    # A split matters as far as it is reached, times what left is worth over right. What
    # a node is worth is found from the leaves up, how far it is reached from the root.
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
    share = jnp.stack(_reached(left)[:splits], axis=1)
    slope = left * (1.0 - left) / temperature
    toward_difference = advantage * share * slope
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
    """How far each node is reached, inner ones and then leaves."""
    share = [jnp.ones_like(left[:, 0])]
    for node in range(left.shape[1]):
        share.append(share[node] * left[:, node])
        share.append(share[node] * (1.0 - left[:, node]))
    return share
