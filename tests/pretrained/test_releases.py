"""What was written comes back; what else is found there is refused in one sentence.

`weights` and `networks` load through this; test_weights.py damages releases
and runs in every way that it knows.
"""

import hashlib
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from inpaint_jax.errors import InputError
from inpaint_jax.io import checkpoints, files, hashes
from inpaint_jax.pretrained import releases
from tests import rewritten

WIDTHS = {"small": 2, "large": 5}


def networks(scale=1.0):
    """Numbers of which half precision keeps some."""
    return {
        name: {
            "params": {
                "layer": {"kernel": scale * (jnp.arange(3.0 * n).reshape(3, n) + 0.1)}
            },
            "batch_stats": {"mean": scale * jnp.linspace(-1e-3, 2.0, n)},
        }
        for name, n in WIDTHS.items()
    }


def templates(description):
    """Networks of the widths that the description names."""

    def shapes(n):
        kernel = jax.ShapeDtypeStruct((3, n), jnp.float32)
        mean = jax.ShapeDtypeStruct((n,), jnp.float32)
        return {"params": {"layer": {"kernel": kernel}}, "batch_stats": {"mean": mean}}

    return {name: shapes(n) for name, n in description["widths"].items()}


def load(path):
    return releases.load(
        path, name="none", application="experiments.none", templates=templates
    )


@pytest.fixture
def release(tmp_path):
    description = {"widths": WIDTHS, "note": [1.5, None]}
    releases.export(tmp_path / "toy", networks(), description=description)
    return tmp_path / "toy"


def refusal(path):
    with pytest.raises(InputError) as caught:
        load(path)
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    return message


