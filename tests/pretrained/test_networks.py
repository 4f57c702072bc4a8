"""CE, GFC and parser on disk: a release is read as it was written, and only as that."""

import json

import jax
import numpy as np
import pytest

from inpaint_jax.errors import InputError
from inpaint_jax.io import files
from inpaint_jax.models import context_encoder, face_completion, landmark_net
from inpaint_jax.pretrained import networks
from tests import drawn

SMALL = {
    "ce": context_encoder.Architecture(image_size=16, features=4),
    "gfc": face_completion.Architecture(image_size=16, features=4, bottleneck=6),
    "parser": face_completion.ParserArchitecture(image_size=16, features=4),
}


def network(model):
    variables = drawn.variables(networks.template(SMALL[model]))
    return networks.Pretrained(SMALL[model], 108, variables, {})


@pytest.mark.parametrize("model", SMALL)
def test_a_release_is_read_as_it_was_written(tmp_path, model):
    networks.export(tmp_path, network(model), provenance={"command": "c"})
    found = networks.load(tmp_path, model=model)
    assert (found.architecture, found.crop, found.model) == (SMALL[model], 108, model)
    expected = jax.tree.map(
        lambda x: np.asarray(x).astype(np.float16).astype(np.float32),
        network(model).variables,
    )
    jax.tree.map(np.testing.assert_array_equal, found.variables, expected)
    assert len(found.source["sha256"][model]) == 64


def test_another_model_is_refused(tmp_path):
    networks.export(tmp_path, network("ce"), provenance={})
    with pytest.raises(InputError, match="it is a ce, not a gfc"):
        networks.load(tmp_path, model="gfc")


def test_networks_of_a_search_are_refused_by_their_names():
    with pytest.raises(InputError) as refused:
        networks.load(files.ASSETS / "dcgan", model="ce")
    names = "generator, discriminator, encoder"
    assert f"(it is a model of {names}, not a ce)" in str(refused.value)


def test_a_missing_model_says_which_command_makes_it(tmp_path):
    with pytest.raises(InputError, match=r"experiments\.train --model=ce"):
        networks.load(tmp_path, model="ce")


@pytest.mark.parametrize("crop", [0, -5, "128", 108.5, True, 10**12, None])
def test_a_description_without_a_crop_is_refused(tmp_path, crop):
    networks.export(tmp_path, network("ce"), provenance={})
    file = tmp_path / "model.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "crop": crop}))
    with pytest.raises(InputError, match=r"model\.json.*crop: Expected"):
        networks.load(tmp_path, model="ce")


@pytest.mark.parametrize("spread", ["1.5", True, None, 0, -1.0, [1.0]])
def test_a_spread_that_is_no_positive_number_is_refused(tmp_path, spread):
    shape = landmark_net.Architecture(image_size=16, features=2, hidden=4)
    variables = drawn.variables(networks.template(shape))
    net = networks.Pretrained(shape, 108, variables, {})
    networks.export(tmp_path, net, provenance={})
    file = tmp_path / "model.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "spread": spread}))
    with pytest.raises(InputError, match=r"model\.json.*spread"):
        networks.load(tmp_path, model="landmark_net")
