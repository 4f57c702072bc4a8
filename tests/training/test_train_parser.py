"""The parser learns the parts of faces, mirrored or not."""

import functools

import jax
import numpy as np
import optax
import pytest

from inpaint_jax.models import face_completion
from inpaint_jax.training import train_parser

pytestmark = pytest.mark.usefixtures("standard_promotion")

PARSER = face_completion.ParserArchitecture(image_size=16, features=4).network()
BATCH = 8


@pytest.fixture(scope="module")
def trained():
    """Faces whose parts differ in colour: a dark square on the left half or not."""
    rng = np.random.default_rng(0)
    parts = np.zeros((BATCH, 16, 16), np.uint8)
    for part, corner in zip(parts, rng.integers(0, 8, (BATCH, 2)), strict=True):
        part[corner[0] : corner[0] + 8, corner[1] : corner[1] + 8] = 3
    images = np.where(parts[..., None] == 3, 20, 220).repeat(3, axis=-1)
    options = {"parser": PARSER, "optimizer": optax.adam(1e-2)}
    with jax.numpy_dtype_promotion("standard"):
        step = jax.jit(functools.partial(train_parser.train_step, **options))
        state = jax.jit(functools.partial(train_parser.init, **options))(
            jax.random.key(0)
        )
        infos = []
        for i in range(40):
            key = jax.random.fold_in(jax.random.key(1), i)
            state, info = step(key, state, images.astype(np.uint8), parts, 0.0)
            infos.append(jax.tree.map(np.asarray, info))
        last, _ = step(key, state, images.astype(np.uint8), parts, 1.0)
    return state, infos, last


def test_it_learns_which_pixel_is_which_part(trained):
    state, infos, _ = trained
    assert int(state.step) == 40
    # A third of the pixels are the square; guessing background leaves these wrong.
    assert infos[0].cross_entropy.mean() > 1.0
    assert infos[-1].error_rate.mean() < 0.1
    assert infos[-1].cross_entropy.mean() < 0.4


def test_a_step_tells_about_each_image(trained):
    _, infos, _ = trained
    for values in infos[0]:
        assert values.shape == (BATCH,) and np.isfinite(values).all()


def test_the_last_step_moves_nothing(trained):
    state, _, last = trained
    assert int(last.step) == int(state.step) + 1
    for old, new in zip(
        *map(jax.tree.leaves, (state.variables["params"], last.variables["params"])),
        strict=True,
    ):
        np.testing.assert_allclose(old, new, atol=1e-7)
