"""Artifacts compute what the model computes, anywhere, or are refused."""

import hashlib
import importlib.util
import subprocess
import sys

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from inpaint_jax.errors import InputError, OutputError
from inpaint_jax.models import dcgan, landmark_net
from inpaint_jax.pretrained import landmark_predictor, networks, stablehlo, weights
from tests import drawn

TINY = dcgan.Architecture(image_size=16, features=4, z_dim=3, kernel_size=4)
NAMES = ("generator", "discriminator")
written = pytest.mark.skipif(
    importlib.util.find_spec("flatbuffers") is None, reason="needs flatbuffers"
)


def random_model(encodes="nothing"):
    template = weights.templates(TINY, encoder=encodes != "nothing")
    variables = drawn.variables(template)
    return weights.Model(TINY, 128, **variables, source={}, encodes=encodes)


def uniform(*shape):
    x = np.random.default_rng(1).uniform(-1, 1, shape)
    return jnp.asarray(x, jnp.float32)


def inputs(name, batch):
    return uniform(batch, *((3,) if name == "generator" else (16, 16, 3)))


def original(name):
    model = random_model()
    return model.generate if name == "generator" else model.discriminate


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("frozen") / "new"
    stablehlo.export(folder, random_model())
    return folder


def refusal(path):
    with pytest.raises(InputError) as caught:
        stablehlo.load(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    return message


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@written
def test_two_files_are_written_and_nothing_else(folder):
    assert names(folder) == ["discriminator.stablehlo", "generator.stablehlo"]


@written
def test_only_an_encoder_of_damaged_faces_is_written(tmp_path):
    paths = stablehlo.export(tmp_path, random_model("damaged faces"))
    assert [path.stem for path in paths] == [*NAMES, "encoder"]
    assert sorted(path.name for path in paths) == names(tmp_path)
    model = random_model("whole faces")
    assert [path.stem for path in stablehlo.export(tmp_path, model)] == [*NAMES]
    assert not (tmp_path / "encoder.stablehlo").exists()  # it was of another model
    (tmp_path / "encoder.stablehlo").mkdir()
    with pytest.raises(InputError, match="encoder.stablehlo"):
        stablehlo.export(tmp_path, model)


WIDE = {"image_size": 16, "features": 16}  # so that Winograd's form is asked about
IMAGE, MASK = (16, 16, 3), (16, 16, 1)


def of_model(name, *, prepared=False):
    def build():
        architecture = dcgan.Architecture(**WIDE, z_dim=3)
        variables = drawn.variables(weights.templates(architecture, encoder=True))
        model = weights.Model(architecture, 128, **variables, source={})
        if prepared:
            return model.fused(batch=64)[name == "discriminate"]
        return getattr(model, name)

    return build


def of_feed_forward(name):
    def build():
        architecture = networks.KINDS[name].architecture(**WIDE)
        variables = drawn.variables(networks.template(architecture))
        return networks.Pretrained(architecture, 128, variables, {}).apply

    return build


def landmark_net_place():
    architecture = landmark_net.Architecture(**WIDE, hidden=8)
    variables = drawn.variables(networks.template(architecture))
    return landmark_predictor.predict(
        networks.Pretrained(architecture, 128, variables, {})
    )


NETWORKS = {
    "G": (of_model("generate"), [(3,)]),
    "D": (of_model("discriminate"), [IMAGE]),
    "E": (of_model("encode"), [IMAGE, MASK]),
    "G, prepared": (of_model("generate", prepared=True), [(3,)]),
    "D, prepared": (of_model("discriminate", prepared=True), [IMAGE]),
    "CE": (of_feed_forward("ce"), [IMAGE, MASK]),
    "GFC": (of_feed_forward("gfc"), [IMAGE, MASK]),
    "parser": (of_feed_forward("parser"), [IMAGE]),
    "landmark net": (landmark_net_place, [IMAGE, MASK]),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_can_be_traced_for_a_batch_of_unknown_size(name):
    build, shapes = NETWORKS[name]
    network = build()
    (batch,) = jax.export.symbolic_shape("batch")
    inputs = [jax.ShapeDtypeStruct((batch, *shape), jnp.float32) for shape in shapes]

    def with_gradient(*inputs):
        outputs, pullback = jax.vjp(network, *inputs)
        return outputs, pullback(outputs)

    outputs, gradients = jax.eval_shape(with_gradient, *inputs)
    assert all(leaf.shape[0] == batch for leaf in jax.tree.leaves(outputs))
    assert [g.shape for g in gradients] == [x.shape for x in inputs]


def released():
    return weights.load("release")


def large():
    """The thesis's size; weights as training begins with them."""
    architecture = dcgan.Architecture(features=64, kernel_size=5)

    def draw(path, leaf):
        values = np.random.default_rng(leaf.size).normal(size=leaf.shape)
        centre = float(path[-1].key in ("var", "scale"))
        return jnp.asarray(centre + 0.02 * values, jnp.float32)

    variables = jax.tree_util.tree_map_with_path(draw, weights.templates(architecture))
    return weights.Model(architecture, 128, **variables, source={})


@pytest.fixture(scope="module", params=[released, large])
def programs(request, tmp_path_factory):
    """A model in a size in which models are trained, and its programs."""
    model = request.param()
    paths = stablehlo.export(tmp_path_factory.mktemp("programs"), model)
    read = {
        path.stem: jax.export.deserialize(bytearray(path.read_bytes())).call
        for path in paths
    }
    return model, read


@jax.jit
def call(network, *inputs):
    """A network whose weights are arguments: as constants XLA would fold them."""
    return network(*inputs)


@jax.jit
@jax.grad
def slope_of(z, generate, discriminate):
    return jnp.sum(discriminate(generate(z)))


def assert_close(actual, expected, tolerance):
    assert actual.shape == expected.shape
    scale = float(jnp.abs(expected).max())
    assert scale > 1e-4
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * scale)


@written
@pytest.mark.parametrize("name", NAMES)
def test_at_full_size_a_program_equals_the_model_for_any_batch(programs, name):
    model, read = programs
    own = {"generator": model.generate, "discriminator": model.discriminate}[name]
    x = uniform(64, *((model.architecture.z_dim,) if name == NAMES[0] else (64, 64, 3)))
    program = jax.jit(read[name])
    # Rows are independent, and for four at once the model compiles soonest.
    expected = jnp.concatenate([call(own, x[i : i + 4]) for i in range(0, 64, 4)])
    for batch in (1, 3, 64):
        assert_close(program(x[:batch]), expected[:batch], 1e-5)


@written
def test_at_full_size_programs_have_the_models_gradient(programs):
    # By z, through both of them, as in a search.
    model, read = programs
    z = uniform(3, model.architecture.z_dim)
    generate, discriminate = map(jax.tree_util.Partial, map(read.get, NAMES))
    expected = slope_of(z, model.generate, model.discriminate)
    assert_close(slope_of(z, generate, discriminate), expected, 1e-5)


@written
def test_at_full_size_the_encoder_is_exported_too(programs):
    model, read = programs
    assert ("encoder" in read) == (model.encoder is not None)
    if model.encoder is not None:
        image, mask = uniform(3, 64, 64, 3), jnp.round(uniform(3, 64, 64, 1) ** 2)
        expected = call(model.encode, image, mask)
        assert_close(jax.jit(read["encoder"])(image, mask), expected, 1e-5)


@written
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", NAMES)
def test_a_loaded_network_equals_the_model(folder, name, batch):
    x = inputs(name, batch)
    expected = jax.jit(original(name))(x)
    assert float(jnp.abs(expected).max()) > 1e-2
    found = stablehlo.load(folder / f"{name}.stablehlo")(x)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


@written
@pytest.mark.parametrize("name", NAMES)
def test_a_loaded_network_has_the_models_gradient(folder, name):
    x = inputs(name, 3)

    def slope(network):
        return jax.jit(jax.grad(lambda x: jnp.sum(jnp.sin(network(x)))))(x)

    expected = slope(original(name))
    assert float(jnp.abs(expected).max()) > 1e-3
    found = slope(stablehlo.load(folder / f"{name}.stablehlo"))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@written
@pytest.mark.parametrize("name", NAMES)
def test_a_file_serves_every_platform_and_batch(folder, name):
    content = (folder / f"{name}.stablehlo").read_bytes()
    exported = jax.export.deserialize(bytearray(content))
    assert exported.platforms == ("cpu", "cuda", "tpu")
    assert str(exported.in_avals[0].shape[0]) == "batch"


@written
def test_a_file_needs_jax_alone(folder, tmp_path):
    z = np.asarray(inputs("generator", 3))
    np.save(tmp_path / "z.npy", z)
    code = (
        "import sys, jax, jax.export, numpy\n"
        f"data = open({str(folder / 'generator.stablehlo')!r}, 'rb').read()\n"
        "generate = jax.export.deserialize(bytearray(data)).call\n"
        "image = generate(numpy.load('z.npy'))\n"
        "slope = jax.grad(lambda z: generate(z).sum())(numpy.load('z.npy'))\n"
        "numpy.savez('out.npz', image=image, slope=slope)\n"
        "print([n for n in sys.modules if n.startswith(('inpaint_jax', 'flax'))])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
    found = np.load(tmp_path / "out.npz")
    generate = random_model().generate
    np.testing.assert_allclose(found["image"], jax.jit(generate)(z), atol=1e-6)
    slope = jax.jit(jax.grad(lambda z: jnp.sum(generate(z))))(z)
    np.testing.assert_allclose(found["slope"], slope, atol=1e-4)


@written
def test_any_damage_is_refused(folder, tmp_path):
    content = (folder / "generator.stablehlo").read_bytes()
    middle = len(content) // 2
    flipped = bytes([content[middle] ^ 1])
    path = tmp_path / "generator.stablehlo"
    for damaged in (
        b"",
        b"garbage",
        content[:middle],
        content[:-1],
        content + b"x",
        content[:middle] + flipped + content[middle + 1 :],
    ):
        path.write_bytes(damaged)
        assert "damaged" in refusal(path)


@written
def test_an_intact_file_that_jax_does_not_know_is_refused(tmp_path):
    path = tmp_path / "generator.stablehlo"
    for data in (b"", b"something else of another time"):
        path.write_bytes(data + hashlib.sha256(data).digest())
        assert jax.__version__ in refusal(path)


@written
def test_a_missing_file_is_refused(tmp_path):
    assert "No such file" in refusal(tmp_path / "generator.stablehlo")
    assert str(tmp_path) in refusal(tmp_path)


@written
def test_export_needs_a_folder(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="file"):
        stablehlo.export(tmp_path / "file", random_model())


def test_without_flatbuffers_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "flatbuffers", None)
    for attempt in (
        lambda: stablehlo.export(tmp_path, random_model()),
        lambda: stablehlo.load(tmp_path / "generator.stablehlo"),
        stablehlo.check_available,
    ):
        with pytest.raises(
            InputError, match=r"flatbuffers is not installed; .*\[export\]"
        ):
            attempt()
    assert not list(tmp_path.iterdir())
