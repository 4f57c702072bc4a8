"""State dicts of PyTorch give the networks that PyTorch would run, or a sentence.

The truth are loops over what PyTorch's documentation says of its layers, and PyTorch
itself where it is installed.
"""

import functools
import itertools

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.flax
import safetensors.numpy

from inpaint_jax.errors import InputError
from inpaint_jax.pretrained import pytorch, weights

UP, DOWN = [5, 8, 4, 3], [3, 4, 8, 1]  # channels of a DCGAN for 16 x 16 pixels


def official(channels, *, up, biases=False, seed=0):
    """State dict of PyTorch's example: a layer, its norm and its activation count."""
    rng = np.random.default_rng(seed)
    state = {}
    number = 0
    for i, (before, after) in enumerate(itertools.pairwise(channels)):
        order = (before, after) if up else (after, before)
        scale = (before * (16 if up and i == 0 else 4)) ** -0.5
        state[f"main.{number}.weight"] = scale * rng.normal(size=(*order, 4, 4))
        if biases:
            state[f"main.{number}.bias"] = 0.3 * rng.normal(size=after)
        number += 1
        if (up or i > 0) and after != channels[-1]:
            state |= {
                f"main.{number}.weight": 1 + 0.3 * rng.normal(size=after),
                f"main.{number}.bias": 0.3 * rng.normal(size=after),
                f"main.{number}.running_mean": 0.3 * rng.normal(size=after),
                f"main.{number}.running_var": rng.uniform(0.5, 2, after),
                f"main.{number}.num_batches_tracked": np.int64(7),
            }
            number += 1
        number += 1
    return {
        name: np.asarray(value, np.int64 if "num" in name else np.float32)
        for name, value in state.items()
    }


def written(folder, state, name):
    path = folder / f"{name}.safetensors"
    path.write_bytes(safetensors.numpy.save(state))
    return path


def read(folder, g=None, d=None):
    g = official(UP, up=True) if g is None else g
    d = official(DOWN, up=False) if d is None else d
    return pytorch.read(written(folder, g, "G"), written(folder, d, "D"), crop=99)


def transposed_convolution(x, weight, bias, stride, padding):
    """ConvTranspose2d: every input pixel adds its multiple of the kernel."""
    batch, _, size, _ = x.shape
    side = (size - 1) * stride + 4
    y = np.zeros((batch, weight.shape[1], side, side))
    for i, j in itertools.product(range(size), repeat=2):
        spread = np.einsum("bc,cdhw->bdhw", x[:, :, i, j], weight)
        y[:, :, stride * i : stride * i + 4, stride * j : stride * j + 4] += spread
    inner = slice(padding, side - padding)
    return y[:, :, inner, inner] + bias[:, None, None]


