"""dlib's face detector and its landmark predictors (68 or 5 points), on the host.

dlib takes bytes and returns whole pixels; nothing here has a gradient. It is loaded
when a `Detector` or a `Predictor` is made, so that importing the library does not need
it. The predictor returns points for any box, also where there is no face.
"""

import functools
import importlib.util
import os
import pathlib
import threading
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int, Int32, UInt8
from PIL import Image

from inpaint_jax import runtime
from inpaint_jax.errors import InputError, reason
from inpaint_jax.images import framing, pixels
from inpaint_jax.io import files
from inpaint_jax.landmarks.cascade import model_file
from inpaint_jax.landmarks.cascade.shape_model import ShapeModel

POINTS = 68
_ENLARGE = 4
_MODEL_PACKAGE = "face_recognition_models"
_MODEL_FILE = "shape_predictor_{points}_face_landmarks.dat"

BatchBytes = UInt8[np.ndarray, "batch height width 3"]
BatchBoxes = Int[np.ndarray, "batch 4"]
Images = Float[Array, "*batch height width 3"]
Boxes = Int[Array, "*batch 4"]
Placed = tuple[Float[Array, "*batch points 2"], Int[Array, "*batch"]]


class Detector:
    """Finds frontal faces with dlib's HOG detector."""

    def __init__(self) -> None:
        """Loads the detector.

        Raises:
          InputError: dlib is not installed.
        """
        # dlib's detector changes its own state, so only one thread may use it.
        self._lock = threading.Lock()
        self._detector = import_dlib().get_frontal_face_detector()

    def boxes(
        self, image: UInt8[np.ndarray, "height width 3"]
    ) -> Int[np.ndarray, "faces 4"]:
        """Returns the bounding boxes of all faces in one picture.

        The detector needs faces of about 80 pixels, so the picture is first enlarged
        four times.

        Args:
          image: RGB bytes, about the size of a face.

        Returns:
          (left, top, right, bottom), inclusive, in pixels of `image`.
        """
        height, width = image.shape[:2]
        size = (_ENLARGE * width, _ENLARGE * height)
        large = Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)
        with self._lock:
            found = self._detector(np.asarray(large), 0)
        corners = [(b.left(), b.top(), b.right(), b.bottom()) for b in found]
        boxes = np.asarray(corners, np.float64).reshape(-1, 4) / _ENLARGE
        return np.round(boxes).astype(np.int32)

    def scored(
        self, image: UInt8[np.ndarray, "height width 3"], *, threshold: float
    ) -> tuple[Int[np.ndarray, "faces 4"], Float[np.ndarray, " faces"]]:
        """Returns the faces of about 80 pixels and more in a picture, not enlarged.

        Args:
          image: RGB bytes.
          threshold: lowest score; dlib's own is 0, and below it there are more false
            faces.

        Returns:
          (boxes as from `boxes`, the score of each).
        """
        with self._lock:
            found, scores, _ = self._detector.run(image, 0, threshold)
        corners = [(b.left(), b.top(), b.right(), b.bottom()) for b in found]
        return np.asarray(corners, np.int32).reshape(-1, 4), np.asarray(scores, float)


class Predictor:
    """Predicts landmarks in a given bounding box with dlib's tree cascade.

    Attributes:
      path: the model's file.
      sha256: hash of the file.
      model: the cascade in the file.
    """

    def __init__(self, path: str | None = None, *, points: int = POINTS) -> None:
        """Loads the model.

        Args:
          path: a dlib model; None for the one of the installed package
            `face_recognition_models` (research use only).
          points: number of landmarks; the package has a model of 68 and one of 5.

        Raises:
          InputError: dlib or the model is missing, or the file is no such model.
        """
        dlib = import_dlib()
        file = find_model(path, points=points)
        self.path = str(file)
        self._dlib = dlib
        # dlib trusts every number in a file and can crash on a damaged one, so files
        # are checked before dlib reads them.
        self.model, self.sha256 = read_model(file, points=points)
        try:
            self._predictor = dlib.shape_predictor(str(file))
        except (RuntimeError, OSError) as error:
            raise InputError(
                f"{file}: not a dlib shape predictor ({reason(error)}); give another."
            ) from error

    def predict(
        self, images: BatchBytes, boxes: BatchBoxes
    ) -> tuple[Float32[np.ndarray, "batch points 2"], Int32[np.ndarray, " batch"]]:
        """Predicts the landmarks in each image.

        Args:
          images: RGB bytes, `[batch, H, W, 3]`.
          boxes: (left, top, right, bottom), inclusive, in pixels, `[batch, 4]`.

        Returns:
          (points (x, y) in pixels, `[batch, points, 2]`; status, `[batch]`: 0, or 1
          where dlib failed and the points are NaN).
        """
        points = np.full((len(images), self.model.points, 2), np.nan, np.float32)
        status = np.ones(len(images), np.int32)
        for i, (image, box) in enumerate(zip(images, boxes, strict=True)):
            try:
                rectangle = self._dlib.rectangle(*(int(side) for side in box))
                parts = self._predictor(np.ascontiguousarray(image), rectangle).parts()
                points[i] = [(part.x, part.y) for part in parts]
                status[i] = 0
            except (RuntimeError, ValueError):
                continue
        return points, status


