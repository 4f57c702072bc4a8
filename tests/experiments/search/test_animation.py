"""An animation shows the completions of a search in their order, to the pixel."""

import types

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from experiments.search import animation
from inpaint_jax.errors import OutputError
from inpaint_jax.search.problem import Problem

SIDE = 8
MASK = np.ones((1, SIDE, SIDE, 1), np.float32)
MASK[:, 2:6, 2:6] = 0.0
ENLARGED = np.ones((32, 32, 1), np.uint8)
RNG = np.random.default_rng(0)
IMAGE = RNG.uniform(-1, 1, (1, SIDE, SIDE, 3)).astype(np.float32)


def frames(count):
    """Of a search whose best z goes from -1 to 1; G(z) is grey of this value."""
    compiled = types.SimpleNamespace(
        generate=lambda z: jnp.broadcast_to(z[:, :1, None, None], (1, SIDE, SIDE, 3))
    )
    best = [jnp.full(3, value) for value in np.linspace(-1, 1, count)]
    problem = Problem(jnp.asarray(IMAGE), jnp.asarray(MASK))
    return animation.frames(best, problem, compiled=compiled, blend="paste")


@pytest.mark.parametrize("count", [1, 2, 7])
def test_there_is_a_frame_for_each_chunk(count):
    found = np.stack(frames(count))
    hole = MASK[0, ..., 0] == 0
    assert found.shape == (count, SIDE, SIDE, 3) and found.dtype == np.uint8
    grey = np.linspace(-1, 1, count) * 127.5 + 127.5
    inside = found[:, hole] - grey[:, None, None]
    assert np.abs(inside).max() <= 1.0
    known = IMAGE[0, ~hole] * 127.5 + 127.5
    assert np.abs(found[:, ~hole] - known[None]).max() <= 0.51


def test_a_long_search_keeps_its_last_frame():
    found = frames(120)
    assert len(found) == 50
    inside = [int(frame[3, 3, 0]) for frame in found]
    assert inside == sorted(set(inside)) and inside[0] == 0 and inside[-1] == 255


@pytest.mark.parametrize("count", [1, 2, 9, 50])
def test_the_file_holds_the_frames_and_their_times(tmp_path, count):
    given = RNG.integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)
    animation.write(tmp_path / "a.webp", list(given))
    with Image.open(tmp_path / "a.webp") as stored:
        assert stored.format == "WEBP" and stored.size == (256, 256)
        assert getattr(stored, "n_frames", 1) == count
        times = []
        for index, frame in enumerate(given):
            stored.seek(index)
            large = np.asarray(stored.convert("RGB"))
            np.testing.assert_array_equal(large, np.kron(frame, ENLARGED))
            times.append(stored.info.get("duration", 0))
    if count > 1:
        # A second or two in all; the last frame is held.
        assert 0.3 <= sum(times[:-1]) / 1000 <= 1.6 and times[-1] == 1500
        assert len(set(times[:-1])) == 1


def test_a_file_that_cannot_be_written_is_none(tmp_path):
    with pytest.raises(OutputError, match="cannot write here"):
        animation.write(tmp_path / "gone" / "a.webp", frames(2))
