"""Releases and runs give the networks that were written, or a sentence."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import safetensors.numpy

from inpaint_jax.errors import InputError, OutputError
from inpaint_jax.images import framing, masks, pixels
from inpaint_jax.io import checkpoints, files, picture_files
from inpaint_jax.models import dcgan
from inpaint_jax.pretrained import weights
from inpaint_jax.training import gan_gradients, train_gan
from tests import drawn, rewritten

TINY = dcgan.Architecture(image_size=16, features=2, z_dim=4, kernel_size=4)
RELEASE = files.ASSETS / "dcgan"


@jax.jit
def call(network, *inputs):
    """A network whose weights are arguments: as constants XLA would fold them."""
    return network(*inputs)


def random_variables(architecture, *, seed=0):
    return drawn.variables(weights.templates(architecture), seed=seed)


def tiny_model():
    return weights.Model(TINY, 108, **random_variables(TINY), source={})


def flat(variables):
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf)
        for path, leaf in jax.tree_util.tree_flatten_with_path(variables)[0]
    }


@pytest.fixture
def release(tmp_path):
    weights.export(tmp_path / "tiny", tiny_model(), provenance={"data": "noise"})
    return tmp_path / "tiny"


def refusal(path):
    with pytest.raises(InputError) as caught:
        weights.load(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    return message


# Releases.


def test_templates_are_the_shapes_of_fresh_networks(key):
    rate = optax.adam(1e-4)
    trained = gan_gradients.Networks(TINY.generator(), TINY.discriminator(), rate, rate)
    state = jax.eval_shape(lambda: train_gan.init(key, networks=trained))
    fresh = {"generator": state.generator, "discriminator": state.discriminator}
    templates = weights.templates(TINY)
    assert jax.tree.structure(templates) == jax.tree.structure(fresh)
    for expected, found in zip(
        jax.tree.leaves(fresh), jax.tree.leaves(templates), strict=True
    ):
        assert (found.shape, found.dtype) == (expected.shape, expected.dtype)


def test_round_trip_through_half_precision(release):
    model, loaded = tiny_model(), weights.load(release)
    assert loaded.architecture == TINY and loaded.crop == 108
    for name in ("generator", "discriminator"):
        expected, found = flat(getattr(model, name)), flat(getattr(loaded, name))
        assert found.keys() == expected.keys()
        for tensor in expected:
            assert found[tensor].dtype == np.float32
            half = expected[tensor].astype(np.float16)
            np.testing.assert_array_equal(found[tensor], half.astype(np.float32))


def test_loaded_networks_compute_the_same(release, key):
    model, loaded = tiny_model(), weights.load(release)
    z = train_gan.sample_z(key, 3, TINY.z_dim)
    image = call(model.generate, z)
    assert float(jnp.std(image)) > 0.02
    np.testing.assert_allclose(call(loaded.generate, z), image, atol=5e-3)
    logits = call(model.discriminate, image)
    np.testing.assert_allclose(call(loaded.discriminate, image), logits, atol=2e-2)


def test_a_loaded_model_can_be_exported_without_loss(release, tmp_path):
    weights.export(tmp_path / "again", weights.load(release), provenance={})
    for name in ("generator.safetensors", "discriminator.safetensors"):
        assert (tmp_path / "again" / name).read_bytes() == (release / name).read_bytes()


def test_source_names_the_files_by_hash(release, tmp_path):
    source = weights.load(release).source
    assert source["path"] == "tiny"
    assert (
        json.loads((release / "model.json").read_text())["sha256"] == (source["sha256"])
    )
    other = dataclasses.replace(
        tiny_model(), generator=random_variables(TINY, seed=1)["generator"]
    )
    weights.export(tmp_path / "other", other, provenance={})
    changed = weights.load(tmp_path / "other").source["sha256"]
    assert changed["generator"] != source["sha256"]["generator"]
    assert changed["discriminator"] == source["sha256"]["discriminator"]


@pytest.mark.parametrize("prior", ["uniform", "normal"])
def test_a_model_remembers_how_z_was_drawn(prior, tmp_path):
    model = dataclasses.replace(tiny_model(), prior=prior)
    weights.export(tmp_path / "drawn", model, provenance={})
    assert weights.load(tmp_path / "drawn").prior == prior


def test_the_prior_is_uniform_unless_told_and_of_a_known_kind(release):
    file = release / "model.json"
    description = json.loads(file.read_text())
    file.write_text(json.dumps(without(description, "prior")))
    assert weights.load(release).prior == "uniform"
    file.write_text(json.dumps({**description, "prior": "cauchy"}))
    assert "model.json" in refusal(release)


def test_networks_without_batch_norm_make_the_round_trip(tmp_path, key):
    bare = dataclasses.replace(TINY, generator_norm="none", discriminator_norm="none")
    model = weights.Model(bare, 108, **random_variables(bare), source={})
    weights.export(tmp_path / "bare", model, provenance={})
    loaded = weights.load(tmp_path / "bare")
    assert loaded.architecture == bare
    assert set(loaded.generator) == set(loaded.discriminator) == {"params"}
    z = train_gan.sample_z(key, 3, TINY.z_dim)
    expected = call(model.generate, z)
    np.testing.assert_allclose(call(loaded.generate, z), expected, atol=5e-3)


def test_description_holds_the_provenance(release):
    description = json.loads((release / "model.json").read_text())
    assert description["provenance"] == {"data": "noise"}
    assert description["architecture"] == dataclasses.asdict(TINY)


def test_export_needs_a_folder(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="file"):
        weights.export(tmp_path / "file", tiny_model(), provenance={})


@pytest.mark.parametrize("name", ["generator", "discriminator"])
def test_missing_and_damaged_files_are_refused_by_name(release, name):
    file = release / f"{name}.safetensors"
    content = file.read_bytes()
    file.unlink()
    assert str(file) in refusal(release)
    huge_header = (2**62).to_bytes(8, "little") + content[8:]
    for damaged in (
        b"",
        b"garbage",
        content[:4],
        content[:100],
        content[:-1],
        content + b"x",
        huge_header,
    ):
        file.write_bytes(damaged)
        assert str(file) in refusal(release)
    file.write_bytes(content)
    weights.load(release)


@pytest.mark.parametrize("name", ["generator", "discriminator"])
def test_tensors_that_do_not_fit_are_refused_by_name(release, name):
    file = release / f"{name}.safetensors"
    content = file.read_bytes()
    tensor = sorted(safetensors.numpy.load(content))[-1]

    def missing(tensors):
        del tensors[tensor]

    def extra(tensors):
        tensors["params/extra"] = np.zeros(3, np.float16)

    def transposed(tensors):
        tensors[tensor] = np.zeros(tensors[tensor].shape + (1,), np.float16)

    for change, named in ((missing, tensor), (extra, "extra"), (transposed, tensor)):
        file.write_bytes(content)
        rewritten.rewrite(file, change)
        message = refusal(release)
        assert str(file) in message and named in message


def test_a_type_that_numpy_lacks_is_refused_by_name(release):
    tensors = {"a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}
    header = json.dumps(tensors).encode()
    file = release / "generator.safetensors"
    content = len(header).to_bytes(8, "little") + header + bytes(4)
    rewritten.put(file, content)
    assert "not a safetensors file" in refusal(release)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["generator", "discriminator"])
def test_weights_that_are_not_finite_are_refused(release, name, value):
    file = release / f"{name}.safetensors"
    tensor = sorted(safetensors.numpy.load_file(file))[0]
    rewritten.rewrite(
        file, lambda tensors: tensors[tensor].reshape(-1).__setitem__(-1, value)
    )
    message = refusal(release)
    assert name in message and tensor in message


def without(description, key):
    return {k: v for k, v in description.items() if k != key}


def architecture(description, **changes):
    changed = {**description["architecture"], **changes}
    return {**description, "architecture": changed}


DESCRIPTIONS = {
    "empty": lambda text: "",
    "truncated": lambda text: text[: len(text) // 2],
    "list": lambda text: "[]",
    "null": lambda text: "null",
    "no_crop": lambda text: json.dumps(without(json.loads(text), "crop")),
    "crop_text": lambda text: json.dumps({**json.loads(text), "crop": "wide"}),
    "no_architecture": lambda text: json.dumps(
        without(json.loads(text), "architecture")
    ),
    "architecture_list": lambda text: json.dumps(
        {**json.loads(text), "architecture": [1]}
    ),
    "unknown_field": lambda text: json.dumps(architecture(json.loads(text), depth=3)),
    "size_50": lambda text: json.dumps(architecture(json.loads(text), image_size=50)),
    "size_text": lambda text: json.dumps(
        architecture(json.loads(text), image_size="16")
    ),
    "activation": lambda text: json.dumps(
        architecture(json.loads(text), activation="exec")
    ),
}


@pytest.mark.parametrize("kind", DESCRIPTIONS)
def test_a_broken_description_is_refused_by_name(release, kind):
    file = release / "model.json"
    file.write_text(DESCRIPTIONS[kind](file.read_text()))
    assert str(file) in refusal(release)


@pytest.mark.parametrize(
    "changes",
    [
        {"features": 4},
        {"features": 0},
        {"features": -2},
        {"features": 2.5},
        {"features": "2"},
        {"z_dim": 5},
        {"z_dim": 0},
        {"z_dim": None},
        {"kernel_size": 5},
        {"kernel_size": 0},
        {"image_size": 32},
    ],
)
def test_an_architecture_that_does_not_fit_is_refused(release, changes):
    file = release / "model.json"
    file.write_text(json.dumps(architecture(json.loads(file.read_text()), **changes)))
    refusal(release)


@pytest.mark.parametrize("name", ["image_size", "features", "z_dim", "kernel_size"])
@pytest.mark.parametrize("value", ["16", True, 16.5, 10**12])
def test_a_number_of_another_kind_or_size_is_refused(release, name, value):
    file = release / "model.json"
    changed = architecture(json.loads(file.read_text()), **{name: value})
    file.write_text(json.dumps(changed))
    sentence = refusal(release)
    assert all(word in sentence for word in (str(file), "architecture", name))


@pytest.mark.parametrize("crop", [0, -5, 1e400, "128", 108.5, True, 10**12])
def test_a_crop_that_frames_nothing_is_refused(release, crop):
    file = release / "model.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "crop": crop}))
    assert str(file) in refusal(release)


def test_a_description_that_is_no_text_is_refused(release):
    (release / "model.json").write_bytes(b"\xff\xfe{}")
    assert "model.json" in refusal(release)


def test_what_is_neither_run_nor_release_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path, tmp_path / "missing", tmp_path / "file"):
        message = refusal(path)
        assert "neither a training run" in message and "model.json" in message
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file"]


# The weights that come with the package.


@pytest.mark.skipif(not RELEASE.is_dir(), reason="no released weights in assets/dcgan")
def test_released_weights_generate_images(key):
    model = weights.load("release")
    z = train_gan.sample_z(key, 4, model.architecture.z_dim)
    images = call(model.generate, z)
    size = model.architecture.image_size
    assert images.shape == (4, size, size, 3)
    assert bool(jnp.isfinite(images).all()) and float(jnp.abs(images).max()) <= 1.0
    # Different z, different faces.
    assert float(jnp.abs(images[0] - images[1]).mean()) > 0.02
    assert bool(jnp.isfinite(call(model.discriminate, images)).all())


@pytest.mark.skipif(not RELEASE.is_dir(), reason="no released weights in assets/dcgan")
def test_released_weights_are_small_and_as_described():
    sizes = {path.name: path.stat().st_size for path in RELEASE.iterdir()}
    assert all(size < 16 * 2**20 for size in sizes.values()), sizes
    described = json.loads((RELEASE / "model.json").read_text())["sha256"]
    assert weights.load("release").source["sha256"] == described


@pytest.mark.skipif(not RELEASE.is_dir(), reason="no released weights in assets/dcgan")
def test_the_released_encoder_guesses_better_than_chance(key):
    model = weights.load("release")
    picture = picture_files.read(RELEASE.parent / "portrait.png")
    size = model.architecture.image_size
    portrait = framing.frame(picture, crop=model.crop, size=size)
    image = pixels.from_bytes(jnp.asarray(portrait)[None])
    mask = masks.centre(key, (size, size))[None]
    chance = train_gan.sample_z(key, 64, model.architecture.z_dim)

    def difference(z):
        off = mask * np.abs(np.asarray(call(model.generate, z) - image))
        return np.mean(off, axis=(1, 2, 3))

    guess = difference(call(model.encode, image * mask, mask))
    # For a few at once the model compiles soonest.
    others = [difference(chance[i : i + 4]) for i in range(0, 64, 4)]
    assert guess[0] < 0.7 * np.min(others)


# Training runs.

META = {"architecture": dataclasses.asdict(TINY), "crop": 108}


def save_run(folder, *, meta=META, model=None, step=7):
    model = model or random_variables(TINY)
    with checkpoints.opened(folder) as store:
        store.save(step, state={"step": jnp.asarray(step)}, model=model, meta=meta)
    return folder


def test_a_run_gives_the_networks_that_were_saved(tmp_path):
    saved = random_variables(TINY)
    model = weights.load(save_run(tmp_path / "run", model=saved))
    assert model.architecture == TINY and model.crop == 108
    assert model.source["path"] == str(tmp_path / "run") and model.source["step"] == 7
    for name in ("generator", "discriminator"):
        expected, found = flat(saved[name]), flat(getattr(model, name))
        assert found.keys() == expected.keys()
        for tensor in expected:
            np.testing.assert_array_equal(found[tensor], expected[tensor])


def test_a_run_goes_by_its_newest_checkpoint(tmp_path):
    save_run(tmp_path, step=7)
    save_run(tmp_path, step=9, model=random_variables(TINY, seed=1))
    model = weights.load(tmp_path)
    assert model.source["step"] == 9
    newest = flat(random_variables(TINY, seed=1)["generator"])
    found = flat(model.generator)
    for tensor in newest:
        np.testing.assert_array_equal(found[tensor], newest[tensor])


def test_a_run_without_checkpoints_is_refused(tmp_path):
    with checkpoints.opened(tmp_path / "run"):
        pass
    assert "no complete checkpoint" in refusal(tmp_path / "run")


@pytest.mark.parametrize(
    "meta",
    [
        {},
        {"architecture": META["architecture"]},
        {"architecture": {"depth": 3}, "crop": 108},
        {"architecture": {**META["architecture"], "image_size": 50}, "crop": 108},
        {"architecture": {**META["architecture"], "features": 4}, "crop": 108},
    ],
)
def test_a_run_of_another_program_is_refused(tmp_path, meta):
    refusal(save_run(tmp_path / "run", meta=meta))


def test_a_diverged_run_is_refused(tmp_path):
    model = random_variables(TINY)
    model["generator"]["params"]["project"]["bias"] *= jnp.nan
    message = refusal(save_run(tmp_path / "run", model=model))
    assert "generator" in message and "project/bias" in message


# Encoders.


def model_with_encoder():
    networks = weights.templates(TINY, encoder=True)
    rng = np.random.default_rng(0)
    drawn = jax.tree.map(
        lambda leaf: jnp.asarray(rng.uniform(0.1, 0.4, leaf.shape), jnp.float32),
        networks,
    )
    return weights.Model(TINY, 108, **drawn, source={}, encodes="damaged faces")


def test_an_encoder_is_released_with_what_it_was_trained_on(tmp_path):
    model = model_with_encoder()
    weights.export(tmp_path, model, provenance={})
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "MODEL_CARD.md",
        "discriminator.safetensors",
        "encoder.safetensors",
        "generator.safetensors",
        "model.json",
    ]
    loaded = weights.load(tmp_path)
    assert loaded.encodes == "damaged faces"
    image = np.random.default_rng(1).uniform(-1, 1, (2, 16, 16, 3))
    image, mask = jnp.asarray(image, jnp.float32), jnp.ones((2, 16, 16, 1))
    found = call(loaded.encode, image, mask)
    assert found.shape == (2, 4)
    expected = call(model.encode, image, mask)
    np.testing.assert_allclose(found, expected, atol=5e-3)


def test_a_model_without_an_encoder_encodes_nothing(release):
    loaded = weights.load(release)
    assert loaded.encodes == "nothing" and set(loaded.networks) == {
        "generator",
        "discriminator",
    }
    image = jnp.zeros((1, 16, 16, 3))
    with pytest.raises(ValueError, match="no encoder"):
        loaded.encode(image, image[..., :1])


def test_an_encoder_of_unknown_training_is_refused(release):
    description = json.loads((release / "model.json").read_text())
    description["encodes"] = "cats"
    (release / "model.json").write_text(json.dumps(description))
    assert "cats" in refusal(release)
