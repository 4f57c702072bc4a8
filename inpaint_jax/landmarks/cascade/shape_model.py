"""The arrays of a landmark cascade of regression trees (Kazemi and Sullivan 2014)."""

from typing import Any, NamedTuple

from jaxtyping import Float, Int

Numbers = Any  # a NumPy or JAX array


class ShapeModel(NamedTuple):
    """A trained cascade as stacked NumPy or JAX arrays.

    Every level has `trees` trees of one depth with `splits` = 2^depth - 1 inner nodes
    in heap order (children of i: 2i + 1 left, 2i + 2 right) and `splits` + 1 leaves.
    Coordinates are in the unit square of the face box.

    Attributes:
      initial: `[points, 2]`, float32, the mean shape, where the cascade starts.
      first: `[levels, trees, splits]`, int32, index of a split's first feature pixel.
      second: `[levels, trees, splits]`, int32, index of its second feature pixel.
      threshold: `[levels, trees, splits]`, float32, in grey levels; a split goes left
        where first - second exceeds it.
      leaves: `[levels, trees, splits + 1, points, 2]`, float32, the step that a leaf
        adds to the shape.
      anchor: `[levels, features]`, int32, the landmark that a feature pixel moves with.
      offset: `[levels, features, 2]`, float32, from the anchor to the feature pixel on
        the mean shape.
    """

    initial: Float[Numbers, "points 2"]
    first: Int[Numbers, "levels trees splits"]
    second: Int[Numbers, "levels trees splits"]
    threshold: Float[Numbers, "levels trees splits"]
    leaves: Float[Numbers, "levels trees leaves points 2"]
    anchor: Int[Numbers, "levels features"]
    offset: Float[Numbers, "levels features 2"]

    @property
    def points(self) -> int:
        """Number of landmarks."""
        return self.initial.shape[0]
