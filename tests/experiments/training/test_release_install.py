"""Anyone's release is installed if the package reads it, and else changes nothing."""

import hashlib
import json
import shutil

import pytest

from experiments.training import release_files, release_install
from inpaint_jax.errors import InputError
from inpaint_jax.models import context_encoder, dcgan
from inpaint_jax.pretrained import networks, release_folders, weights
from tests import drawn

TINY = dcgan.Architecture(image_size=16, features=4, z_dim=8)
COMPLETES = context_encoder.Architecture(image_size=16, features=2)


def export_model(folder):
    variables = drawn.variables(weights.templates(TINY, encoder=True))
    model = weights.Model(TINY, 128, **variables, source={}, encodes="damaged faces")
    weights.export(folder, model, provenance={"data": "noise"})


def export_completer(folder):
    variables = drawn.variables(networks.template(COMPLETES))
    network = networks.Pretrained(COMPLETES, 128, variables, {})
    networks.export(folder, network, provenance={"data": "noise"})


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The output folder of a release with a whole search model and CE."""
    out = tmp_path_factory.mktemp("made")
    release_files.begin(out, {}, {})
    release_files.add(out, "dcgan", export_model)
    release_files.add(out, "ce", export_completer)
    return out


@pytest.fixture
def out(made, tmp_path):
    return shutil.copytree(made, tmp_path / "out")


@pytest.fixture
def assets(tmp_path):
    """A package whose networks are older ones."""
    for folder in ("ce", "dcgan"):
        before = {"provenance": {"licence": "ask"}, "sha256": {"older": "1"}}
        content = {"older.safetensors": b"x"}
        release_folders.put(tmp_path / "assets" / folder, content, before)
    return tmp_path / "assets"


def state(folder):
    paths = sorted(path for path in folder.parent.rglob("*") if path.is_file())
    return {path: path.read_bytes() for path in paths}


def change(out, edit):
    """Edits what release.json says of its networks."""
    path = out / "release.json"
    described = json.loads(path.read_text())
    edit(described["releases"])
    path.write_text(json.dumps(described))


def refusal(out, assets):
    before = state(assets)
    with pytest.raises(InputError) as caught:
        release_install.install(str(out), assets=assets)
    assert state(assets) == before
    text = str(caught.value)
    assert text.startswith(f"--install={out}: ") and text.count("\n") == 0
    return text


def test_an_installed_release_replaces_the_old_one_and_keeps_its_licence(out, assets):
    said = release_install.install(str(out), assets=assets)
    assert said[1] == "wrote ce into ce" and "encoder into dcgan" in said[0]
    names = {"MODEL_CARD.md", "ce.safetensors", "model.json"}
    assert {path.name for path in (assets / "ce").iterdir()} == names
    described = json.loads((assets / "ce" / "model.json").read_text())
    assert described["provenance"] == {"licence": "ask", "data": "noise"}
    assert weights.load(assets / "dcgan").encoder is not None


@pytest.mark.parametrize("damage", [lambda p: p.unlink(), lambda p: p.write_text("x")])
def test_a_release_with_another_network_is_not_installed(out, assets, damage):
    damage(out / "ce.safetensors")
    assert "ce.safetensors" in refusal(out, assets)
    damage(out / "release.json")
    refusal(out, assets)


@pytest.mark.parametrize("key", ["dcgan2", "../../evil", "/evil", "ce/../gfc", ""])
def test_networks_that_the_package_has_not_are_refused(out, assets, key):
    change(out, lambda found: found.update({key: found["ce"]}))
    assert f"describes {key}, and the package has dcgan," in refusal(out, assets)


@pytest.mark.parametrize("name", ["generator", "discriminator", "encoder"])
def test_a_folder_without_one_of_its_networks_is_refused(out, assets, name):
    change(out, lambda found: found["dcgan"]["sha256"].pop(name))
    sentence = refusal(out, assets)
    assert f"dcgan lacks the {name}; the command that began the release" in sentence


def test_a_network_that_a_folder_has_not_is_refused(out, assets):
    change(out, lambda found: found["ce"]["sha256"].update({"../evil": "0"}))
    assert "a network ../evil, and ce has ce only" in refusal(out, assets)


def test_what_is_no_network_is_refused_though_its_hash_is_right(out, assets):
    (out / "generator.safetensors").write_bytes(b"garbage")
    sha256 = hashlib.sha256(b"garbage").hexdigest()
    change(out, lambda found: found["dcgan"]["sha256"].update(generator=sha256))
    assert "dcgan/generator.safetensors: not a safetensors file" in refusal(out, assets)


@pytest.mark.parametrize("field", ["encodes", "discriminates"])
def test_a_network_that_no_reader_would_read_is_refused(out, assets, field):
    said = {"encodes": "nothing", "discriminates": False}[field]
    change(out, lambda found: found["dcgan"].update({field: said}))
    assert "is described as a model without the" in refusal(out, assets)


ODD = {
    "an empty description": {"dcgan": {}},
    "a list": [],
    "a number of hashes": {"ce": {"sha256": 3}},
    "a hash that is a number": {"ce": {"sha256": {"ce": 3}}},
}


@pytest.mark.parametrize("name", ODD)
def test_descriptions_of_other_types_are_refused(out, assets, name):
    text = json.dumps({"releases": ODD[name]})
    (out / "release.json").write_text(text)
    assert "not the description of a release" in refusal(out, assets)


@pytest.mark.parametrize("text", ["[]", "3", '{"releases": 3}', '{"a": ' + "[" * 9999])
def test_files_of_other_types_are_refused(out, assets, text):
    (out / "release.json").write_text(text)
    assert "not the description of a release" in refusal(out, assets)


DEEP = {"a": None}
for _ in range(400):
    DEEP = {"a": DEEP}


@pytest.mark.parametrize(
    "value",
    [3, {"settings": "x"}, {"environment": 3}, {"scores": [1]}, {"scores": DEEP}],
)
def test_a_provenance_of_another_type_is_refused(out, assets, value):
    change(out, lambda found: found["ce"].update(provenance=value))
    assert "release.json" in refusal(out, assets)


@pytest.mark.parametrize("value", [3, {"size": 16}, {"image_size": 10**9}])
def test_an_architecture_that_cannot_be_built_is_refused(out, assets, value):
    change(out, lambda found: found["ce"].update(architecture=value))
    assert "describes no model that can be built" in refusal(out, assets)


def test_a_release_without_a_network_is_refused(out, assets):
    change(out, lambda found: found.clear())
    assert "no finished network is in it" in refusal(out, assets)
