"""Puts the completions first that look of one gender, where a user asks for that.

A hole may leave open whether the face in it looks like a woman's or like a man's. This
orders what a search has found; it does not steer the search, and says nothing about the
person: it is how a picture looks to a classifier that was trained with the labels of
CelebA, see `inpaint_jax.evaluation.attributes`.
"""

import dataclasses
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float

from experiments.common import cases, identity
from inpaint_jax.errors import InputError
from inpaint_jax.evaluation import attributes
from inpaint_jax.images import pixels
from inpaint_jax.landmarks import embedding
from inpaint_jax.pretrained import attribute_classifier
from inpaint_jax.search import completion
from inpaint_jax.search.problem import Problem

Asked = Literal["any", "female", "male", "keep"]

_Likely = Float[np.ndarray, " restarts"]


@dataclasses.dataclass(frozen=True)
class Order:
    """An order of the restarts of a face.

    Attributes:
      asked: how they should look; "keep" for as the original does.
      network: of face embeddings.
      classifier: of them.
      crop: side of the model's frame in CelebA pixels.
    """

    asked: Asked
    network: embedding.Network
    classifier: attributes.Classifier
    crop: int

    @property
    def models(self) -> dict[str, str]:
        """The hashes of the models that it goes by."""
        weights = np.concatenate(self.classifier)
        return {
            "embedding": identity.of_file(self.network.path),
            "classifier": identity.of_array(weights),
        }

    def ranked(
        self,
        result: completion.Completion,
        case: cases.Case,
        problem: Problem,
        *,
        blend: str,
    ) -> tuple[completion.Completion, dict[str, Any]]:
        """Ranks those first that look as is asked for; the loss decides among them.

        Args:
          result: the restarts, best first.
          case: the input.
          problem: the damaged image.
          blend: as in `completion.complete`.

        Returns:
          The restarts in the new order, and what the report says of it.

        Raises:
          InputError: they should look as the original does, which is not known.
        """
        asked = self._like(case.original) if self.asked == "keep" else self.asked
        images = completion.blended(result.generated, problem, blend=blend)
        male = self._male(np.asarray(pixels.to_bytes(images)))
        finite = np.isfinite(np.asarray(result.score))
        fits: Bool[np.ndarray, " restarts"] = (
            (male > 0.5) == (asked == "male")
        ) & finite
        # In both groups by the loss, as they are.
        order = np.lexsort((np.arange(len(male)), ~fits, ~finite))
        entry: dict[str, Any] = {
            "attribute": asked,
            "looks_male": np.round(male[order], 3).tolist(),
        }
        if not fits.any():
            entry["looks_otherwise"] = (
                f"none of the {len(male)} restarts looks {asked}, so the best by its "
                "loss is taken; give more --restarts, or --init=mixed"
            )
        return result._replace(
            completed=images[order[:1]],
            generated=result.generated[order],
            z=result.z[order],
            score=result.score[order],
            terms={name: value[order] for name, value in result.terms.items()},
        ), entry

    def _like(self, original: cases.Picture | None) -> Literal["female", "male"]:
        if original is None:
            raise InputError(
                "--attribute=keep: what is under the hole is not known; give "
                "--attribute=female or male."
            )
        return "male" if self._male(original[None])[0] > 0.5 else "female"

    def _male(self, images: cases.Picture | np.ndarray) -> _Likely:
        embeddings = self.network.embed(np.asarray(images), crop=self.crop)
        return attributes.probability(self.classifier, embeddings)


def order(asked: Asked, *, crop: int) -> Order | None:
    """Returns the order that is asked for, or None.

    Args:
      asked: how completions should look; "any" for no order.
      crop: side of the model's frame in CelebA pixels.

    Raises:
      InputError: dlib or its embedding network is not installed.
    """
    if asked == "any":
        return None
    classifier = attribute_classifier.load("release", "male")
    return Order(asked, embedding.Network(), classifier, crop)
