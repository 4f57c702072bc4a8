"""A released landmark net is the one that was trained, its ellipses to scale."""

import dataclasses
import functools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inpaint_jax.errors import InputError
from inpaint_jax.io import checkpoints, files
from inpaint_jax.models import landmark_net
from inpaint_jax.pretrained import landmark_predictor, networks
from tests import drawn, rewritten

TINY = landmark_net.Architecture(image_size=16, features=4, hidden=8)
CROP, SPREAD = 108, 1.5
RELEASE = files.ASSETS / "landmark_net"


@functools.cache
def tiny_variables():
    return drawn.variables(networks.template(TINY))


load = functools.partial(networks.load, model="landmark_net")


def tiny_net():
    return networks.Pretrained(TINY, CROP, tiny_variables(), {}, SPREAD)


apply = jax.jit(functools.partial(TINY.network().apply, train=False))


@functools.partial(jax.jit, static_argnames="spread")
def predict(variables, image, mask, spread):
    net = networks.Pretrained(TINY, CROP, variables, {}, spread)
    return landmark_predictor.predict(net)(image, mask)


@pytest.fixture(scope="module")
def faces():
    rng = np.random.default_rng(1)
    image = rng.uniform(-1, 1, (3, 16, 16, 3)).astype(np.float32)
    mask = np.ones((3, 16, 16, 1), np.float32)
    mask[:, 4:12, 4:12] = 0
    return jnp.asarray(image), jnp.asarray(mask)


@pytest.fixture
def release(tmp_path):
    provenance = {"data": "noise"}
    networks.export(tmp_path / "tiny", tiny_net(), provenance=provenance)
    return tmp_path / "tiny"


def rewrite(release, **changes):
    """Changes the description."""
    file = release / "model.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def refusal(path):
    with pytest.raises(InputError) as caught:
        load(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    return message


def test_a_release_is_the_net_in_half_precision(release):
    net, loaded = tiny_net(), load(release)
    assert loaded.architecture == TINY
    assert (loaded.crop, loaded.spread) == (CROP, SPREAD)
    assert loaded.source["path"] == "tiny"
    assert jax.tree.structure(loaded.variables) == jax.tree.structure(net.variables)
    for found, exact in zip(
        jax.tree.leaves(loaded.variables), jax.tree.leaves(net.variables), strict=True
    ):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, np.asarray(exact).astype(np.float16))


def test_a_released_net_places_the_same_points(release, faces):
    expected = predict(tiny_variables(), *faces, SPREAD)
    found = predict(load(release).variables, *faces, SPREAD)
    assert np.ptp(expected[0], axis=0).mean() > 2  # px, from face to face
    np.testing.assert_allclose(found[0], expected[0], atol=0.2)
    np.testing.assert_allclose(found[1], expected[1], rtol=0.02, atol=0.01)


def test_description_holds_architecture_and_provenance(release):
    description = json.loads((release / "model.json").read_text())
    assert description["architecture"] == dataclasses.asdict(TINY)
    assert description["provenance"] == {"data": "noise"}


def test_a_loaded_net_can_be_exported_without_loss(release, tmp_path):
    loaded = load(release)
    networks.export(tmp_path / "again", loaded, provenance={})
    one, other = (f / "net.safetensors" for f in (release, tmp_path / "again"))
    assert one.read_bytes() == other.read_bytes()
    assert load(tmp_path / "again").spread == SPREAD


def test_points_do_not_depend_on_the_spread(faces):
    one, other = (predict(tiny_variables(), *faces, s)[0] for s in (1.0, SPREAD))
    np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("spread", [1.0, SPREAD])
def test_ellipses_have_the_deviation_of_the_density_times_the_spread(faces, spread):
    variables = tiny_variables()
    _, raw = apply(variables, *faces)
    _, whitening = predict(variables, *faces, spread)
    raw, whitening = np.asarray(raw, np.float64), np.asarray(whitening, np.float64)
    product = np.linalg.inv(np.swapaxes(raw, -1, -2) @ raw)
    found = np.linalg.inv(np.swapaxes(whitening, -1, -2) @ whitening)
    # The density exp(-|u|) / (2 pi) has variance 3 along each axis.
    np.testing.assert_allclose(found, 3 * spread**2 * product, rtol=1e-3, atol=1e-4)


