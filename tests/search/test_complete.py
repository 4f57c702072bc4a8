"""The public call: one face in, a completion out."""

import dataclasses

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

import inpaint_jax
from inpaint_jax import InputError, Problem, Settings, pixels
from inpaint_jax.models import dcgan
from inpaint_jax.pretrained import weights
from inpaint_jax.search import completion, driver, program
from tests import drawn

pytestmark = pytest.mark.usefixtures("standard_promotion")

TINY = dcgan.Architecture(image_size=16, features=4, z_dim=6, kernel_size=4)
QUICK = Settings(
    restarts=3,
    iterations=4,
    chunk=2,
    init="random",
    window=3,
    lambda_landmark=0.0,
    lambda_structure=0.0,
)
MASK = np.ones((16, 16), bool)
MASK[4:12, 5:11] = False


@pytest.fixture(scope="module")
def model():
    def draw(path, leaf):
        noise = 0.1 * jax.random.normal(jax.random.key(len(str(path))), leaf.shape)
        return 1.0 + noise if path[-1].key in ("var", "scale") else noise

    networks = jax.tree_util.tree_map_with_path(draw, weights.templates(TINY))
    return weights.Model(TINY, 128, **networks, source={})


@pytest.fixture(scope="module")
def face():
    return drawn.noise(16, 16, 3)


def complete(face, model, mask=MASK, **options):
    return inpaint_jax.complete(
        face, mask, model=model, **{"settings": QUICK, **options}
    )


def test_it_does_what_its_parts_do(face, model):
    found = complete(face, model, key=jax.random.key(5))
    known = jnp.asarray(MASK, jnp.float32)[None, ..., None]
    asked = Problem(pixels.from_bytes(face)[None] * known, known)
    generate, discriminate = model.fused(batch=3)
    compiled = program.prepare(generate, discriminate, z_dim=6, settings=QUICK)
    *_, last = driver.search(jax.random.key(5), asked, compiled=compiled)
    parts = completion.finish(last, asked, compiled=compiled, blend="poisson")
    np.testing.assert_array_equal(found.completed, parts.completed)
    np.testing.assert_array_equal(found.score, parts.score)
    assert found.landmarks is None
    np.testing.assert_array_equal(found.picture[MASK], face[MASK])


def test_bytes_or_floats_and_either_shape_of_a_mask_are_the_same(face, model):
    first = complete(face, model)
    floats = np.asarray(pixels.from_bytes(face))
    hidden = np.where(MASK[..., None], floats, np.nan)
    for image, mask in [
        (floats, MASK[..., None]),
        (jnp.asarray(hidden), jnp.asarray(MASK, jnp.float32)),
    ]:
        found = complete(image, model, mask)
        np.testing.assert_array_equal(found.picture, first.picture)


def test_a_term_of_ones_own_counts_and_is_compiled_once(face, model):
    traced = []

    def bright(key, z, generated, problem, networks):
        traced.append(problem)
        # The networks are the search's own.
        drawn = jnp.mean((networks.generate(z) - 1.0) ** 2, axis=(1, 2, 3))
        return 0.5 * drawn + 0.5 * jnp.mean((generated - 1.0) ** 2, axis=(1, 2, 3))

    def small(key, z, generated, problem, networks):
        return jnp.mean(z**2, axis=1)

    terms = {"bright": (100.0, bright), "small": (0.5, small)}
    settings = {"settings": QUICK, "terms": terms}
    found = complete(face, model, **settings)
    plain = complete(face, model)
    once = len(traced)
    complete(face[::-1].copy(), model, key=jax.random.key(1), **settings)
    assert 0 < once == len(traced)
    expected = np.mean((found.generated - 1.0) ** 2, axis=(1, 2, 3))
    np.testing.assert_allclose(found.terms["bright"], expected, rtol=1e-4)
    square = np.mean(np.asarray(found.z) ** 2, axis=1)
    np.testing.assert_allclose(found.terms["small"], square, rtol=1e-5)
    weighted = found.terms["context"] + QUICK.lambda_prior * found.terms["prior"]
    weighted = weighted + 100.0 * expected + 0.5 * square
    np.testing.assert_allclose(found.score, weighted, rtol=1e-4)
    assert sorted(plain.terms) == ["context", "prior"]
    assert found.generated[0].mean() > plain.generated[0].mean()


