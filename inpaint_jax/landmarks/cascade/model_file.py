"""dlib's shape predictor files: bytes <-> `ShapeModel`, with NumPy alone.

The format has no magic number and no checksum, and dlib's own loader trusts every
number in it: a damaged file can take all memory or crash the process. Here a file is
measured from front to back before anything large is allocated, and every number is
checked.
"""

import hashlib
import os

import numpy as np
from jaxtyping import Float, Int

from inpaint_jax.errors import InputError, reason
from inpaint_jax.landmarks.cascade import dlib_codec
from inpaint_jax.landmarks.cascade.shape_model import ShapeModel

_VERSION = 1
# How many numbers make up a split (two features and a threshold), a point, an anchor,
# and the sizes of a matrix.
_SPLIT, _POINT, _ANCHOR, _SIZES = 4, 4, 1, 2


# The last models: a search reads the same file for its term and for its scores.
_KEPT = 2
_parsed: dict[str, ShapeModel] = {}


def load(path: str | os.PathLike[str]) -> ShapeModel:
    """Reads a model, see `load_with_hash`."""
    return load_with_hash(path)[0]


def load_with_hash(path: str | os.PathLike[str]) -> tuple[ShapeModel, str]:
    """Reads a model from a file; the 68-point model takes 1.5 s the first time.

    Args:
      path: a `.dat` file of dlib's `shape_predictor`.

    Returns:
      The model, every index in range and every number finite, and the file's sha256.

    Raises:
      InputError: the file cannot be read, is no such file or is damaged.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            data = file.read(min(size, dlib_codec.MAX_BYTES + 1))
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({reason(error)}); give a dlib shape predictor."
        ) from error
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        if sha256 not in _parsed:
            model = parse(data)
            while len(_parsed) >= _KEPT:
                _parsed.pop(next(iter(_parsed)))
            _parsed[sha256] = model
        return _parsed[sha256], sha256
    except ValueError as error:
        raise InputError(
            f"{path}: {error}; give an intact dlib shape predictor."
        ) from error


def parse(data: bytes) -> ShapeModel:
    """Reads a model.

    A file is a version, the initial shape, and for all levels the trees, then the
    anchors, then the offsets. In front of every list is its length, in front of every
    matrix are its two sizes, negated. All trees are of one size: once it is known where
    each of them starts, all are read side by side. Memory peaks at three times the size
    of the file, or nine if it is made of tiny trees only.

    Args:
      data: content of a `.dat` file of dlib's `shape_predictor`.

    Returns:
      The model, every index in range and every number finite.

    Raises:
      ValueError: the bytes are no such file; starts with "byte N:", where it was seen.
    """
    chain = dlib_codec.Chain(data)
    chain.expect(_VERSION, "version")
    points, initial_start = _initial_shape(chain)
    levels, splits, split_starts, leaf_starts = _forests(chain, points)
    chain.expect(levels, "number of levels")
    (features,) = chain.peek("number of features")
    anchor_starts = _lists(chain, levels, features, _ANCHOR)
    chain.expect(levels, "number of levels")
    offset_starts = _lists(chain, levels, features, _POINT)
    chain.finish()

    feature, landmark = (0, features - 1), (0, points - 1)
    sizes = [(-2 * points, -2 * points), (-1, -1)]
    _, initial = chain.records(initial_start, points, bounds=[], floats=2)
    index, threshold = chain.records(
        split_starts, splits, bounds=[feature] * 2, floats=1
    )
    _, leaves = chain.records(leaf_starts, splits + 1, bounds=sizes, floats=2 * points)
    anchor, _ = chain.records(anchor_starts, features, bounds=[landmark], floats=0)
    _, offset = chain.records(offset_starts, features, bounds=[], floats=2)
    first, second = np.ascontiguousarray(np.moveaxis(index, -1, 0))
    return ShapeModel(
        initial=initial[0],
        first=first.reshape(levels, -1, splits),
        second=second.reshape(levels, -1, splits),
        threshold=threshold.reshape(levels, -1, splits),
        leaves=leaves.reshape(levels, -1, splits + 1, points, 2),
        anchor=anchor[..., 0],
        offset=offset,
    )


def serialise(model: ShapeModel) -> bytes:
    """Writes a model as dlib does, byte for byte.

    Args:
      model: of finite numbers.

    Returns:
      The content of a `.dat` file.

    Raises:
      ValueError: a number is NaN or infinite.
    """
    for name, values in model._asdict().items():
        finite = np.isfinite(values)
        if not finite.all():
            raise ValueError(f"{name} holds {np.asarray(values)[~finite][0]}")
    initial, *forests, anchor, offset = map(np.asarray, model)
    levels, trees, _ = forests[0].shape
    parts = [[_VERSION, -initial.size, -1], dlib_codec.float_numbers(initial)]
    parts.append([levels])
    for forest in zip(*forests, strict=True):
        parts += [[trees], _tree_numbers(*forest)]
    for lists in (anchor, dlib_codec.float_numbers(offset)):
        parts.append([levels])
        for items in lists:
            parts += [[len(items)], items]
    return b"".join(dlib_codec.encode(np.ravel(part)) for part in parts)


def _initial_shape(chain: dlib_codec.Chain) -> tuple[int, dlib_codec.Starts]:
    """Measures the first matrix; returns how many points it has, and where they are."""
    start = chain.position
    rows = -chain.integer()
    if rows < 2 or rows % 2:
        chain.fail(f"{rows} as number of coordinates; expected 2 a point", at=start)
    chain.expect(-1, "number of columns, negated")
    return rows // 2, np.array([chain.skip(2 * rows)])


def _forests(
    chain: dlib_codec.Chain, points: int
) -> tuple[int, int, dlib_codec.Starts, dlib_codec.Starts]:
    """Measures all trees.

    Returns:
      How many levels there are, and splits in a tree, and where the splits and the
      leaves of each tree start.
    """
    levels = chain.count("number of levels")
    trees, splits = chain.peek("number of trees", "number of splits")
    if splits & (splits + 1):
        chain.fail(f"trees of {splits} splits; expected 2^depth - 1")
    leaf = _SIZES + _POINT * points
    opening = dlib_codec.encode(np.array([-2 * points, -1]))
    ends = chain.runs(opening, leaf, doublings=splits.bit_length())
    split_starts, leaf_starts = [], []
    for _ in range(levels):
        chain.expect(trees, "number of trees")
        for _ in range(trees):
            chain.expect(splits, "number of splits")
            split_starts.append(chain.skip(_SPLIT * splits))
            chain.expect(splits + 1, "number of leaves")
            leaf_starts.append(chain.position)
            if chain.position in ends:
                chain.position = ends[chain.position]
            else:
                chain.skip((splits + 1) * leaf)
    return levels, splits, np.array(split_starts), np.array(leaf_starts)


def _lists(
    chain: dlib_codec.Chain, levels: int, items: int, numbers: int
) -> dlib_codec.Starts:
    """Measures a list for each level; returns where their items start."""
    starts = []
    for _ in range(levels):
        chain.expect(items, "number of features")
        starts.append(chain.skip(items * numbers))
    return np.array(starts)


def _tree_numbers(
    first: Int[np.ndarray, "trees splits"],
    second: Int[np.ndarray, "trees splits"],
    threshold: Float[np.ndarray, "trees splits"],
    leaves: Float[np.ndarray, "trees leaves points 2"],
) -> Int[np.ndarray, "trees numbers"]:
    """Returns the numbers of all trees of a level, a row for each."""
    trees, splits = first.shape
    features = np.stack([first, second], axis=-1)
    split = np.concatenate([features, dlib_codec.float_numbers(threshold)], axis=-1)
    pairs = dlib_codec.float_numbers(leaves).reshape(trees, splits + 1, -1)
    sizes = np.broadcast_to((-pairs.shape[-1] // 2, -1), (trees, splits + 1, _SIZES))
    leaf = np.concatenate([sizes, pairs], axis=-1)
    parts = [np.full((trees, 1), splits), split, np.full((trees, 1), splits + 1), leaf]
    return np.concatenate([part.reshape(trees, -1) for part in parts], axis=1)
