"""The trained landmark net: where the points of a damaged face are, and how surely."""

import dataclasses
import os
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from inpaint_jax import types
from inpaint_jax.models import landmark_net
from inpaint_jax.pretrained import releases


@dataclasses.dataclass(frozen=True)
class LandmarkPredictor:
    """A landmark net with its weights.

    Attributes:
      architecture: of the net.
      crop: side of the training crops in CelebA pixels, see `framing.frame`.
      variables: {"params", "batch_stats"}.
      spread: factor on all ellipses, fitted on faces that training did not see.
      source: what to call it in a report: where it came from, step, hashes.
    """

    architecture: landmark_net.Architecture
    crop: int
    variables: types.Variables
    spread: float
    source: dict[str, Any]

    def predict(
        self, image: types.Image, mask: types.Mask
    ) -> tuple[landmark_net.Landmarks, landmark_net.Whitening]:
        """Places the landmarks of each face; rows are independent.

        Args:
          image: `[batch, H, W, 3]`; what lies in the hole is not looked at.
          mask: `[batch, H, W, 1]`, 1 = known.

        Returns:
          Points (x, y) in pixels, and the matrices that whiten their errors to unit
          variance along each axis.
        """
        return self.place(image, mask)

    def features(self, image: types.Image) -> Float[Array, "batch hidden"]:
        """Returns what the net's last hidden layer sees in undamaged faces."""
        options: Any = {"train": False, "features": True}
        everything = jnp.ones_like(image[..., :1])
        return self.architecture.network().apply(
            self.variables, image, everything, **options
        )  # pyright: ignore[reportReturnType]

    @property
    def place(self) -> jax.tree_util.Partial:
        """`predict` as a pytree, so that its weights are no constants of a program."""
        apply = _Apply(self.architecture, self.spread)
        return jax.tree_util.Partial(apply, self.variables)


@dataclasses.dataclass(frozen=True)
class _Apply:
    architecture: landmark_net.Architecture
    spread: float

    def __call__(self, variables, image, mask):
        network = self.architecture.network()
        points, whitening = network.apply(variables, image, mask, train=False)  # pyright: ignore[reportGeneralTypeIssues]
        deviation = self.spread * landmark_net.LAPLACE_DEVIATION
        return points, whitening / deviation


def load(path: str | os.PathLike[str]) -> LandmarkPredictor:
    """Reads a net from a release folder or from a training run's folder.

    Args:
      path: the folder, or "release" for the weights that come with the package.

    Raises:
      InputError: nothing usable is there, it does not fit its own description, or it
        holds NaN or infinite weights.
    """
    loaded = releases.load(
        path,
        name="landmark_net",
        trainer="experiments.train_landmarks",
        templates=lambda description: {"net": template(_understood(description)[0])},
    )
    architecture, crop, spread = _understood(loaded.description)
    return LandmarkPredictor(
        architecture, crop, loaded.networks["net"], spread, loaded.source
    )


def export(
    directory: str | os.PathLike[str],
    predictor: LandmarkPredictor,
    *,
    provenance: dict[str, Any],
) -> None:
    """Writes a release, see `releases.export`.

    Args:
      directory: folder to write to; created if need be.
      predictor: what to write.
      provenance: JSON values: data, command, commit, scores.

    Raises:
      InputError: the folder cannot be written, or half precision cannot hold a weight.
    """
    releases.export(
        directory,
        {"net": predictor.variables},
        description={
            "architecture": dataclasses.asdict(predictor.architecture),
            "crop": predictor.crop,
            "spread": predictor.spread,
            "provenance": provenance,
        },
    )


def template(architecture: landmark_net.Architecture) -> types.Variables:
    """Returns the shapes of the net's variables, without computing anything."""
    size = architecture.image_size

    def initial():
        image, mask = jnp.zeros((1, size, size, 3)), jnp.zeros((1, size, size, 1))
        network = architecture.network()
        return network.init(jax.random.key(0), image, mask, train=False)

    return jax.eval_shape(initial)


def _understood(description):
    architecture = landmark_net.Architecture(**description["architecture"])
    crop, spread = int(description["crop"]), float(description.get("spread", 1.0))
    if crop < 1 or not 0 < spread < float("inf"):
        raise ValueError(f"crop and spread must be positive, got {crop} and {spread}")
    return architecture, crop, spread
