"""Many steps in one program: any number, from the host's or the device's rows."""

import contextlib
import dataclasses
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.training import stepping
from inpaint_jax import runtime
from inpaint_jax.errors import InputError

KEY = jax.random.key(7)
IMAGES = np.random.default_rng(1).integers(0, 256, (9, 4, 4, 3), np.uint8)
LABELS = np.linspace(0.0, 1.0, 9, dtype=np.float32)
ROWS = stepping.Rows((IMAGES, LABELS), batch_size=4, seed=2, on_device=False)
LONGEST = 5


class Info(NamedTuple):
    mean: jax.Array
    label: jax.Array
    drawn: jax.Array
    progress: jax.Array


def advance(key, state, images, labels, progress):
    assert images.dtype == jnp.uint8
    drawn = jax.random.uniform(key)
    brightness = images.astype(jnp.float32).mean(axis=(1, 2, 3))
    state = {"count": state["count"] + 1, "sum": 0.5 * state["sum"] + brightness[0]}
    return state, Info(brightness, labels, drawn, progress)


def start():
    everywhere, _ = runtime.data_parallel()
    state = {"count": jnp.zeros((), jnp.int32), "sum": jnp.zeros(())}
    return jax.device_put(state, everywhere)


def taken(rows, *counts):
    """Runs calls of so many steps each, after 3 that were taken before."""
    step = jax.tree_util.Partial(advance)
    program = stepping.Program(KEY, step, rows, longest=LONGEST)
    batches, first, state, told = rows.batches(3), 3, start(), []
    for count in counts:
        some = list(itertools.islice(batches, count))
        over = [(first + i) / 64 for i in range(count)]
        state, infos = program.run(state, first, some, over)
        assert all(len(x) == count for x in infos.values())
        first += count
        told.append(infos)
    joined = {name: np.concatenate([x[name] for x in told]) for name in told[0]}
    return jax.tree.map(np.asarray, state), joined


@contextlib.contextmanager
def programs(folder):
    """Yields a function that returns the text of each program compiled so far."""
    jax.config.update("jax_dump_ir_to", str(folder))
    try:
        yield lambda: [path.read_text() for path in folder.glob("*compile.mlir")]
    finally:
        jax.config.update("jax_dump_ir_to", "")


def test_steps_are_those_of_a_plain_loop():
    state, told = taken(ROWS, 4)
    expected = start()
    for i, batch in enumerate(itertools.islice(ROWS.batches(3), 4)):
        key = jax.random.fold_in(KEY, 3 + i + 1)
        expected, info = advance(
            key, expected, *map(jnp.asarray, batch), jnp.float32((3 + i) / 64)
        )
        for name, values in info._asdict().items():
            assert float(told[name][i]) == pytest.approx(
                float(jnp.mean(values)), rel=1e-6
            )
    assert state["count"] == 4
    assert float(state["sum"]) == pytest.approx(float(expected["sum"]), rel=1e-6)


@pytest.mark.parametrize("rows", [ROWS, dataclasses.replace(ROWS, on_device=True)])
def test_neither_the_grouping_nor_where_rows_lie_changes_a_bit(rows, tmp_path):
    expected = taken(ROWS, 5)
    with programs(tmp_path) as compiled:
        found = taken(rows, 1, 3, 1)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype and a.tobytes() == b.tobytes()
    # One program for any number of steps.
    assert len([text for text in compiled() if "stablehlo.while" in text]) == 1


def test_weights_that_are_not_trained_are_arguments_of_the_program(tmp_path):
    """As constants they would be folded by XLA, which takes its time."""

    def frozen(key, state, images, labels, progress, *, network):
        state, info = advance(key, state, images, labels, progress)
        seen = network(jnp.full((1, 37), progress))
        return state, info._replace(drawn=info.drawn + jnp.mean(seen))

    variables = {"kernel": jnp.linspace(0.0, 1.0, 37 * 41).reshape(37, 41)}
    network = jax.tree_util.Partial(lambda v, x: x @ v["kernel"], variables)
    step = jax.tree_util.Partial(frozen, network=network)
    program = stepping.Program(KEY, step, ROWS, longest=LONGEST)
    state = start()
    with programs(tmp_path) as compiled:
        program.run(state, 0, list(itertools.islice(ROWS.batches(0), 2)), [0.0, 0.5])
    (text,) = [text for text in compiled() if "stablehlo.while" in text]
    (head,) = [line for line in text.splitlines() if "@main" in line]
    assert "tensor<37x41xf32>" in head
    constants = [line for line in text.splitlines() if "stablehlo.constant" in line]
    assert constants and not any("37x41" in line for line in constants)


@pytest.mark.parametrize("rows", [ROWS, dataclasses.replace(ROWS, on_device=True)])
def test_memory_is_checked_before_the_steps_without_tracing_them_twice(
    rows, monkeypatch
):
    traced = []

    def counted(*arguments):
        traced.append(arguments)
        return advance(*arguments)

    step = jax.tree_util.Partial(counted)
    program, state = stepping.Program(KEY, step, rows, longest=LONGEST), start()
    monkeypatch.setattr(runtime, "free_memory", lambda: 100)
    with pytest.raises(InputError, match="--batch_size=4: a step of this training"):
        program.check_memory(state, rows)
    monkeypatch.undo()
    program.check_memory(state, rows)
    before = len(traced)
    program.run(state, 0, list(itertools.islice(rows.batches(0), 2)), [0.0, 0.5])
    assert len(traced) == before > 0


def test_a_state_that_no_memory_holds_is_refused_and_not_made():
    with pytest.raises(InputError, match="of this size needs .* GB.*give fewer --fea"):
        stepping.initial(lambda x: jnp.tile(x, (1 << 22, 1 << 22)), jnp.zeros(()))
    assert stepping.initial(lambda x: x + 1, jnp.zeros(())) == 1


def test_a_batch_of_more_than_there_is_is_refused():
    with pytest.raises(InputError, match="--batch_size=10: only 9 pictures"):
        dataclasses.replace(ROWS, batch_size=10)


def test_a_batch_must_be_shared_out_evenly(monkeypatch):
    monkeypatch.setattr(jax, "local_device_count", lambda: 3)
    with pytest.raises(InputError, match=r"--batch_size=4: .* over 3 devices"):
        dataclasses.replace(ROWS)


def test_arrays_lie_on_an_accelerator_with_room(monkeypatch):
    assert not stepping.fits_on_device(IMAGES)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    size = IMAGES.nbytes + LABELS.nbytes
    monkeypatch.setattr(runtime, "free_memory", lambda: 4 * size + 4)
    assert stepping.fits_on_device(IMAGES, LABELS)
    assert not stepping.fits_on_device(IMAGES, LABELS, LABELS)
