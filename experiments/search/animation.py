"""Shows a search as an animated picture in the format WebP."""

import io
import os
from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import Float, Int, UInt8
from PIL import Image

from inpaint_jax.images import pixels
from inpaint_jax.io import files
from inpaint_jax.search import completion, program
from inpaint_jax.search.problem import Problem

_MOST_FRAMES = 50
_SECONDS, _HELD = 1.5, 1.5  # of all frames but the last, and of the last
_LONGEST = 0.4  # seconds of a frame, if there are few
_SIDE = 256  # least side of a frame in pixels

Frame = UInt8[np.ndarray, "height width 3"]


def frames(
    best: Sequence[Float[jax.Array, " z_dim"]],
    problem: Problem,
    *,
    compiled: program.Search,
    blend: str,
) -> list[Frame]:
    """Returns the completed picture of the best restart after each chunk.

    Of a long search a part of them is taken, evenly and with the last.

    Args:
      best: z of the best restart after each chunk.
      problem: the damaged image.
      compiled: the search.
      blend: "poisson" or "paste", see `completion.complete`.
    """
    shown = []
    for index in kept(len(best)):
        generated = compiled.generate(best[index][None])
        picture = completion.blended(generated, problem, blend=blend)
        shown.append(np.asarray(pixels.to_bytes(picture[0])))
    return shown


def kept(chunks: int) -> Int[np.ndarray, " frames"]:
    """Returns after which chunks of a search a frame is shown, see `frames`.

    Args:
      chunks: their number.
    """
    count = min(chunks, _MOST_FRAMES)
    return np.linspace(chunks - 1, 0, count).round().astype(int)[::-1]


def write(path: str | os.PathLike[str], shown: Sequence[Frame]) -> None:
    """Writes the file of an animation, see `encoded`.

    Args:
      path: the file, which is written whole or not at all.
      shown: at least one frame, all of one size.
    """
    with files.replacing(path) as temporary:
        temporary.write_bytes(encoded(shown))


def encoded(shown: Sequence[Frame]) -> bytes:
    """Returns the file of an animation that begins again after its last, held frame.

    Pixels are kept: frames are enlarged by a whole number, without loss.

    Args:
      shown: at least one frame, all of one size.
    """
    enlarge = max(1, -(-_SIDE // min(shown[0].shape[:2])))
    first, *others = [
        Image.fromarray(frame.repeat(enlarge, axis=0).repeat(enlarge, axis=1))
        for frame in shown
    ]
    each = min(_LONGEST, _SECONDS / max(1, len(others)))
    durations = [round(1000 * each)] * len(others) + [round(1000 * _HELD)]
    stored = io.BytesIO()
    first.save(
        stored,
        format="WEBP",
        save_all=True,
        append_images=others,
        duration=durations,
        loop=0,
        lossless=True,
    )
    return stored.getvalue()