def test_the_hole_is_not_looked_at(faces):
    image, mask = faces
    one, other = (
        predict(tiny_variables(), jnp.where(mask > 0, image, value), mask, 1.0)
        for value in (0.0, np.nan)
    )
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_release_without_a_spread_has_that_of_training(release):
    description = json.loads((release / "model.json").read_text())
    del description["spread"]
    (release / "model.json").write_text(json.dumps(description))
    assert load(release).spread == 1.0


CHANGES = {
    "spread of zero": {"spread": 0.0},
    "negative spread": {"spread": -1.0},
    "endless spread": {"spread": 1e400},
    "spread in words": {"spread": "wide"},
    "no spread": {"spread": None},
    "crop of zero": {"crop": 0},
    "no crop": {"crop": None},
    "no architecture": {"architecture": None},
    "a generator's": {"architecture": {"image_size": 64, "features": 48, "z_dim": 100}},
    "size of 20": {"architecture": {"image_size": 20}},
    "size in words": {"architecture": {"image_size": "16"}},
    "width of 2.5": {"architecture": {**dataclasses.asdict(TINY), "features": 2.5}},
    "no points": {"architecture": {**dataclasses.asdict(TINY), "points": -1}},
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_broken_description_is_refused(release, name):
    rewrite(release, **CHANGES[name])
    assert "model.json" in refusal(release)


@pytest.mark.parametrize(
    "changes", [{"features": 8}, {"hidden": 9}, {"points": 5}, {"image_size": 32}]
)
def test_weights_of_another_net_are_refused(release, changes):
    rewrite(release, architecture={**dataclasses.asdict(TINY), **changes})
    assert "net.safetensors" in refusal(release)


def test_damaged_weights_are_refused(release):
    file = release / "net.safetensors"
    content = file.read_bytes()
    for damaged in (b"", content[:100], content[:-1]):
        file.write_bytes(damaged)
        assert "net.safetensors" in refusal(release)
    file.write_bytes(content)
    rewritten.rewrite(
        file, lambda tensors: tensors["params/to_points/bias"].__setitem__(3, np.nan)
    )
    assert "params/to_points/bias" in refusal(release)
    file.unlink()
    assert "net.safetensors" in refusal(release)


def test_what_is_neither_run_nor_release_names_the_training(tmp_path):
    assert "experiments.train_landmarks" in refusal(tmp_path)


def save_run(folder, meta):
    variables = tiny_variables()
    with checkpoints.opened(folder) as store:
        state = {"step": jnp.asarray(7)}
        store.save(7, state=state, model={"net": variables}, meta=meta)
    return variables


def test_a_run_gives_the_net_that_was_saved(tmp_path):
    meta = {"architecture": dataclasses.asdict(TINY), "crop": CROP, "settings": {}}
    variables = save_run(tmp_path, meta)
    net = load(tmp_path)
    assert (net.architecture, net.crop, net.spread) == (TINY, CROP, 1.0)
    assert net.source["path"] == str(tmp_path) and net.source["step"] == 7
    for found, saved in zip(
        jax.tree.leaves(net.variables), jax.tree.leaves(variables), strict=True
    ):
        np.testing.assert_array_equal(found, saved)


def test_a_run_of_another_program_is_refused(tmp_path):
    save_run(tmp_path, {"architecture": {"z_dim": 4}, "crop": CROP})
    refusal(tmp_path)


@pytest.mark.skipif(not RELEASE.is_dir(), reason="no released net in assets")
def test_the_released_net_is_small_and_as_described():
    sizes = {path.name: path.stat().st_size for path in RELEASE.iterdir()}
    assert all(size <= 8_000_000 for size in sizes.values()), sizes
    net = load("release")
    described = json.loads((RELEASE / "model.json").read_text())
    assert net.source["sha256"] == described["sha256"]
    size = net.architecture.image_size
    image = np.random.default_rng(0).uniform(-1, 1, (2, size, size, 3))
    hidden = jnp.zeros((2, size, size, 1))
    points, whitening = jax.jit(landmark_predictor.predict(net))(
        jnp.asarray(image, jnp.float32), hidden
    )
    # With everything hidden all faces are one face, in the picture and unsure.
    np.testing.assert_array_equal(points[0], points[1])
    assert 0 < float(points.min()) and float(points.max()) < 1.1 * size
    deviation = np.sqrt(np.asarray(landmark_net.covariance(whitening))[..., 0, 0])
    assert deviation.mean() > 1.0
