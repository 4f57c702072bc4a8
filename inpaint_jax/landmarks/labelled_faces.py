"""Data sets of faces with known landmarks, on which a cascade is trained."""

import dataclasses
import os
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn
from xml.etree import ElementTree

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, UInt8

from inpaint_jax.errors import InputError
from inpaint_jax.images import pixels
from inpaint_jax.io import picture_files

_Box = tuple[int, int, int, int]
_Point = tuple[int, int]

_MAX_XML_MIB = 64
_FARTHEST = 1_000_000
_ARRAYS: dict[str, tuple[Any, str]] = {
    "images": (UInt8[np.ndarray, "_ _ _ 3"], "uint8 [faces, height, width, 3]"),
    "boxes": (Int[np.ndarray, "_ 4"], "int [faces, 4]"),
    "landmarks": (Float[np.ndarray, "_ _ 2"], "float [faces, points, 2]"),
}


@dataclasses.dataclass(frozen=True)
class LabelledFaces:
    """Pictures with the boxes and landmarks of the faces in them.

    Attributes:
      images: RGB bytes, `[H, W, 3]` each, of any sizes.
      image_index: `[faces]`, index of each face's picture; a picture may hold several.
      boxes: `[faces, 4]`, (left, top, right, bottom), inclusive, in pixels.
      landmarks: `[faces, points, 2]`, (x, y) in pixels of the picture.
      names: one for each face, for error messages.
    """

    images: Sequence[UInt8[np.ndarray, "_ _ 3"]]
    image_index: Int[np.ndarray, " faces"]
    boxes: Int[np.ndarray, "faces 4"]
    landmarks: Float[np.ndarray, "faces points 2"]
    names: Sequence[str]

    def __post_init__(self) -> None:
        """Checks boxes and landmarks, which dlib would not do.

        Raises:
          InputError: there is no face, or a box or its landmarks are impossible.
        """
        if not len(self.names):
            raise InputError("there is no labelled face; give at least one.")
        rows = zip(
            self.names, self.image_index, self.boxes, self.landmarks, strict=True
        )
        for name, index, box, points in rows:
            _check_box(name, box, self.images[index].shape[:2])
            _check_landmarks(name, points)


def mask_faces(
    faces: LabelledFaces,
    masks: Sequence[Float[np.ndarray | Array, "_ _ 1"]],
) -> LabelledFaces:
    """Damages the pictures, so that a cascade can be trained on faces with holes.

    Args:
      faces: undamaged faces.
      masks: `[H, W, 1]` for each picture, 1 = known.

    Returns:
      The same faces; the holes are mid grey, as in `mask * image` on [-1, 1].
    """
    grey = np.asarray(pixels.to_bytes(jnp.zeros(())))
    images = [
        np.where(np.asarray(mask) > 0.5, image, grey)
        for image, mask in zip(faces.images, masks, strict=True)
    ]
    return dataclasses.replace(faces, images=images)


def join(*parts: LabelledFaces) -> LabelledFaces:
    """Joins several data sets into one."""
    before = np.cumsum([0, *(len(part.images) for part in parts)])
    return LabelledFaces(
        images=[image for part in parts for image in part.images],
        image_index=np.concatenate(
            [part.image_index + n for part, n in zip(parts, before[:-1], strict=True)]
        ),
        boxes=np.concatenate([part.boxes for part in parts]),
        landmarks=np.concatenate([part.landmarks for part in parts]),
        names=[name for part in parts for name in part.names],
    )


