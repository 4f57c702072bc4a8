"""One round of the game that trains the DCGAN: from a batch to each player's gradient.

Two players, G and D, as `judging` has it, and perhaps a third, an encoder E, with which
G must redraw the real images (`redrawing`).
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from inpaint_jax import types
from inpaint_jax.models import dcgan
from inpaint_jax.training import judging, redrawing


class Players(NamedTuple):
    """The networks and how each is moved; static, no weights.

    Attributes:
      generator: G.
      discriminator: D.
      generator_optimizer: moves G.
      discriminator_optimizer: moves D.
      encoder: E; None for the game of two.
      encoder_optimizer: moves E.
    """

    generator: dcgan.Generator
    discriminator: dcgan.Discriminator
    generator_optimizer: optax.GradientTransformation
    discriminator_optimizer: optax.GradientTransformation
    encoder: dcgan.Encoder | None = None
    encoder_optimizer: optax.GradientTransformation | None = None

    @property
    def optimizers(self) -> dict[str, optax.GradientTransformation | None]:
        """Who moves whom."""
        return {
            "generator": self.generator_optimizer,
            "discriminator": self.discriminator_optimizer,
            "encoder": self.encoder_optimizer,
        }


class Round(NamedTuple):
    """What came of a round.

    Attributes:
      gradients: {player: of what it minimises, by its params}.
      updated: {player: its other collections, as the batch leaves them}.
      judged: what D says.
      redrawn: how well G and E redraw; 0 without an encoder.
    """

    gradients: dict[str, types.Variables]
    updated: dict[str, types.Variables]
    judged: judging.Judged
    redrawn: redrawing.Redrawn


def play(
    key_views: types.PRNGKey,
    key_match: types.PRNGKey,
    z: types.Latent,
    real: types.Image,
    networks: Mapping[str, types.Variables],
    *,
    players: Players,
    judge: Callable[..., judging.Judged],
    redraw: redrawing.Rules,
) -> Round:
    """Lets all players judge and be judged, at the same point, on one batch.

    One forward pass of each network on the generated images serves all players. With
    BatchNorm D normalises real and generated images by the statistics of their own
    batch; G draws G(z) and G(E(image)) as one batch, so that both are normalised alike.

    Args:
      key_views: of the augmentation.
      key_match: of the directions of `losses.adversarial.latent_match`.
      z: `[batch, z_dim]`.
      real: `[batch, H, W, 3]`.
      networks: {player: variables}.
      players: the networks.
      judge: `judging.judge` with its options.
      redraw: what E and G minimise together.
    """
    drawn, pullback, updated = _draw(z, real, networks, players=players)
    judged = judge(
        key_views,
        networks["discriminator"],
        real,
        drawn.fake,
        network=players.discriminator,
    )
    toward, redrawn = _redraw(
        key_match, z, real, drawn, networks, players=players, rules=redraw
    )
    generator, encoder = pullback(toward._replace(fake=judged.toward_fooled))
    return Round(
        {"generator": generator, "discriminator": judged.gradient, "encoder": encoder},
        {**updated, "discriminator": judged.updated},
        judged,
        redrawn,
    )


class _Drawn(NamedTuple):
    """G(z), E(real) and G(E(real)), or gradients by them."""

    fake: types.Image | None
    code: types.Latent | None
    rebuilt: types.Image | None


_Pullback = Callable[[_Drawn], tuple[types.Variables, types.Variables]]
_Updated = dict[str, types.Variables]


def _draw(
    z: types.Latent,
    real: types.Image,
    networks: Mapping[str, types.Variables],
    *,
    players: Players,
) -> tuple[_Drawn, _Pullback, _Updated]:
    """Draws; with what pulls gradients back to G's and E's params."""

    def draw(
        generator_params: types.Variables, encoder_params: types.Variables
    ) -> tuple[_Drawn, _Updated]:
        generate = _trained(players.generator, networks["generator"], generator_params)
        if players.encoder is None:
            fake, updated = generate(z)
            return _Drawn(fake, None, None), {"generator": updated, "encoder": {}}
        encode = _trained(players.encoder, networks["encoder"], encoder_params)
        code, encoder_updated = encode(real, jnp.ones_like(real[..., :1]))
        both, updated = generate(jnp.concatenate([z, code]))
        fake, rebuilt = jnp.split(both, 2)
        changed = {"generator": updated, "encoder": encoder_updated}
        return _Drawn(fake, code, rebuilt), changed

    params = (networks[name]["params"] for name in ("generator", "encoder"))
    return jax.vjp(draw, *params, has_aux=True)


def _trained(
    network: nn.Module, variables: types.Variables, params: types.Variables
) -> Callable[..., tuple[jax.Array, types.Variables]]:
    return functools.partial(
        network.apply,
        {**variables, "params": params},
        train=True,
        mutable=["batch_stats"],
    )


def _redraw(
    key: types.PRNGKey,
    z: types.Latent,
    real: types.Image,
    drawn: _Drawn,
    networks: Mapping[str, types.Variables],
    *,
    players: Players,
    rules: redrawing.Rules,
) -> tuple[_Drawn, redrawing.Redrawn]:
    """The gradient of what redrawing costs, and its parts."""
    if drawn.code is None or drawn.rebuilt is None:
        nothing = jnp.zeros(real.shape[0])
        return drawn, redrawing.Redrawn(nothing, nothing, nothing)

    def features(image: types.Image) -> list[jax.Array]:
        options: Any = {"train": False, "features": True}
        seen: Any = players.discriminator.apply(
            networks["discriminator"], image, **options
        )
        return seen

    gradient, redrawn = redrawing.gradient(
        key, z, real, drawn.code, drawn.rebuilt, features=features, rules=rules
    )
    return _Drawn(None, *gradient), redrawn
