"""Checkpoints come back bit by bit, or are refused with a sentence."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from inpaint_jax.errors import InputError, OutputError
from inpaint_jax.io import checkpoints

# Orbax leaves reads of the other arrays behind when one of them fails.
pytestmark = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)

ROOT = pathlib.Path(__file__).parents[1]
META = {"crop": 128, "settings": {"rate": 2e-4, "data": None, "augment": True}}


class Moments(NamedTuple):
    count: Any
    mean: Any


class State(NamedTuple):
    step: Any
    params: Any
    opt_state: Any


def state_at(step, *, width=3):
    rng = np.random.default_rng(step)
    values = rng.normal(size=(4, width)).astype(np.float32)
    values[0, 0], values[0, 1] = np.float32(1e-42), -0.0
    return State(
        step=jnp.asarray(step, jnp.int32),
        params={"layer": {"kernel": jnp.asarray(values), "bias": jnp.zeros(width)}},
        opt_state=(
            Moments(jnp.asarray(2**31 - 1, jnp.int32), jnp.asarray(values[::-1])),
            (),
        ),
    )


def model_at(step):
    return {"generator": {"params": {"kernel": jnp.full((2, 3), step, jnp.float32)}}}


def save(store, step, **options):
    store.save(step, state=state_at(step, **options), model=model_at(step), meta=META)


@pytest.fixture(scope="module")
def saved_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    with checkpoints.opened(folder) as store:
        save(store, 10)
        save(store, 20)
    return folder


@pytest.fixture
def run_dir(saved_run, tmp_path):
    """A run with checkpoints 10 and 20."""
    return pathlib.Path(shutil.copytree(saved_run, tmp_path / "run"))


def assert_same_bits(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        a, b = np.asarray(a), np.asarray(b)
        assert a.dtype == b.dtype and a.shape == b.shape
        assert a.tobytes() == b.tobytes()


def largest_files(folder):
    """The files that hold the arrays, largest first."""
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return sorted(paths, key=lambda path: path.stat().st_size, reverse=True)


def test_round_trip_is_bit_equal(run_dir):
    with checkpoints.opened(run_dir) as store:
        step, state, meta = store.latest(state_at(0))
    assert step == 20 and meta == META
    assert isinstance(state, State) and isinstance(state.opt_state[0], Moments)
    assert_same_bits(state, state_at(20))
    assert checkpoints.read_meta(run_dir) == (20, META)
    assert_same_bits(checkpoints.read_model(run_dir, 20, model_at(0)), model_at(20))


def test_an_older_checkpoint_can_be_read(run_dir):
    assert_same_bits(checkpoints.read_model(run_dir, 10, model_at(0)), model_at(10))


def test_shapes_are_template_enough(run_dir):
    template = jax.eval_shape(lambda: state_at(0))
    with checkpoints.opened(run_dir) as store:
        _, state, _ = store.latest(template)
    assert_same_bits(state, state_at(20))


def test_a_new_run_has_nothing_to_go_on_from(tmp_path):
    with checkpoints.opened(tmp_path / "run") as store:
        assert store.latest(state_at(0)) is None


def test_relative_run_dir(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with checkpoints.opened("run") as store:
        save(store, 5)
    assert checkpoints.is_run("run") and (tmp_path / "run").is_dir()
    assert checkpoints.read_meta("run") == (5, META)
    assert_same_bits(checkpoints.read_model("run", 5, model_at(0)), model_at(5))


def test_only_the_newest_are_kept(tmp_path):
    with checkpoints.opened(tmp_path, keep=2) as store:
        for step in (1, 2, 3, 10):
            save(store, step)
    folder = tmp_path / "checkpoints"
    assert sorted(p.name for p in folder.iterdir() if p.is_dir()) == ["10", "3"]


def test_an_older_step_is_refused(run_dir):
    with checkpoints.opened(run_dir) as store:
        for step in (5, 15, 20):
            with pytest.raises(InputError, match=f"checkpoint {step} was refused"):
                save(store, step)
        assert_same_bits(store.latest(state_at(0))[1], state_at(20))


def test_incomplete_checkpoints_are_ignored(run_dir):
    (run_dir / "checkpoints" / "30").mkdir()
    (run_dir / "checkpoints" / "40" / "state").mkdir(parents=True)
    (run_dir / "checkpoints" / "50.orbax-checkpoint-tmp").mkdir()
    assert checkpoints.read_meta(run_dir) == (20, META)
    with checkpoints.opened(run_dir) as store:
        step, state, _ = store.latest(state_at(0))
    assert step == 20
    assert_same_bits(state, state_at(20))


def test_what_is_unfinished_is_gone_before_the_run_goes_on(run_dir):
    unfinished = run_dir / "checkpoints" / "50.orbax-checkpoint-tmp-1"
    (unfinished / "state").mkdir(parents=True)
    with checkpoints.opened(run_dir):
        assert not unfinished.exists()  # at once: no thread may outlive a refusal


def test_a_folder_in_the_way_of_a_checkpoint_is_named(run_dir):
    (run_dir / "checkpoints" / "30").mkdir()
    with checkpoints.opened(run_dir) as store:
        with pytest.raises(InputError, match="checkpoints/30: in the way"):
            save(store, 30)
        save(store, 40)
        assert_same_bits(store.latest(state_at(0))[1], state_at(40))


def test_is_run_tells_runs_from_other_folders(run_dir, tmp_path):
    assert checkpoints.is_run(run_dir)
    assert not checkpoints.is_run(tmp_path)
    assert not checkpoints.is_run(tmp_path / "missing")


# Locking.


def test_two_writers_are_refused(run_dir):
    with checkpoints.opened(run_dir):
        with pytest.raises(InputError, match="run: another process is training"):
            with checkpoints.opened(run_dir):
                pass
        assert checkpoints.read_meta(run_dir) == (20, META)  # reading is allowed
    with checkpoints.opened(run_dir) as store:
        save(store, 30)
    assert checkpoints.read_meta(run_dir)[0] == 30


def test_the_lock_goes_when_the_block_raises(run_dir):
    with pytest.raises(RuntimeError), checkpoints.opened(run_dir):
        raise RuntimeError
    with checkpoints.opened(run_dir):
        pass


def test_the_lock_goes_with_a_killed_process(run_dir):
    code = (
        "import sys, time\n"
        "from inpaint_jax.io import checkpoints\n"
        "with checkpoints.opened(sys.argv[1]):\n"
        "    print('open', flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(run_dir)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        try:
            assert other.stdout.readline() == "open\n"
            with pytest.raises(InputError, match="another process"):
                with checkpoints.opened(run_dir):
                    pass
        finally:
            other.kill()
    with checkpoints.opened(run_dir) as store:
        save(store, 30)


# Refusing.


def test_another_architecture_is_refused(run_dir):
    with checkpoints.opened(run_dir) as store:
        with pytest.raises(InputError) as caught:
            store.latest(state_at(0, width=5))
        assert f"{run_dir}/checkpoints/20" in str(caught.value)
        # The first tensor in alphabetical order that differs, and both shapes.
        assert "opt_state/0/mean is float32 [4, 3]" in str(caught.value)
        assert "float32 [4, 5]" in str(caught.value)
        save(store, 30)  # and nothing is broken by it


@pytest.mark.parametrize(
    "params, difference",
    [
        ({"kernel": jnp.zeros((2, 4))}, "kernel is float32 [2, 3]"),
        ({"kernel": jnp.zeros((3, 2))}, "kernel is float32 [2, 3]"),
        ({"kernel": jnp.zeros(6)}, "kernel is float32 [2, 3]"),
        ({"kernel": jnp.zeros((2, 3), jnp.bfloat16)}, "kernel is float32 [2, 3]"),
        ({"kernel": jnp.zeros((2, 3)), "z": jnp.zeros(1)}, "z is missing"),
        ({}, "this architecture has nothing"),
    ],
)
def test_another_model_is_refused(run_dir, params, difference):
    with pytest.raises(InputError) as caught:
        checkpoints.read_model(run_dir, 20, {"generator": {"params": params}})
    assert f"{run_dir}/checkpoints/20" in str(caught.value)
    assert difference in str(caught.value)


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))


DAMAGE = {
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: os.truncate(path, path.stat().st_size // 2),
    "flipped": flip,
    "missing": lambda path: path.unlink(),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_arrays_are_refused(run_dir, damage):
    arrays = largest_files(run_dir / "checkpoints" / "20" / "state" / "d")
    for path in arrays or largest_files(run_dir / "checkpoints" / "20" / "state"):
        DAMAGE[damage](path)
    with checkpoints.opened(run_dir) as store:
        with pytest.raises(InputError, match="checkpoints/20.*damaged") as caught:
            store.latest(state_at(0))
    assert "\n" not in str(caught.value)


def test_no_flipped_bit_gives_other_weights(tmp_path):
    rng = np.random.default_rng(0)
    # Large enough for the arrays to be most of the checkpoint.
    model = {"kernel": rng.normal(size=(64, 64)).astype(np.float32)}
    with checkpoints.opened(tmp_path) as store:
        store.save(20, state=model, model=model, meta=META)
    paths = sorted(path for path in tmp_path.rglob("20/**/*") if path.is_file())
    contents = {path: path.read_bytes() for path in paths}
    places = [(path, i) for path, data in contents.items() for i in range(len(data))]
    refused = 0
    for place in rng.choice(len(places), 25, replace=False):
        path, i = places[place]
        damaged = bytearray(contents[path])
        damaged[i] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            assert_same_bits(checkpoints.read_model(tmp_path, 20, model), model)
            with checkpoints.opened(tmp_path) as store:
                _, state, meta = store.latest(model)
            assert_same_bits(state, model)
            assert meta == META
        except InputError as error:
            refused += 1
            assert "checkpoints/20" in str(error) and "\n" not in str(error)
        path.write_bytes(contents[path])
    assert refused >= 10  # some bits mean nothing


@pytest.mark.parametrize("item", ["state", "model", "meta"])
def test_items_of_another_checkpoint_are_refused(run_dir, item):
    folder = run_dir / "checkpoints"
    with checkpoints.opened(run_dir) as store:
        store.save(30, state=state_at(30), model=model_at(30), meta={"crop": 108})
    shutil.rmtree(folder / "30" / item)
    shutil.copytree(folder / "20" / item, folder / "30" / item)
    with pytest.raises(InputError, match="checkpoints/30: damaged .* the one before"):
        with checkpoints.opened(run_dir) as store:
            store.latest(state_at(0))
        checkpoints.read_model(run_dir, 30, model_at(0))


def test_a_checkpoint_from_before_hashes_is_read(run_dir):
    (file,) = (run_dir / "checkpoints" / "20" / "meta").glob("metadata")
    file.write_text(json.dumps(META))
    assert checkpoints.read_meta(run_dir) == (20, META)
    assert_same_bits(checkpoints.read_model(run_dir, 20, model_at(0)), model_at(20))
    with checkpoints.opened(run_dir) as store:
        assert store.latest(state_at(0))[2] == META


@pytest.mark.parametrize("damage", ["empty", "truncated", "missing"])
@pytest.mark.parametrize("item", ["state", "meta"])
def test_a_damaged_description_is_refused(run_dir, item, damage):
    for path in (run_dir / "checkpoints" / "20" / item).iterdir():
        if path.is_file():
            DAMAGE[damage](path)
    with checkpoints.opened(run_dir) as store:
        with pytest.raises(InputError, match="checkpoints/20"):
            store.latest(state_at(0))


@pytest.mark.parametrize("damage", ["empty", "truncated", "missing"])
def test_damaged_meta_is_refused(run_dir, damage):
    for path in (run_dir / "checkpoints" / "20" / "meta").iterdir():
        DAMAGE[damage](path)
    with pytest.raises(InputError, match=f"{run_dir.name}.*damaged"):
        checkpoints.read_meta(run_dir)


def test_read_meta_needs_a_checkpoint(tmp_path):
    with pytest.raises(InputError, match="no complete checkpoint"):
        checkpoints.read_meta(tmp_path / "missing")
    assert not (tmp_path / "missing").exists()  # reading creates nothing
    with checkpoints.opened(tmp_path / "run"):
        pass
    with pytest.raises(InputError, match="run: no complete checkpoint"):
        checkpoints.read_meta(tmp_path / "run")


def test_opened_refuses_a_file(tmp_path):
    (tmp_path / "run").write_text("x")
    with pytest.raises(OutputError, match="run"):
        with checkpoints.opened(tmp_path / "run"):
            pass