def read_arrays(path: str | os.PathLike[str]) -> LabelledFaces:
    """Reads faces from an `.npz` file, one face in each picture.

    Args:
      path: file with `images`, uint8 `[faces, H, W, 3]`, `boxes`, int `[faces, 4]`, and
        `landmarks`, float `[faces, points, 2]`, as in `LabelledFaces`.

    Raises:
      InputError: an array is missing or of another type or shape, or a box or its
        landmarks are impossible.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in _ARRAYS}
    except Exception as error:
        # The parsers of zip files and headers fail with BadZipFile and many others.
        raise InputError(
            f"{path}: cannot be read ({error}); give an .npz with {', '.join(_ARRAYS)}."
        ) from error
    for name, (kind, expected) in _ARRAYS.items():
        array = arrays[name]
        fits = isinstance(array, kind) and len(array) == len(arrays["images"])
        if not fits or not array.size:
            raise InputError(
                f"{path}: {name} is {array.dtype} {list(array.shape)}; expected "
                f"{expected}, the same faces in each array."
            )
    count = len(arrays["images"])
    return LabelledFaces(
        images=list(arrays["images"]),
        image_index=np.arange(count),
        boxes=arrays["boxes"],
        landmarks=arrays["landmarks"],
        names=[f"{path}: face {i}" for i in range(count)],
    )


def read_xml(path: str | os.PathLike[str]) -> LabelledFaces:
    """Reads faces from the XML of imglab, dlib's labelling tool.

    An `<image file= >` holds a `<box top= left= width= height= >` for each face, and
    each box holds a `<part name= x= y= />` for each landmark, named by its number from
    0. Boxes with `ignore` are left out.

    Args:
      path: the XML file, at most 64 MiB; image paths are relative to its folder.

    Raises:
      InputError: the file is no such XML, a picture cannot be read, or a box or its
        landmarks are impossible.
    """
    path = pathlib.Path(path)
    images, faces = [], []
    for image in _parse(path).iter("image"):
        labelled = list(_labelled(image, path))
        if labelled:
            faces += [(len(images), *face) for face in labelled]
            images.append(_picture(image, path))
    if not faces:
        raise InputError(f"{path}: no image has a labelled box; label at least one.")
    index, names, boxes, landmarks = zip(*faces, strict=True)
    for name, parts in zip(names, landmarks, strict=True):
        if len(parts) != len(landmarks[0]):
            raise InputError(
                f"{name}: has {len(parts)} parts; give it {len(landmarks[0])}, as "
                "the first box has."
            )
    return LabelledFaces(
        images=images,
        image_index=np.array(index),
        boxes=np.array(boxes),
        landmarks=np.array(landmarks, np.float32),
        names=names,
    )


def _check_box(name: str, box: Int[np.ndarray, "4"], shape: tuple[int, ...]) -> None:
    height, width = shape
    left, top, right, bottom = box.tolist()
    meets = left < width and top < height and right >= 0 and bottom >= 0
    near = max(abs(side) for side in box.tolist()) < _FARTHEST
    if not (left < right and top < bottom and meets and near):
        raise InputError(
            f"{name}: the box (left, top, right, bottom) = {box.tolist()} is no box in "
            f"a picture of {width} x {height} pixels; give inclusive corners with "
            "left < right and top < bottom."
        )


def _check_landmarks(name: str, points: Float[np.ndarray, "points 2"]) -> None:
    if not np.all(np.abs(points) < _FARTHEST):
        raise InputError(
            f"{name}: a landmark is not finite or beyond {_FARTHEST:,}; give (x, y) in "
            "pixels of the picture."
        )
    if len(np.unique(np.rint(points), axis=0)) < 2:
        raise InputError(
            f"{name}: all landmarks are in one pixel; give at least two places."
        )


class _WithoutDoctype(ElementTree.TreeBuilder):
    def doctype(self, name: str, pubid: str | None, system: str | None) -> NoReturn:
        # Only a DOCTYPE can declare entities, which can expand without end.
        raise ElementTree.ParseError("a DOCTYPE is not allowed")


def _parse(path: pathlib.Path) -> ElementTree.Element:
    expected = f"give the XML of imglab, at most {_MAX_XML_MIB} MiB"
    try:
        if path.stat().st_size > _MAX_XML_MIB * 2**20:
            raise ElementTree.ParseError("it is too large")
        parser = ElementTree.XMLParser(target=_WithoutDoctype())
        return ElementTree.parse(path, parser).getroot()
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); {expected}."
        ) from error
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        # Encodings that Python does not know raise the last two.
        raise InputError(f"{path}: cannot be read ({error}); {expected}.") from error


def _labelled(
    image: ElementTree.Element, path: pathlib.Path
) -> Iterator[tuple[str, _Box, list[_Point]]]:
    """Yields (name, box, parts) of each face of an image."""
    for number, box in enumerate(image.iterfind("box"), 1):
        if box.get("ignore") not in ("1", "true"):
            name = f"{path}: {image.get('file')}, box {number}"
            yield name, _box(box, name), _parts(box, name)


def _picture(
    image: ElementTree.Element, path: pathlib.Path
) -> UInt8[np.ndarray, "height width 3"]:
    try:
        picture = picture_files.read(path.parent / image.get("file", ""))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    height, width = picture.shape[:2]
    size = image.get("width", str(width)), image.get("height", str(height))
    if size != (str(width), str(height)):
        # Boxes and parts would not fit: the picture was scaled later, or is rotated by
        # its EXIF data.
        raise InputError(
            f"{path}: {image.get('file')} is {width} x {height} pixels, not "
            f"{' x '.join(size)}; label the picture as it is now."
        )
    return picture


def _box(box: ElementTree.Element, name: str) -> _Box:
    left, top, width, height = (
        _integer(box, side, name) for side in ("left", "top", "width", "height")
    )
    return left, top, left + width - 1, top + height - 1


def _parts(box: ElementTree.Element, name: str) -> list[_Point]:
    parts = {}
    for part in box.iterfind("part"):
        number = _integer(part, "name", name)
        if number in parts:
            raise InputError(f"{name}: part {number} occurs twice; give it once.")
        parts[number] = _integer(part, "x", name), _integer(part, "y", name)
    missing = set(range(max(len(parts), 1))) - set(parts)
    if missing:
        raise InputError(
            f"{name}: part {min(missing)} is missing; number the parts 0, 1, 2 and on."
        )
    return [parts[number] for number in sorted(parts)]


def _integer(element: ElementTree.Element, attribute: str, name: str) -> int:
    text = element.get(attribute, "")
    if not re.fullmatch(r"-?[0-9]{1,6}", text):
        raise InputError(
            f"{name}: its {element.tag} has {attribute}={text[:20]!r}; give a whole "
            "number of at most six digits."
        )
    return int(text)
