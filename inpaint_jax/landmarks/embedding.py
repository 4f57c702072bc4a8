"""dlib's face embedding: 128 numbers that identify a person.

The embeddings of two pictures of one person lie less than about 0.6 apart (King 2017,
dlib's ResNet of 29 layers). The network's input is the chip, a square of 150 pixels
with the face at a fixed place. dlib cuts it by landmarks; the faces here are aligned,
so the place is the same for all of them, and no detector has to find the face.
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
      path: the network's file.
    """

    def __init__(self) -> None:
        """Loads the network of the installed package `face_recognition_models`.

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
        """Computes the embeddings of faces, one after the other.

        Args:
          images: RGB bytes of aligned faces.
          crop: side of the images in CelebA pixels, see `framing.frame`.

        Returns:
          One row for each image; equal images have equal rows.
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
    """Computes the embeddings of many faces in several processes.

    Threads would not help, because dlib holds the interpreter lock.

    Args:
      images: RGB bytes of aligned faces.
      crop: side of the images in CelebA pixels, see `framing.frame`.
      jobs: number of processes; None for one for each available core. With 1, or for
        few images, this process does all the work.
      block: number of images that a process takes at a time.

    Returns:
      One row for each image, as from `Network.embed`.

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
      The chip. As in dlib, it is black beyond the image (at its lower end for crops
      below 158).
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
    """Returns the path of the embedding network's file.

    Raises:
      InputError: the file is not installed.
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