@pytest.mark.parametrize(
    ("image", "mask", "words"),
    [
        (np.zeros((20, 16, 3), np.uint8), MASK, ["image", "[20, 16, 3]", "framing"]),
        (np.zeros((16, 16, 3), np.uint8), MASK[1:], ["mask", "[15, 16]"]),
        (np.zeros((16, 16, 3), np.uint8), MASK | True, ["mask", "from 1 to 1"]),
        (np.zeros((16, 16, 3), np.uint8), MASK & False, ["mask", "from 0 to 0"]),
        (np.full((16, 16, 3), 1.5, np.float32), MASK, ["image", "[-1, 1]"]),
        (np.full((16, 16, 3), np.nan, np.float32), MASK, ["image", "[-1, 1]"]),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(image, mask, words, model):
    with pytest.raises(InputError) as refused:
        complete(image, model, mask)
    assert all(word in str(refused.value) for word in words)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"terms": {"mine": (1.0, lambda *given: given[2].mean())}}, ["mine", "(2,)"]),
        ({"terms": {"prior": (1.0, lambda *given: given[1][:, 0])}}, ["prior", "name"]),
        (
            {"settings": dataclasses.replace(QUICK, init="encoder")},
            ["init='encoder'", "random"],
        ),
        ({"settings": Settings(init="random")}, ["landmark_net", "lambda_landmark=0"]),
        (
            {"settings": dataclasses.replace(QUICK, lambda_structure=1.0)},
            ["gfc", "lambda_structure=0"],
        ),
        (
            {"settings": dataclasses.replace(QUICK, lambda_in_domain=1.0)},
            ["encoder", "lambda_in_domain=0"],
        ),
    ],
)
def test_an_option_that_does_not_fit_is_refused_before_the_search(
    options, words, face, model
):
    with pytest.raises(InputError) as refused:
        complete(face, model, **options)
    assert all(word in str(refused.value) for word in words)


@pytest.mark.parametrize(
    ("image", "mask", "words"),
    [
        (np.zeros((16, 16, 3), np.uint8), 255.0 * MASK, ["mask", "255"]),
        (np.zeros((16, 16, 3), np.uint8), np.where(MASK, 1.0, 0.5), ["mask", "0.5"]),
    ],
)
def test_a_mask_of_other_values_is_refused(image, mask, words, model):
    with pytest.raises(InputError) as refused:
        complete(image, model, mask)
    assert all(word in str(refused.value) for word in words)


