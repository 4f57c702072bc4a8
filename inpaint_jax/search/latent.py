"""Search in latent space: first-order descent in a box, the best point kept.

The solver knows only an objective, `(key, z [batch, z_dim]) -> (loss [batch], terms)`,
with a fresh key at each step for those that draw. Rows are independent searches:
restarts of one image, images, or both flattened together.
Long searches run in chunks, `solve` called again on the state it returned, so that
progress, traces and early stopping live outside the compiled program. Every array of a
state but its key has a row for each search, so that some can be taken out of it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from inpaint_jax import types

Objective = Callable[[types.PRNGKey, types.Latent], tuple[types.PerExample, Any]]
"""(key, z [batch, z_dim]) -> (loss [batch], terms: tree of [batch]); rows apart."""


class LatentState(NamedTuple):
    """Exactly what the next step needs.

    Attributes:
      key: of what the objective draws from now on.
      z: `[batch, z_dim]`, where the next step starts, inside the box.
      opt_state: state of the optimizer.
      best_z: `[batch, z_dim]`, the point with the lowest loss so far.
      best_loss: `[batch]`; infinite until a finite loss was seen.
    """

    key: types.PRNGKey
    z: types.Latent
    opt_state: Any
    best_z: types.Latent
    best_loss: types.PerExample


class LatentInfo(NamedTuple):
    """What a step tells about itself; never fed back.

    Attributes:
      loss: `[batch]`, at the point where the step started.
      best_loss: `[batch]`, the lowest so far.
    """

    loss: types.PerExample
    best_loss: types.PerExample


def init(
    key: types.PRNGKey, z: types.Latent, *, optimizer: optax.GradientTransformation
) -> LatentState:
    """Returns the state of a search that starts at z, `[batch, z_dim]`."""
    return LatentState(
        key=key,
        z=z,
        opt_state=jax.vmap(optimizer.init)(z),
        best_z=z,
        best_loss=jnp.full(z.shape[0], jnp.inf, z.dtype),
    )


def step(
    state: LatentState,
    *,
    objective: Objective,
    optimizer: optax.GradientTransformation,
) -> tuple[LatentState, LatentInfo]:
    """Takes one step downhill and back into the box.

    Args:
      state: where the searches are.
      objective: see `Objective`.
      optimizer: of one search; it sees one row of z at a time.

    Returns:
      The next state with z clipped to [-1, 1], and the loss before the step. A row
      whose loss is not finite keeps its best point.
    """
    key, key_step = jax.random.split(state.key)

    def summed(z: types.Latent) -> tuple[Float[Array, ""], types.PerExample]:
        # Rows are independent, so the gradient of the sum is each row's own gradient.
        loss, _ = objective(key_step, z)
        return jnp.sum(loss), loss

    gradient, loss = jax.grad(summed, has_aux=True)(state.z)
    updates, opt_state = jax.vmap(optimizer.update)(gradient, state.opt_state, state.z)
    moved: Any = optax.apply_updates(state.z, updates)
    better = jnp.isfinite(loss) & (loss < state.best_loss)
    best_loss = jnp.where(better, loss, state.best_loss)
    next_state = LatentState(
        key=key,
        z=jnp.clip(moved, -1.0, 1.0),
        opt_state=opt_state,
        best_z=jnp.where(better[:, None], state.z, state.best_z),
        best_loss=best_loss,
    )
    return next_state, LatentInfo(loss=loss, best_loss=best_loss)


def solve(
    state: LatentState,
    *,
    objective: Objective,
    optimizer: optax.GradientTransformation,
    iterations: int,
) -> tuple[LatentState, LatentInfo]:
    """Takes a number of steps in one compiled loop.

    Args:
      state: from `init` or from an earlier `solve`.
      objective: see `Objective`.
      optimizer: as in `step`.
      iterations: number of steps.

    Returns:
      The last state, and the info of all steps, `[iterations, batch]`.
    """
    return jax.lax.scan(
        lambda carry, _: step(carry, objective=objective, optimizer=optimizer),
        state,
        length=iterations,
    )


def take(state: LatentState, rows: Int[Array, " kept"]) -> LatentState:
    """Returns the state of some of the searches, which go on as if alone."""
    searches = state._replace(key=None)
    kept = jax.tree.map(lambda array: array[rows], searches)
    return kept._replace(key=state.key)


def rank(
    score: Float[Array, "images restarts"],
) -> Int[Array, "images restarts"]:
    """Orders the restarts of each image, best (lowest score) first, NaN last."""
    return jnp.argsort(score, axis=1, stable=True)
