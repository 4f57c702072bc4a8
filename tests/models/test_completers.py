"""CE and GFC: whole images of the right size, whatever the hole holds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inpaint_jax.models import context_encoder, face_completion
from inpaint_jax.pretrained import networks
from tests import drawn

SIZE = 16
ARCHITECTURES = [
    context_encoder.Architecture(image_size=SIZE, features=4),
    face_completion.Architecture(image_size=SIZE, features=4, bottleneck=5),
]


@pytest.fixture(scope="module", params=ARCHITECTURES, ids=["ce", "gfc"])
def network(request):
    variables = drawn.variables(networks.template(request.param))
    apply = networks.Pretrained(request.param, 128, variables, {}).apply
    return jax.jit(apply)


@pytest.fixture(scope="module")
def scene():
    rng = np.random.default_rng(0)
    image = rng.uniform(-1, 1, (3, SIZE, SIZE, 3)).astype(np.float32)
    mask = np.ones((3, SIZE, SIZE, 1), np.float32)
    mask[:, 3:9, 4:12] = 0.0
    return jnp.asarray(image), jnp.asarray(mask)


def test_images_come_out_in_range(network, scene):
    found = np.asarray(network(*scene))
    assert found.shape == scene[0].shape
    assert np.abs(found).max() <= 1.0 and found.std() > 0.01


def test_the_hole_is_not_looked_at(network, scene):
    image, mask = scene
    emptied = jnp.where(mask > 0, image, jnp.nan)
    np.testing.assert_array_equal(network(emptied, mask), network(image, mask))


def test_the_mask_is_looked_at(network, scene):
    image, mask = scene
    black = image * mask  # the hole and a grey face are not the same
    known = network(black, jnp.ones_like(mask))
    assert np.abs(np.asarray(network(black, mask) - known)).max() > 1e-3


def test_rows_are_on_their_own(network, scene):
    image, mask = scene
    alone = network(image[1:2], mask[1:2])
    np.testing.assert_allclose(network(image, mask)[1:2], alone, atol=1e-5)


def test_the_context_encoder_carries_each_channel_across_by_its_own_matrix():
    a = ARCHITECTURES[0]
    params = networks.template(a)["params"]
    assert params["across"].shape == (a.body.deepest, 16, 16)
    assert params["between"]["kernel"].shape == (a.body.deepest,) * 2


def test_face_completion_passes_through_a_narrow_layer():
    params = networks.template(ARCHITECTURES[1])["params"]
    assert params["gather"]["kernel"].shape[1] == 5


def test_the_parser_gives_logits_of_every_class():
    a = face_completion.ParserArchitecture(image_size=SIZE, features=4)
    parser = networks.Pretrained(a, 128, drawn.variables(networks.template(a)), {})
    found = parser.apply(jnp.zeros((2, SIZE, SIZE, 3)))
    assert found.shape == (2, SIZE, SIZE, 6)


@pytest.mark.parametrize("size", [15, 24])
def test_other_sizes_are_refused(size):
    for name in ("ce", "gfc", "parser"):
        with pytest.raises(ValueError, match=str(size)):
            networks.KINDS[name].architecture(image_size=size)