def convolution(x, weight, bias, stride, padding):
    """Conv2d: every output pixel sums a window."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    size = (x.shape[2] - 4) // stride + 1
    y = np.zeros((x.shape[0], weight.shape[0], size, size))
    for i, j in itertools.product(range(size), repeat=2):
        window = x[:, :, stride * i : stride * i + 4, stride * j : stride * j + 4]
        y[:, :, i, j] = np.einsum("bchw,dchw->bd", window, weight)
    return y + bias[:, None, None]


def run(state, x, *, up):
    """Runs the layers that `official` wrote, x `[batch, channels, H, W]`."""
    names = [k.rpartition(".")[0] for k, v in state.items() if v.ndim == 4]
    for name in names:
        weight = state[f"{name}.weight"]
        bias = state.get(f"{name}.bias", np.zeros(weight.shape[1 if up else 0]))
        whole = name == (names[0] if up else names[-1])
        layer = transposed_convolution if up else convolution
        x = layer(x, weight, bias, *((1, 0) if whole else (2, 1)))
        norm = f"main.{int(name[5:]) + 1}"
        if f"{norm}.running_mean" in state:
            scale, shift, mean, var = (
                state[f"{norm}.{part}"][:, None, None]
                for part in ("weight", "bias", "running_mean", "running_var")
            )
            x = (x - mean) / np.sqrt(var + 1e-5) * scale + shift
        if name != names[-1]:
            x = np.maximum(x, 0.0 if up else 0.2 * x)
    return np.tanh(x) if up else x[:, 0, 0, 0]


def latent(n=2):
    return np.random.default_rng(1).normal(size=(n, UP[0])).astype(np.float32)


def pictures(n=2):
    return np.random.default_rng(2).uniform(-1, 1, (n, 16, 16, 3)).astype(np.float32)


@pytest.mark.parametrize("biases", [False, True])
def test_the_generator_is_pytorchs(tmp_path, biases):
    state = official(UP, up=True, biases=biases)
    expected = run(state, latent()[:, :, None, None], up=True).transpose(0, 2, 3, 1)
    assert expected.shape == (2, 16, 16, 3) and 0.2 < expected.std() < 0.95
    found = jax.jit(read(tmp_path, g=state).generate)(latent())
    np.testing.assert_allclose(found, expected, atol=2e-6)


@pytest.mark.parametrize("biases", [False, True])
def test_the_discriminator_is_pytorchs(tmp_path, biases):
    state = official(DOWN, up=False, biases=biases)
    expected = run(state, pictures().transpose(0, 3, 1, 2), up=False)
    assert expected.shape == (2,) and np.abs(expected).min() > 0.01
    found = jax.jit(read(tmp_path, d=state).discriminate)(pictures())
    np.testing.assert_allclose(found, expected, atol=5e-6)


def with_linear_first(state, *, norm):
    """A generator whose first layer is a Linear one, with its norm or another."""
    rng = np.random.default_rng(4)
    first = {
        "fc.weight": 5**-0.5 * rng.normal(size=(128, 5)),
        "fc.bias": 0.3 * rng.normal(size=128),
    }
    if norm == "1d":
        first |= {
            "fc_norm.weight": 1 + 0.3 * rng.normal(size=128),
            "fc_norm.bias": 0.3 * rng.normal(size=128),
            "fc_norm.running_mean": 0.3 * rng.normal(size=128),
            "fc_norm.running_var": rng.uniform(0.5, 2, 128),
        }
    gone = ("main.0.",) if norm == "2d" else ("main.0.", "main.1.")
    rest = {k: v for k, v in state.items() if not k.startswith(gone)}
    return {**{k: np.asarray(v, np.float32) for k, v in first.items()}, **rest}


def normalised(x, state, name):
    """BatchNorm in eval(), over the second axis."""
    scale, shift, mean, var = (
        state[f"{name}.{part}"].reshape(-1, *[1] * (x.ndim - 2))
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / np.sqrt(var + 1e-5) * scale + shift


@pytest.mark.parametrize("norm", ["2d", "1d", "none"])
def test_a_generator_may_begin_with_a_linear_layer(tmp_path, norm):
    state = with_linear_first(official(UP, up=True), norm=norm)
    x = latent() @ state["fc.weight"].T + state["fc.bias"]
    x = normalised(x, state, "fc_norm") if norm == "1d" else x
    x = x.reshape(2, 8, 4, 4)
    x = np.maximum(normalised(x, state, "main.1") if norm == "2d" else x, 0.0)
    rest = {
        k: v for k, v in state.items() if k.startswith("main") and "main.1" not in k
    }
    for name in ("main.3", "main.6"):
        x = transposed_convolution(x, rest[f"{name}.weight"], np.zeros(1), 2, 1)
        x = np.maximum(normalised(x, state, "main.4"), 0.0) if name == "main.3" else x
    found = jax.jit(read(tmp_path, g=state).generate)(latent())
    np.testing.assert_allclose(found, np.tanh(x).transpose(0, 2, 3, 1), atol=3e-6)


def test_a_discriminator_may_end_with_a_linear_layer(tmp_path):
    state = official(DOWN, up=False, biases=True)
    kernel = state["main.5.weight"]
    flat = {**state, "main.5.weight": kernel.reshape(1, -1)}
    assert_same(read(tmp_path, d=flat), read(tmp_path, d=state))


def test_the_discriminator_may_have_another_width(tmp_path):
    state = official([3, 6, 12, 1], up=False)
    model = read(tmp_path, d=state)
    assert model.architecture.features == 4
    assert model.architecture.discriminator_features == 6
    expected = run(state, pictures().transpose(0, 3, 1, 2), up=False)
    found = jax.jit(model.discriminate)(pictures())
    np.testing.assert_allclose(found, expected, atol=5e-6)
    _, fused = model.fused(batch=2)
    found = jax.jit(lambda d, x: d(x))(fused, pictures())
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_without_a_discriminator_there_is_a_generator_alone(tmp_path):
    g = written(tmp_path, official(UP, up=True), "G")
    model = pytorch.read(g, None, crop=99)
    weights.export(tmp_path / "release", model, provenance={})
    loaded = weights.load(tmp_path / "release")
    assert list(loaded.networks) == ["generator"] and not loaded.discriminates
    assert loaded.fused(batch=1)[1] is None
    with pytest.raises(InputError, match="no discriminator"):
        loaded.discriminate(pictures())


def test_one_of_several_networks_in_a_file_is_named(tmp_path):
    g, d = official(UP, up=True), official(DOWN, up=False)
    both = {f"netG.{k}": v for k, v in g.items()} | {
        f"netD.{k}": v for k, v in d.items()
    }
    file = written(tmp_path, both, "both")
    found = pytorch.read(f"{file}:netG", f"{file}:netD", crop=99)
    assert_same(found, read(tmp_path, g=g, d=d))
    message = refusal(file, lambda: pytorch.read(file, file, crop=99))
    assert "several networks (netD, netG)" in message and f"{file}:netG" in message


def module(torch, channels, *, up):
    """The networks of PyTorch's DCGAN example, written out of its layers."""
    nn = torch.nn
    layers = []
    for i, (before, after) in enumerate(itertools.pairwise(channels)):
        whole = i == (0 if up else len(channels) - 2)
        convolution = nn.ConvTranspose2d if up else nn.Conv2d
        stride, padding = (1, 0) if whole else (2, 1)
        layers.append(convolution(before, after, 4, stride, padding, bias=False))
        if after == channels[-1]:
            layers.append(nn.Tanh() if up else nn.Identity())
            continue
        if up or i > 0:
            layers.append(nn.BatchNorm2d(after))
        layers.append(nn.ReLU(True) if up else nn.LeakyReLU(0.2, inplace=True))
    return nn.ModuleDict({"main": nn.Sequential(*layers)}).eval()


