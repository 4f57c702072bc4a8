"""The fast forms of a search find what the plain ones find, with the released weights.

Networks as flax applies them, XLA's own convolutions, one compiled step called again
and again: that is the plain form. Sums are rounded differently, nothing else differs.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image

from inpaint_jax import losses
from inpaint_jax.evaluation import metrics
from inpaint_jax.images import blending, masks, pixels
from inpaint_jax.io import files
from inpaint_jax.ops import strided
from inpaint_jax.pretrained import weights
from inpaint_jax.search import (
    driver,
    latent_descent,
    objective,
    one_image,
    problem,
    program,
)
from inpaint_jax.search.settings import Settings

pytestmark = pytest.mark.usefixtures("standard_promotion", "optimised")

RESTARTS, ITERATIONS = 2, 50
SETTINGS = Settings(restarts=RESTARTS, iterations=ITERATIONS, decay=True, chunk=25)
PORTRAIT = files.ASSETS / "portrait.png"


@functools.cache
def model():
    return weights.load("release")


def portrait():
    with Image.open(PORTRAIT) as picture:
        small = np.asarray(picture.convert("RGB").resize((64, 64)))
    image, key = pixels.from_bytes(small[None]), jax.random.key(5)
    mask = masks.centre(key, (64, 64))[None]
    return key, image, problem.Problem(image * mask, mask)


@pytest.fixture(scope="module")
def plain(optimised):
    """Best loss of each restart and the completed picture."""
    networks, (key, image, scene) = model(), portrait()
    with pytest.MonkeyPatch.context() as patch, jax.numpy_dtype_promotion("standard"):
        patch.setattr(strided, "conv", strided.plain_conv)
        patch.setattr(strided, "conv_transpose", strided.plain_conv_transpose)
        guess = jax.jit(networks.encode)(scene.image, scene.mask)
        z = one_image.starting_points(
            key, guess, z_dim=networks.architecture.z_dim, settings=SETTINGS
        )
        weight = losses.image.context_weights(scene.mask, window=SETTINGS.window)
        rate = optax.cosine_decay_schedule(SETTINGS.learning_rate, ITERATIONS)
        optimizer = optax.adam(rate)
        step = jax.jit(
            functools.partial(
                latent_descent.step,
                objective=objective.make(
                    networks.generate,
                    networks.discriminate,
                    scene.image.repeat(RESTARTS, axis=0),
                    weight.repeat(RESTARTS, axis=0),
                    lambda_prior=SETTINGS.lambda_prior,
                    normalised=True,
                ),
                optimizer=optimizer,
            )
        )
        state = latent_descent.init(jax.random.fold_in(key, 1), z, optimizer=optimizer)
        for _ in range(ITERATIONS):
            state, _ = step(state)
        best = state.best_z[jnp.argmin(state.best_loss)][None]
        generated = jax.jit(networks.generate)(best)
    return state.best_loss, blending.poisson(generated, image, scene.mask)


def test_a_golden_run_stays_where_it_was(plain):
    loss, completed = plain
    networks, (key, image, scene) = model(), portrait()
    generate, discriminate = networks.fused(batch=64)  # Winograd's form
    compiled = program.prepare(
        generate,
        discriminate,
        z_dim=networks.architecture.z_dim,
        settings=SETTINGS,
        encode=networks.encode,
    )
    *_, last = driver.search(key, scene, compiled=compiled)
    np.testing.assert_allclose(last.best_loss, loss, atol=1e-3)
    assert np.min(loss) < 0.2
    best = last.state.best_z[np.argmin(last.best_loss)][None]
    ours = blending.poisson(jax.jit(networks.generate)(best), image, scene.mask)
    ours, theirs = (
        float(metrics.psnr(x, image, 1.0 - scene.mask)[0]) for x in (ours, completed)
    )
    assert ours == pytest.approx(theirs, abs=0.05)
