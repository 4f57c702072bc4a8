"""Image metrics agree with scikit-image, the landmark error with a loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from skimage import metrics as oracle

from inpaint_jax.evaluation import metrics
from inpaint_jax.images import blending, masks, pixels

SHAPES = [(2, 16, 16), (1, 11, 11), (3, 13, 27), (1, 64, 64)]
ssim = jax.jit(metrics.ssim)
regional_ssim = jax.jit(lambda x, y, region: metrics.ssim(x, y, region=region))


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


@pytest.mark.parametrize("shape", [(2, 16, 16), (1, 13, 27)])
def test_ssim_of_a_region_is_the_mean_of_scikit_images_map_there(shape):
    image, reference = pair(shape, 0.3)
    region = np.random.default_rng(1).uniform(size=(*shape, 1)) < 0.4
    got = regional_ssim(image, reference, region.astype(np.float32))
    for i in range(shape[0]):
        _, similarity = oracle.structural_similarity(
            reference[i].astype(np.float64) + 1,
            image[i].astype(np.float64) + 1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=2,
            channel_axis=-1,
            full=True,
        )
        # Windows of 11 pixels, those that reach beyond the image left out.
        inside = similarity[5:-5, 5:-5][region[i, 5:-5, 5:-5, 0]]
        np.testing.assert_allclose(got[i], inside.mean(), atol=1e-5)


def test_a_region_without_a_whole_window_has_no_ssim():
    image, reference = pair((2, 16, 16), 0.3)
    region = np.ones((2, 16, 16, 1), np.float32)
    region[0, 5:11, 5:11] = 0  # the centres of all windows inside the image
    got = np.asarray(regional_ssim(image, reference, region))
    np.testing.assert_array_equal(np.isnan(got), [True, False])


def test_l1_of_a_region_equals_a_mean_over_its_bytes():
    rng = np.random.default_rng(2)
    one, other = rng.integers(0, 256, (2, 3, 8, 9, 3), np.uint8)
    region = (rng.uniform(size=(3, 8, 9, 1)) < 0.4).astype(np.float32)
    region[2] = 0
    got = metrics.l1(*map(pixels.from_bytes, (one, other)), jnp.asarray(region))
    for i in range(2):
        inside = region[i, ..., 0] > 0
        expected = np.abs(one[i][inside] / 255 - other[i][inside] / 255).mean()
        np.testing.assert_allclose(got[i], expected, rtol=1e-5)
    assert np.isnan(got[2])


def seams(shape=(3, 7, 8)):
    image, reference = pair(shape, 0.4)
    rng = np.random.default_rng(3)
    return image, reference, (rng.uniform(size=(*shape, 1)) < 0.5).astype(np.float32)


def test_seam_equals_a_loop_over_pairs_across_the_border():
    image, reference, mask = seams()
    got = metrics.seam(*map(jnp.asarray, (image, reference, mask)))
    for i, known in enumerate(mask[..., 0] > 0):
        wrong = []
        for row, column in np.ndindex(7, 8):
            for there in ((row + 1, column), (row, column + 1)):
                if (
                    there < (7, 0)
                    and there[1] < 8
                    and known[row, column] != known[there]
                ):
                    step = image[i][there] - image[i, row, column]
                    true = reference[i][there] - reference[i, row, column]
                    wrong.append(np.abs(step - true) / 2)
        np.testing.assert_allclose(got[i], np.mean(wrong), rtol=1e-5)


def test_seam_after_pasting_is_the_error_of_the_outermost_pixels():
    image, reference, mask = seams()
    completed = np.where(mask > 0, reference, image)
    framed = np.pad(mask, [(0, 0), (1, 1), (1, 1), (0, 0)])
    neighbours = framed[:, 2:, 1:-1] + framed[:, :-2, 1:-1]
    neighbours += framed[:, 1:-1, 2:] + framed[:, 1:-1, :-2]
    weights = np.broadcast_to((1 - mask) * neighbours, image.shape)
    error = np.abs(image - reference) / 2
    expected = [np.average(e, weights=w) for e, w in zip(error, weights, strict=True)]
    got = metrics.seam(*map(jnp.asarray, (completed, reference, mask)))
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_the_original_has_no_seam_error_and_no_border_has_no_seam():
    _, reference, mask = seams()
    mask[1], mask[2] = 0, 1
    got = metrics.seam(*map(jnp.asarray, (reference, reference, mask)))
    np.testing.assert_array_equal(got, [0, np.nan, np.nan])


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


def test_nme_of_five_points_equals_a_loop():
    points, truth = (x[:, :5] for x in landmarks())
    expected = []
    for p, q in zip(points.astype(np.float64), truth.astype(np.float64), strict=True):
        eyes = (q[0] + q[1]) / 2 - (q[2] + q[3]) / 2
        errors = [np.hypot(*(p[i] - q[i])) for i in range(5)]
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


def test_identity_distance_is_euclidean_and_nan_in_its_own_row():
    one, other = np.random.default_rng(5).normal(size=(2, 3, 128)).astype(np.float32)
    one[1, 7] = np.nan
    expected = np.sqrt(((one - other).astype(np.float64) ** 2).sum(axis=1))
    got = metrics.identity_distance(jnp.asarray(one), jnp.asarray(other))
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    np.testing.assert_array_equal(np.isnan(got), [False, True, False])


def test_images_smaller_than_a_window_have_no_ssim():
    small = jnp.zeros((1, 10, 64, 3))
    with pytest.raises(ValueError, match="at least 11 x 11 pixels"):
        metrics.ssim(small, small)