def test_both_networks_are_those_that_pytorch_runs(tmp_path):
    torch = pytest.importorskip("torch")
    nets = {
        "g": module(torch, UP, up=True),
        "d": module(torch, DOWN, up=False),
    }
    states = {"g": official(UP, up=True), "d": official(DOWN, up=False)}
    for name, net in nets.items():
        net.load_state_dict({k: torch.tensor(v) for k, v in states[name].items()})
    model = read(tmp_path, **states)
    with torch.no_grad():
        image = nets["g"]["main"](torch.tensor(latent())[:, :, None, None])
        logits = nets["d"]["main"](torch.tensor(pictures()).permute(0, 3, 1, 2))
    expected = image.permute(0, 2, 3, 1).numpy()
    np.testing.assert_allclose(jax.jit(model.generate)(latent()), expected, atol=2e-6)
    np.testing.assert_allclose(
        jax.jit(model.discriminate)(pictures()), logits.numpy().reshape(-1), atol=5e-6
    )


@pytest.mark.parametrize("levels", [2, 4, 5])
def test_size_features_and_z_are_read_from_the_layers(tmp_path, levels):
    widths = [6 << i for i in range(levels)]
    model = read(
        tmp_path,
        g=official([7, *reversed(widths), 3], up=True),
        d=official([3, *widths, 1], up=False),
    )
    a = model.architecture
    assert (a.image_size, a.features, a.z_dim) == (4 << levels, 6, 7)
    assert (a.kernel_size, a.activation, model.crop) == (4, "relu", 99)
    fresh = weights.templates(a)
    for found, expected in (
        (model.generator, fresh["generator"]),
        (model.discriminator, fresh["discriminator"]),
    ):
        jax.tree.map(lambda x, y: x.shape == y.shape or pytest.fail(), found, expected)