def assert_equal(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.dtype == np.float32
        np.testing.assert_array_equal(a, b)


def test_a_release_gives_back_halves_in_single_precision(release):
    halves = jax.tree.map(
        lambda x: np.asarray(x).astype(np.float16).astype(np.float32), networks()
    )
    found = load(release)
    assert_equal(found.networks, halves)
    assert (
        np.asarray(networks()["large"]["params"]["layer"]["kernel"])
        != halves["large"]["params"]["layer"]["kernel"]
    ).any()


def test_a_release_is_one_file_of_halves_a_network(release):
    names = sorted(path.name for path in release.iterdir())
    assert names == [
        "MODEL_CARD.md",
        "large.safetensors",
        "model.json",
        "small.safetensors",
    ]
    tensors = safetensors.numpy.load_file(release / "large.safetensors")
    assert set(tensors) == {"params/layer/kernel", "batch_stats/mean"}
    assert all(tensor.dtype == np.float16 for tensor in tensors.values())


def test_description_and_source_tell_the_hashes(release):
    hashes = {
        name: hashlib.sha256((release / f"{name}.safetensors").read_bytes()).hexdigest()
        for name in WIDTHS
    }
    found = load(release)
    assert found.source == {"path": "toy", "sha256": hashes}
    expected = {"widths": WIDTHS, "note": [1.5, None], "sha256": hashes}
    assert found.description == expected
    assert json.loads((release / "model.json").read_text()) == expected


def test_a_release_in_the_way_is_replaced(release):
    halves = load(release).networks
    releases.export(release, networks(2.0), description={"widths": WIDTHS})
    assert_equal(load(release).networks, jax.tree.map(lambda x: 2 * x, halves))


@pytest.mark.parametrize("value", [1e6, np.nan, -np.inf])
def test_what_half_precision_cannot_hold_is_not_written(tmp_path, value):
    broken = networks()
    kernel = broken["large"]["params"]["layer"]["kernel"]
    broken["large"]["params"]["layer"]["kernel"] = kernel.at[1, 2].set(value)
    with pytest.raises(InputError, match=r"the large .* params/layer/kernel"):
        releases.export(tmp_path, broken, description={"widths": WIDTHS})
    assert list(tmp_path.glob("*")) == []


def test_networks_of_another_description_are_refused(release):
    file = release / "model.json"
    file.write_text(file.read_text().replace('"large": 5', '"large": 4'))
    message = refusal(release)
    assert "large.safetensors: batch_stats/mean is [5]" in message and "[4]" in message
    file.write_text(json.dumps({"depths": WIDTHS}))
    assert "model.json" in refusal(release)


def zeroed(tensors):
    tensors["batch_stats/mean"][:] = 0


def test_other_weights_than_those_described_are_refused(release):
    file = release / "small.safetensors"
    content, description = file.read_bytes(), (release / "model.json").read_text()
    for damaged in (b"", content[:-1], content[:-1] + b"x"):
        file.write_bytes(damaged)
        assert "small.safetensors: its SHA-256" in refusal(release)
    rewritten.rewrite(file, zeroed)
    assert not load(release).networks["small"]["batch_stats"]["mean"].any()
    (release / "model.json").write_text(description)
    assert "small.safetensors: its SHA-256" in refusal(release)


@pytest.mark.parametrize("hashes", [None, [], {}, {"small": 3}, {"large": "x"}])
def test_weights_without_a_hash_are_refused(release, hashes):
    described = json.loads((release / "model.json").read_text())
    (release / "model.json").write_text(json.dumps({**described, "sha256": hashes}))
    assert "SHA-256" in refusal(release)


def test_no_older_network_or_program_stays_beside_a_new_release(release):
    for name in ("small.stablehlo", "other.safetensors", "notes.txt"):
        (release / name).write_bytes(b"x")
    few = {"large": networks()["large"]}
    programs = {"large.stablehlo": b"program"}
    releases.export(release, few, description={}, programs=programs)
    assert sorted(path.name for path in release.iterdir()) == [
        "MODEL_CARD.md",
        "large.safetensors",
        "large.stablehlo",
        "model.json",
        "notes.txt",
        "other.safetensors",
    ]
    assert (release / "large.stablehlo").read_bytes() == b"program"
    assert (release / "MODEL_CARD.md").read_text().startswith("# toy\n")


def test_a_release_killed_while_it_takes_its_place_is_the_new_one(release):
    new = release.with_name("new")
    releases.export(new, networks(2.0), description={"widths": WIDTHS})
    (release / ".complete").mkdir()  # as after the rename; one file is moved already
    for name in ("model.json", "small.safetensors"):
        (new / name).rename(release / ".complete" / name)
    (new / "large.safetensors").rename(release / "large.safetensors")
    doubled = jax.tree.map(lambda x: np.float32(np.float16(2 * x)), networks())
    assert_equal(load(release).networks, doubled)


def test_an_unknown_folder_names_who_makes_such_runs(tmp_path):
    assert "--run_dir of experiments.none" in refusal(tmp_path)


def test_release_stands_for_the_folder_of_that_name(monkeypatch, release):
    monkeypatch.setattr(files, "ASSETS", release.parent)
    found = releases.load("release", name="toy", application="", templates=templates)
    assert_equal(found.networks, load(release).networks)
    with pytest.raises(InputError, match="other: neither"):
        releases.load("release", name="other", application="", templates=templates)


def train(folder, scales):
    """Writes a checkpoint of networks with each {step: scale}."""
    with checkpoints.opened(folder) as store:
        for step, scale in scales.items():
            store.save(
                step,
                state={"step": jnp.asarray(step)},
                model=networks(scale),
                meta={"widths": WIDTHS},
            )


def test_a_run_gives_its_newest_networks_as_they_were(tmp_path):
    train(tmp_path / "run", {3: 1.0, 5: 2.0})
    found = load(tmp_path / "run")
    assert_equal(found.networks, networks(2.0))
    assert found.description == {"widths": WIDTHS}
    digests = {name: hashes.of_arrays(networks(2.0)[name]) for name in WIDTHS}
    path = str(tmp_path / "run")
    assert found.source == {"path": path, "step": 5, "sha256": digests}


def test_a_run_trained_anew_to_the_same_step_is_another_model(tmp_path):
    for name, scale in {"first": 1.0, "again": 1.0, "other": 2.0}.items():
        train(tmp_path / name, {5: scale})
    first, again, other = (
        load(tmp_path / name).source["sha256"] for name in ("first", "again", "other")
    )
    assert first == again
    assert not set(first.values()) & set(other.values())