@pytest.fixture
def as_users_call(monkeypatch):
    """Leaves out the check of signatures, which only tests have."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


IMAGE = np.zeros((16, 16, 3), np.uint8)


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("image", "mask", "words"),
    [
        ("face.png", MASK, "image: is a str and holds no numbers; give [16, 16, 3]"),
        (None, MASK, "image: is a NoneType and holds no numbers; give"),
        ([[0, 1], [0]], MASK, "image: is a list that is no array; give"),
        (IMAGE + 1j, MASK, "image: is of complex128 and holds no numbers; give"),
        (IMAGE.astype(int), MASK, "image: is of int"),
        (jax.random.split(jax.random.key(0)), MASK, "image: is of key<fry> and holds"),
        (IMAGE, None, "mask: is a NoneType and holds no numbers; give [16, 16], 1"),
        (IMAGE, "mask.png", "mask: is a str"),
        (IMAGE, MASK.astype(object), "mask: is of object"),
    ],
)
def test_what_holds_no_numbers_is_refused(image, mask, words, model):
    with pytest.raises(InputError) as refused:
        complete(image, model, mask)
    assert str(refused.value).startswith(words)


@pytest.mark.usefixtures("as_users_call")
def test_nested_lists_are_arrays(face, model):
    floats = np.asarray(pixels.from_bytes(face))
    found = complete(floats.tolist(), model, MASK.astype(int).tolist())
    np.testing.assert_array_equal(found.picture, complete(floats, model).picture)


def constant(value):
    return lambda key, z, generated, problem, networks: jnp.full(len(z), value)


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"settings": None}, "settings: is a NoneType; give inpaint_jax.Settings(...)"),
        ({"settings": {"restarts": 2}}, "settings: is a dict; give"),
        ({"blend": 3}, "blend=3: must be one of poisson, paste"),
        ({"blend": ["paste"]}, "blend=['paste']: must be one of"),
        ({"model": 0}, "model: is an int; give inpaint_jax.load(...)"),
        ({"key": 3}, "key: is an int and no key; give one key"),
        ({"key": np.int64(3)}, "key: is an int64 and no key"),
        ({"key": jnp.zeros(2)}, "key: is of float32 and no key"),
        ({"key": jnp.zeros(3, jnp.uint32)}, "key: is of shape [3]; give one key"),
        ({"key": jax.random.split(jax.random.key(0))}, "key: is of shape [2]; give"),
        ({"terms": 0}, "terms: is an int; give {name: (weight, loss)}"),
        ({"terms": [(1.0, constant(0.0))]}, "terms: is a list; give"),
        ({"terms": {3: (1.0, constant(0.0))}}, "terms: 3 is no name; give"),
        ({"terms": {"m": (np.nan, constant(0.0))}}, "terms: 'm' has the weight nan;"),
        ({"terms": {"m": (-np.inf, constant(0.0))}}, "terms: 'm' has the weight -inf;"),
        ({"terms": {"m": (10**50, constant(0.0))}}, "terms: 'm' has the weight 1000"),
        ({"terms": {"m": (1.0, constant(1j))}}, "terms: 'm' returns (2,) of complex64"),
        (
            {"terms": {"m": (1, lambda *_: (1, 2))}},
            "terms: 'm' returns a tuple for two",
        ),
        ({"terms": {"m": (1, lambda *_: None)}}, "terms: 'm' returns None for two"),
        ({"terms": {"m": (1, constant(np.nan))}}, "terms: 'm' is NaN or infinite for"),
        ({"terms": {"m": (1, constant(np.inf))}}, "terms: 'm' is NaN or infinite for"),
    ],
)
def test_an_argument_of_another_type_is_refused(options, words, face, model):
    with pytest.raises(InputError) as refused:
        complete(face, **{"model": model, **options})
    assert str(refused.value).startswith(words)
    assert "\n" not in str(refused.value)


@pytest.mark.usefixtures("as_users_call")
def test_the_numbers_of_a_key_are_the_key(face, model):
    first = complete(face, model, key=jax.random.key(3))
    again = complete(face, model, key=jax.random.PRNGKey(3))
    np.testing.assert_array_equal(first.picture, again.picture)


@pytest.mark.usefixtures("as_users_call")
@pytest.mark.parametrize("path", [None, 3, b"release"])
def test_what_is_no_path_is_not_loaded(path):
    with pytest.raises(InputError, match="^path: is a .* and no path; give a folder"):
        inpaint_jax.load(path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("restarts", 0), ("iterations", -1), ("chunk", 0), ("patience", -1)),
        *(("window", 4), ("learning_rate", float("nan")), ("lambda_prior", -0.1)),
        ("restart_schedule", ((4, 2), (8, 2))),
        *(("restarts", True), ("restart_schedule", ((0, 5),))),
    ],
)
def test_settings_that_no_search_can_have_are_refused(field, value):
    with pytest.raises(InputError, match=f"^{field}="):
        Settings(**{field: value})