def tree(variables):
    return {
        jax.tree_util.keystr(path): np.asarray(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(variables)
    }


def assert_same(found, expected):
    for name in ("generator", "discriminator"):
        a, b = tree(getattr(found, name)), tree(getattr(expected, name))
        assert a.keys() == b.keys()
        for key in a:
            np.testing.assert_array_equal(a[key], b[key])


def renamed(state, rename):
    return {rename(name): value for name, value in state.items()}


@hypothesis.given(prefix=st.from_regex(r"([A-Za-z_0-9]+\.){1,2}", fullmatch=True))
@hypothesis.settings(max_examples=10, deadline=None)
def test_any_prefix_is_understood(tmp_path_factory, prefix):
    folder = tmp_path_factory.mktemp("prefix")
    add = lambda state: renamed(state, lambda name: prefix + name)
    g, d = official(UP, up=True), official(DOWN, up=False)
    assert_same(read(folder, g=add(g), d=add(d)), read(folder, g=g, d=d))


def counted(state):
    """Names as conv8, conv9, conv10; bn8, bn9."""
    counts = {"conv": itertools.count(8), "bn": itertools.count(8)}
    names = {}
    for name in state:
        layer, _, part = name.rpartition(".")
        if part == "weight":
            kind = "conv" if state[name].ndim == 4 else "bn"
            names[layer] = f"{kind}{next(counts[kind])}"
    return renamed(
        state, lambda n: f"{names[n.rpartition('.')[0]]}.{n.rpartition('.')[2]}"
    )


def test_other_names_go_by_their_numbers(tmp_path):
    widths = [2 << i for i in range(4)]
    g = official([7, *reversed(widths), 3], up=True, biases=True)
    d = official([3, *widths, 1], up=False, biases=True)
    assert "conv10.weight" in counted(g)
    assert_same(read(tmp_path, g=counted(g), d=counted(d)), read(tmp_path, g=g, d=d))


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_precisions_become_float32(tmp_path, dtype):
    state = {k: v.astype(dtype) for k, v in official(UP, up=True).items()}
    model = read(tmp_path, g=state)
    assert {leaf.dtype for leaf in jax.tree.leaves(model.generator)} == {
        np.dtype("float32")
    }
    kernel = state["main.0.weight"].transpose(0, 2, 3, 1).reshape(5, -1)
    found = model.generator["params"]["project"]["kernel"]
    np.testing.assert_array_equal(found, kernel.astype(np.float32))


def test_a_converted_model_survives_as_a_release(tmp_path):
    model = read(tmp_path)
    weights.export(tmp_path / "release", model, provenance={})
    loaded = weights.load(tmp_path / "release")
    assert loaded.architecture == model.architecture and loaded.crop == 99
    found = jax.jit(loaded.generate)(latent())
    np.testing.assert_allclose(found, jax.jit(model.generate)(latent()), atol=2e-2)


def test_source_names_both_files(tmp_path):
    source = read(tmp_path).source
    assert source["generator"]["file"] == "G.safetensors"
    assert len(source["discriminator"]["sha256"]) == 64
    assert source["generator"]["sha256"] != source["discriminator"]["sha256"]


# Refusals.


def changed(state, name, value):
    return {**state, name: value}


def without(state, name):
    return {k: v for k, v in state.items() if k != name}


G, D = official(UP, up=True), official(DOWN, up=False)
zeros = functools.partial(np.zeros, dtype=np.float32)
nan = G["main.3.weight"].copy()
nan[1, 2, 3, 0] = np.nan
# name -> (state dict of G, words of the sentence)
GENERATORS = {
    "linear first, for other pixels": (
        changed(without(G, "main.0.weight"), "l1.0.weight", zeros((8 * 49, 5))),
        ["l1.0.weight [392, 5]", "no Linear layer of 4 x 4"],
    ),
    "linear first, of another width": (
        changed(without(G, "main.0.weight"), "l1.0.weight", zeros((64, 5))),
        ["l1.0.weight is [5, 4, 4, 4]", "has [5, 8, 4, 4]"],
    ),
    "linear in the middle": (
        changed(G, "main.3.weight", zeros((8, 4))),
        ["main.3.weight is [8, 4]", "has [8, 4, 4, 4]"],
    ),
    "group norm": (
        {k: v for k, v in G.items() if "main.1.r" not in k},
        ["main.1.weight [8]", "neither"],
    ),
    "another norm": (
        {**G, **{k.replace("main.4", "main.5"): v for k, v in G.items()}},
        ["3 convolutions and 3 batch norms", "has 3 and 2"],
    ),
    "statistics from before training": (
        changed(G, "main.1.num_batches_tracked", np.array(0)),
        ["main.1.num_batches_tracked is 0", "train()"],
    ),
    "kernel 5": (
        changed(G, "main.3.weight", zeros((8, 4, 5, 5))),
        ["main.3.weight is [8, 4, 5, 5]", "has [8, 4, 4, 4]"],
    ),
    "grey": (
        changed(G, "main.6.weight", zeros((4, 1, 4, 4))),
        ["main.6.weight is [4, 1, 4, 4]", "has [4, 3, 4, 4]"],
    ),
    "widths": (
        changed(G, "main.0.weight", zeros((5, 16, 4, 4))),
        ["main.0.weight is [5, 16, 4, 4]", "has [5, 8, 4, 4]"],
    ),
    "norm": (changed(G, "main.1.bias", zeros(7)), ["main.1.bias is [7]", "[8]"]),
    "bias": (changed(G, "main.0.bias", zeros(7)), ["main.0.bias is [7]", "[8]"]),
    "NaN": (changed(G, "main.3.weight", nan), ["main.3.weight [8, 4, 4, 4]", "NaN"]),
    "infinite": (changed(G, "main.1.bias", np.full(8, 1e300)), ["main.1.bias"]),
    "empty": (changed(G, "main.1.bias", zeros(0)), ["main.1.bias [0]", "empty"]),
    "negative variance": (
        changed(G, "main.1.running_var", zeros(8) - 1),
        ["main.1.running_var", "variance below 0"],
    ),
    "no statistics": (
        {k: v for k, v in G.items() if "main.1.running" not in k},
        ["main.1.weight [8]", "neither"],
    ),
    "half of the statistics": (
        without(G, "main.1.running_mean"),
        ["main.1.running_mean is missing"],
    ),
    "only a bias": (
        changed(without(G, "main.3.weight"), "main.3.bias", zeros(4)),
        ["main.3.weight is missing"],
    ),
    "spectral norm": (
        changed(G, "main.3.weight_orig", zeros((8, 4, 4, 4))),
        ["main.3.weight_orig", "neither"],
    ),
    "a layer missing": (without(G, "main.6.weight"), ["2 convolutions", "has 3"]),
    "no norm": (
        {k: v for k, v in G.items() if "main.4" not in k},
        ["3 convolutions and 1 batch norms", "has 3 and 2"],
    ),
    "a discriminator": (D, ["3 convolutions and 1 batch norms", "has 3 and 2"]),
    "nothing": ({}, ["0 convolutions"]),
}
DISCRIMINATORS = {
    "a generator": (G, ["3 convolutions and 2 batch norms", "has 3 and 1"]),
    "another size": (
        official([3, 4, 8, 16, 1], up=False),
        ["4 convolutions", "16 x 16 pixels", "has 3"],
    ),
    "other widths": (
        official([3, 6, 8, 1], up=False),
        ["main.2.weight is [8, 6, 4, 4]", "6 features", "has [12, 6, 4, 4]"],
    ),
}


def refusal(path, act):
    with pytest.raises(InputError) as caught:
        act()
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    return message


@pytest.mark.parametrize("name", GENERATORS)
def test_a_generator_that_does_not_fit_is_refused(tmp_path, name):
    state, words = GENERATORS[name]
    message = refusal(tmp_path / "G.safetensors", lambda: read(tmp_path, g=state))
    assert all(word in message for word in words), message


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_a_discriminator_that_does_not_fit_is_refused(tmp_path, name):
    state, words = DISCRIMINATORS[name]
    message = refusal(tmp_path / "D.safetensors", lambda: read(tmp_path, d=state))
    assert all(word in message for word in words), message


def test_what_is_no_safetensors_file_is_refused(tmp_path):
    g, d = written(tmp_path, G, "G"), written(tmp_path, D, "D")
    content = g.read_bytes()
    attempt = lambda: pytorch.read(g, d, crop=128)
    for damaged in (b"", b"PK\x03\x04 a pickle", content[:100], content[:-1]):
        g.write_bytes(damaged)
        assert "save_file" in refusal(g, attempt)
    g.unlink()
    assert "No such file" in refusal(g, attempt)


def test_bfloat16_is_refused(tmp_path):
    g, d = written(tmp_path, G, "G"), written(tmp_path, D, "D")
    state = {name: jnp.asarray(v, jnp.bfloat16) for name, v in G.items() if v.ndim}
    g.write_bytes(safetensors.flax.save(state))
    message = refusal(g, lambda: pytorch.read(g, d, crop=128))
    assert "net.float()" in message and "BF16" in message