def face_box(
    detector: Detector, image: UInt8[np.ndarray, "height width 3"], *, crop: int
) -> tuple[Int[np.ndarray, "4"], str]:
    """Returns the bounding box of the face in an image, detected or assumed.

    Args:
      detector: the face detector.
      image: RGB bytes; the hole may have any colour.
      crop: side of the crop in CelebA pixels.

    Returns:
      (box, source): "detected" if the detector finds exactly one face; otherwise
      "aligned", with the usual box of aligned CelebA pictures.
    """
    boxes = detector.boxes(image)
    if len(boxes) == 1:
        return boxes[0], "detected"
    return np.asarray(
        framing.aligned_box(crop=crop, size=image.shape[0]), np.int32
    ), "aligned"


def predict_in_graph(predictor: Predictor, image: Images, box: Boxes) -> Placed:
    """Predicts landmarks with dlib inside a compiled program; the gradient is zero.

    Args:
      predictor: dlib's model.
      image: `[..., H, W, 3]` in [-1, 1]; converted to bytes on the device.
      box: (left, top, right, bottom), inclusive, in pixels, `[..., 4]`.

    Returns:
      (points, status), as from `Predictor.predict`.

    Raises:
      RuntimeError: on CPU, if `runtime.allow_callbacks` was not called: the callback
        could then wait for ever.
    """
    if not runtime.callbacks_are_safe():
        raise RuntimeError(
            "call inpaint_jax.runtime.allow_callbacks() before the first JAX operation"
        )

    @jax.custom_jvp
    def call(image: Images, box: Boxes) -> Placed:
        lead = image.shape[:-3]
        shapes = (
            jax.ShapeDtypeStruct((*lead, predictor.model.points, 2), jnp.float32),
            jax.ShapeDtypeStruct(lead, jnp.int32),
        )
        on_host = functools.partial(_predict_on_host, predictor)
        return jax.pure_callback(
            on_host, shapes, pixels.to_bytes(image), box, vmap_method="broadcast_all"
        )

    @call.defjvp
    def _(
        primals: tuple[Images, Boxes], tangents: object
    ) -> tuple[Placed, tuple[jax.Array, Any]]:
        del tangents
        points, status = call(*primals)
        zero = np.zeros(status.shape, jax.dtypes.float0)
        return (points, status), (jnp.zeros_like(points), zero)

    return call(image, box)


def _predict_on_host(
    predictor: Predictor, image: jax.Array | np.ndarray, box: jax.Array | np.ndarray
) -> tuple[Float32[np.ndarray, "*batch points 2"], Int32[np.ndarray, "*batch"]]:
    # Only NumPy, and no exception: JAX calls and exceptions are undefined inside XLA.
    image, box = np.asarray(image), np.asarray(box)
    lead = image.shape[:-3]
    points, status = predictor.predict(
        image.reshape(-1, *image.shape[-3:]), box.reshape(-1, 4)
    )
    return points.reshape(*lead, *points.shape[1:]), status.reshape(lead)


def import_dlib() -> Any:
    """Imports dlib and returns the module.

    Raises:
      InputError: dlib is not installed, or cannot be imported.
    """
    return runtime.optional("dlib", extra="landmarks")


def read_model(file: pathlib.Path, *, points: int = POINTS) -> tuple[ShapeModel, str]:
    """Reads a dlib model without dlib.

    Args:
      file: the model's file, as from `find_model`.
      points: number of landmarks that it must have.

    Returns:
      (model, SHA-256 of the file).

    Raises:
      InputError: the file is damaged, or has another number of points.
    """
    model, sha256 = model_file.load_with_hash(file)
    if model.points != points:
        raise InputError(
            f"{file}: has {model.points} points; give a model of {points}."
        )
    return model, sha256


def find_model(path: str | None, *, points: int = POINTS) -> pathlib.Path:
    """Returns the path of a landmark model.

    Args:
      path: a dlib model; None for the one of the installed package
        `face_recognition_models` (research use only).
      points: number of landmarks of the package's model, 68 or 5.

    Raises:
      InputError: there is no such model.
    """
    if path:
        files.check_file(path, give="give a dlib shape predictor")
        return pathlib.Path(path)
    file = packaged_model(_MODEL_FILE.format(points=points))
    if file is not None:
        return file
    raise InputError(
        f"no landmark model of {points} points; run pip install "
        "'inpaint-jax[landmarks]', or give the file of a dlib shape predictor."
    )


def packaged_model(name: str) -> pathlib.Path | None:
    """Returns a model file of the package `face_recognition_models`, or None."""
    # The package cannot be imported without pkg_resources, so only its files are used.
    spec = importlib.util.find_spec(_MODEL_PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        file = pathlib.Path(folder) / "models" / name
        if os.path.isfile(file):
            return file
    return None
