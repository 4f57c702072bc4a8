"""Gradient descent on latent vectors in [-1, 1], which keeps the best vector found.

The solver knows only an objective, `(key, z, taken) -> (loss [batch], terms)`, which
gets a fresh random key at each step, and how many steps were taken. Rows are
independent searches: restarts of one image, images, or both flattened together. Long
searches run in chunks: `solve` is called again on the state that it returned, so
progress, traces and early stopping are outside the compiled program. Every array of a
state but its key has a row for each search, so that `take` can select some of them.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from inpaint_jax import types

Taken = Int[Array, " batch"]
"""The number of steps that each row has taken."""

Objective = Callable[[types.PRNGKey, types.Latent, Taken], tuple[types.PerExample, Any]]
"""(key, z [batch, z_dim], taken [batch]) -> (loss [batch], tree of [batch]); rows do
not interact. A loss that changes with the steps should fall where z stays, or the best
z would be an early one."""


class LatentState(NamedTuple):
    """The state that a step takes and returns.

    Attributes:
      key: random key for the objective in the next steps.
      z: `[batch, z_dim]` in [-1, 1], where the next step starts.
      opt_state: state of the optimizer.
      taken: `[batch]`, number of steps taken.
      best_z: `[batch, z_dim]`, the z with the lowest loss so far.
      best_loss: `[batch]`, the lowest loss so far; infinite before a finite one.
    """

    key: types.PRNGKey
    z: types.Latent
    opt_state: Any
    taken: Taken
    best_z: types.Latent
    best_loss: types.PerExample


class LatentInfo(NamedTuple):
    """Diagnostics of a step.

    Attributes:
      loss: `[batch]`, at the z where the step started.
      best_loss: `[batch]`, the lowest loss so far.
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
        taken=jnp.zeros(len(z), jnp.int32),
        best_z=z,
        best_loss=jnp.full(z.shape[0], jnp.inf, z.dtype),
    )


def step(
    state: LatentState,
    *,
    objective: Objective,
    optimizer: optax.GradientTransformation,
) -> tuple[LatentState, LatentInfo]:
    """Takes one optimizer step and clips z to [-1, 1].

    Args:
      state: the state of the searches.
      objective: see `Objective`.
      optimizer: is mapped over the rows of z, one search each.

    Returns:
      (next state, losses before the step). A row whose loss is not finite keeps its
      best z.
    """
    key, key_step = jax.random.split(state.key)

    def summed(z: types.Latent) -> tuple[Float[Array, ""], types.PerExample]:
        # Rows are independent, so the gradient of the sum is each row's own gradient.
        loss, _ = objective(key_step, z, state.taken)
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
        taken=state.taken + 1,
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
      (last state, info of all steps, `[iterations, batch]`).
    """
    return jax.lax.scan(
        lambda carry, _: step(carry, objective=objective, optimizer=optimizer),
        state,
        length=iterations,
    )


def take(state: LatentState, rows: Int[Array, " kept"]) -> LatentState:
    """Returns the state of the selected searches only."""
    searches = state._replace(key=None)
    kept = jax.tree.map(lambda array: array[rows], searches)
    return kept._replace(key=state.key)


def rank(
    score: Float[Array, "images restarts"],
) -> Int[Array, "images restarts"]:
    """Returns the order of each image's restarts: lowest score first, NaN last."""
    return jnp.argsort(score, axis=1, stable=True)
