"""Image metrics agree with scikit-image, the landmark error with a loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage import metrics as oracle

from inpaint_jax import blending, masks, metrics

SHAPES = [(2, 16, 16), (1, 11, 11), (3, 13, 27), (1, 64, 64)]
ssim = jax.jit(metrics.ssim)


def pair(shape, noise, seed=0):
    rng = np.random.default_rng(seed)
    reference = rng.uniform(-1, 1, (*shape, 3)).astype(np.float32)
    image = reference + noise * rng.normal(size=reference.shape).astype(np.float32)
    return np.clip(image, -1, 1), reference


@pytest.mark.parametrize("noise", [0.05, 0.5])
@pytest.mark.parametrize("shape", SHAPES)
def test_psnr_and_ssim_agree_with_scikit_image(shape, noise):
    image, reference = pair(shape, noise)
    psnr = metrics.psnr(jnp.asarray(image), jnp.asarray(reference))
    similarity = ssim(jnp.asarray(image), jnp.asarray(reference))
    for i, (x, y) in enumerate(
        zip(image.astype(np.float64), reference.astype(np.float64), strict=True)
    ):
        expected = oracle.peak_signal_noise_ratio(y, x, data_range=2)
        np.testing.assert_allclose(psnr[i], expected, rtol=1e-5)
        # Intensities from 0 on, as the measure was published: it depends on that.
        expected = oracle.structural_similarity(
            y + 1,
            x + 1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=2,
            channel_axis=-1,
        )
        np.testing.assert_allclose(similarity[i], expected, atol=1e-5)


def test_psnr_of_a_region_agrees_with_scikit_image_on_its_pixels():
    image, reference = pair((3, 8, 9), 0.3)
    rng = np.random.default_rng(1)
    region = (rng.uniform(size=(3, 8, 9, 1)) < 0.4).astype(np.float32)
    got = metrics.psnr(*map(jnp.asarray, (image, reference, region)))
    for i in range(3):
        inside = region[i, ..., 0] > 0
        x = image[i][inside].astype(np.float64)
        y = reference[i][inside].astype(np.float64)
        expected = oracle.peak_signal_noise_ratio(y, x, data_range=2)
        np.testing.assert_allclose(got[i], expected, rtol=1e-5)


def test_ssim_is_that_of_the_bytes():
    one, other = np.random.default_rng(4).integers(0, 256, (2, 12, 12, 3), np.uint8)
    similarity = ssim(
        *(jnp.asarray(x[None] / np.float32(127.5) - 1) for x in (one, other))
    )
    expected = oracle.structural_similarity(
        one,
        other,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        channel_axis=-1,
    )
    np.testing.assert_allclose(similarity[0], expected, atol=1e-5)


def test_identical_images():
    image = jnp.asarray(pair((2, 16, 16), 0.0)[0])
    region = jnp.ones((2, 16, 16, 1))
    np.testing.assert_array_equal(metrics.psnr(image, image), [np.inf, np.inf])
    np.testing.assert_array_equal(metrics.psnr(image, image, region), [np.inf, np.inf])
    np.testing.assert_allclose(ssim(image, image), [1, 1], atol=1e-6)


def test_an_empty_region_has_no_psnr():
    image, reference = map(jnp.asarray, pair((2, 16, 16), 0.3))
    region = jnp.ones((2, 16, 16, 1)).at[0].set(0.0)
    got = np.asarray(metrics.psnr(image, reference, region))
    np.testing.assert_array_equal(np.isnan(got), [True, False])


@pytest.mark.parametrize("name", ["centre", "left", "random30"])
def test_a_pasted_hole_explains_the_whole_error(name, key):
    # The known part has no error, so mean = share * mean over the hole.
    generated, image = map(jnp.asarray, pair((2, 16, 16), 0.4))
    mask = masks.named(name)[1](key, (16, 16))[None].repeat(2, axis=0)
    completed = blending.paste(generated, image, mask)
    whole = metrics.psnr(completed, image)
    hole = metrics.psnr(completed, image, 1.0 - mask)
    share = np.mean(np.asarray(mask) == 0, axis=(1, 2, 3))
    np.testing.assert_allclose(whole, hole - 10 * np.log10(share), rtol=1e-5)
    outside = metrics.psnr(completed, image, mask)
    np.testing.assert_array_equal(outside, [np.inf, np.inf])


def test_metrics_are_symmetric():
    image, reference = map(jnp.asarray, pair((2, 16, 16), 0.3))
    for metric in (metrics.psnr, ssim):
        np.testing.assert_allclose(
            metric(image, reference), metric(reference, image), rtol=1e-6
        )


def landmarks(seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0, 64, (3, 68, 2)).astype(np.float32)
    return truth + rng.normal(size=truth.shape).astype(np.float32), truth


def test_nme_equals_a_loop():
    points, truth = landmarks()
    expected = []
    for p, q in zip(points.astype(np.float64), truth.astype(np.float64), strict=True):
        eyes = sum(q[i] for i in range(42, 48)) / 6 - sum(q[36:42]) / 6
        errors = [np.hypot(*(p[i] - q[i])) for i in range(68)]
        expected.append(np.mean(errors) / np.hypot(*eyes))
    got = metrics.nme(jnp.asarray(points), jnp.asarray(truth))
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_nme_has_no_unit():
    points, truth = map(jnp.asarray, landmarks())
    once = metrics.nme(points, truth)
    np.testing.assert_allclose(metrics.nme(3.0 * points, 3.0 * truth), once, rtol=1e-5)


def test_nme_is_nan_where_a_face_has_no_landmarks():
    points, truth = map(jnp.asarray, landmarks())
    got = metrics.nme(points.at[1, 3, 0].set(jnp.nan), truth.at[2, 3, 0].set(jnp.nan))
    np.testing.assert_array_equal(np.isnan(got), [False, True, True])
