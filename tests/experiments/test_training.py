"""The loop: which key and batch a step gets, what it leaves behind, what it refuses."""

import itertools
import json
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import training
from inpaint_jax import checkpoints, data, files
from inpaint_jax.errors import InputError

KEY = jax.random.key(4)
META = {
    "architecture": {"width": 3},
    "crop": 128,
    "settings": {"seed": 0, "rate": 1e-3, "data": "folder:x"},
}
EVERY = {"log_every": 2, "save_every": 3, "show_every": 4}


class State(NamedTuple):
    step: jax.Array
    sum: jax.Array


class Info(NamedTuple):
    loss: jax.Array
    share: jax.Array


@jax.jit
def advance(key, state, batch):
    """Sums up what only this step's key and batch give."""
    value = batch[0] + jax.random.uniform(key)
    total = 0.9 * state.sum + value
    return State(state.step + 1, total), Info(value, jnp.array([0.2, 0.4, 0.9]))


def batches(first):
    return ((np.full(2, step, np.float32),) for step in itertools.count(first))


def start():
    return State(jnp.zeros((), jnp.int32), jnp.zeros(()))


def run(folder, steps, *, meta=META, advance=advance, batches=batches, **options):
    """Trains in a folder, from where it stands."""
    with checkpoints.opened(folder) as store:
        first, state = training.resume(store, start(), meta=meta, steps=steps)
        return training.run(
            KEY,
            state,
            batches(first),
            first=first,
            schedule=training.Schedule(steps, **EVERY),
            store=store,
            run_dir=folder,
            meta=meta,
            advance=advance,
            networks=lambda state: {"net": {"sum": state.sum}},
            **options,
        )


def logged(folder):
    return [json.loads(x) for x in (folder / "metrics.jsonl").read_text().splitlines()]


def kept(folder):
    return sorted(int(p.name) for p in (folder / "checkpoints").glob("[0-9]*"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of seven steps, what it returned and what it showed."""
    folder, shown = tmp_path_factory.mktemp("whole"), []
    state = run(folder, 7, show=lambda step, state: shown.append((step, state)))
    return folder, state, shown


def refusal(folder, steps, **options):
    with pytest.raises(InputError) as caught:
        run(folder, steps, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_each_step_has_its_own_key_and_the_next_batch(whole):
    _, state, _ = whole
    total = 0.0
    for step in range(1, 8):
        key = jax.random.fold_in(KEY, step)
        total = 0.9 * total + (step - 1) + float(jax.random.uniform(key))
    assert state.step == 7
    assert float(state.sum) == pytest.approx(total, rel=1e-6)


def test_log_has_the_means_of_every_other_step_and_of_the_last(whole):
    lines = logged(whole[0])
    assert [line["step"] for line in lines] == [2, 4, 6, 7]
    for line in lines:
        assert line.keys() == {"step", "seconds", "loss", "share", "data_share"}
        key = jax.random.fold_in(KEY, line["step"])
        expected = line["step"] - 1 + float(jax.random.uniform(key))
        assert line["loss"] == pytest.approx(expected)
        assert line["share"] == pytest.approx(0.5)
    assert sorted(line["seconds"] for line in lines) == [x["seconds"] for x in lines]


@pytest.mark.parametrize("slow", ["data", "step"])
def test_log_tells_which_share_of_the_time_was_spent_on_data(whole, tmp_path, slow):
    del whole  # by now everything is compiled

    def slow_batches(first):
        for batch in batches(first):
            time.sleep(0.1 if slow == "data" else 0.0)
            yield batch

    def slow_advance(*arguments):
        time.sleep(0.1 if slow == "step" else 0.0)
        return advance(*arguments)

    run(tmp_path, 2, batches=slow_batches, advance=slow_advance)
    (share,) = [line["data_share"] for line in logged(tmp_path)]
    assert 0.5 < share <= 1.0 if slow == "data" else 0.0 <= share < 0.3


def test_batches_hold_the_rows_of_all_arrays_in_the_order_of_the_data():
    arrays = np.arange(20) ** 2, np.random.default_rng(0).random((20, 3))
    options = {"batch_size": 6, "seed": 3}
    found = training.batches(*arrays, first=2, **options)
    order = data.batches(20, first_step=2, **options)
    for (one, two), chosen in itertools.islice(zip(found, order, strict=True), 5):
        np.testing.assert_array_equal(one, arrays[0][chosen])
        np.testing.assert_array_equal(two, arrays[1][chosen])


def test_load_says_what_was_left_out(tmp_path, capsys):
    for i in range(3):
        files.write_picture(tmp_path / f"{i}.png", np.full((8, 8, 3), i, np.uint8))
    files.write_picture(tmp_path / "small.png", np.zeros((3, 9, 3), np.uint8))
    (tmp_path / "1.png").write_bytes(b"")
    faces = training.load(f"folder:{tmp_path}", crop=128, size=8)
    assert len(faces.images) == 2
    first, second, last = capsys.readouterr().out.splitlines()
    assert first.startswith("skipped ") and "1.png" in first and "empty" in first
    assert second.startswith("skipped small.png: too small")
    assert last == "2 pictures skipped, 2 used"


def test_load_counts_what_is_repeated_in_one_line(tmp_path, capsys):
    np.save(tmp_path / "one.npy", np.zeros((2, 8, 8, 3), np.uint8))
    np.save(tmp_path / "five.npy", np.zeros((6, 8, 8, 3), np.uint8))
    faces = training.load(f"array:{tmp_path}/one.npy", crop=128, size=8)
    assert len(faces.images) == 1 and not faces.skipped
    faces = training.load(f"array:{tmp_path}/five.npy", crop=128, size=8)
    assert capsys.readouterr().out.splitlines() == [
        "1 pictures repeat others, used once: 1 is 0",
        "5 pictures repeat others, used once: 1 is 0, 2 is 0, 3 is 0, ...",
    ]


def test_every_fourth_state_and_the_last_are_shown(whole):
    shown = whole[2]
    assert [step for step, _ in shown] == [4, 7]
    assert [int(state.step) for _, state in shown] == [4, 7]


def test_checkpoints_hold_state_networks_and_meta(whole):
    folder, state, _ = whole
    assert kept(folder) == [6, 7]  # and 3, which two newer ones have pushed out
    step, meta = checkpoints.read_meta(folder)
    assert (step, meta) == (7, META)
    model = checkpoints.read_model(folder, 7, {"net": {"sum": state.sum}})
    assert model["net"]["sum"] == np.asarray(state.sum)


def test_a_run_in_parts_ends_like_a_whole_one(whole, tmp_path):
    for steps in (2, 3, 7):  # 2 and 3 end on a checkpoint, as all do
        state = run(tmp_path, steps)
    expected = whole[1]
    assert [x.tobytes() for x in map(np.asarray, state)] == [
        x.tobytes() for x in map(np.asarray, expected)
    ]
    # The last step of each part is logged, as of any run.
    assert [line["step"] for line in logged(tmp_path)] == [2, 3, 4, 6, 7]


def test_what_was_logged_after_the_checkpoint_is_logged_again(whole, tmp_path):
    run(tmp_path, 3)
    with open(tmp_path / "metrics.jsonl", "a") as log:
        log.write('{"step": 4, "loss": 0.0}\n{"step": 5, "lo')
    run(tmp_path, 7)
    found = [(line["step"], line["loss"]) for line in logged(tmp_path)]
    expected = [(line["step"], line["loss"]) for line in logged(whole[0])]
    # Line 3 is that of the first part's last step.
    assert [found[0], *found[2:]] == expected and found[1][0] == 3


def test_a_run_that_is_done_takes_no_step(whole):
    folder, state, _ = whole
    log = (folder / "metrics.jsonl").read_text()

    def never(*_):
        raise AssertionError("a step was taken")

    again = run(folder, 7, advance=never)
    assert again.step == 7 and float(again.sum) == float(state.sum)
    assert (folder / "metrics.jsonl").read_text() == log and kept(folder) == [6, 7]


@pytest.mark.parametrize(
    ("group", "name", "value", "before"),
    [
        ("settings", "rate", 2e-3, "0.001"),
        ("settings", "data", "folder:y", "folder:x"),
        ("settings", "new", 5, "None"),
        ("architecture", "width", 4, "3"),
    ],
)
def test_other_settings_are_refused(whole, group, name, value, before):
    meta = {**META, group: {**META[group], name: value}}
    message = refusal(whole[0], 7, meta=meta)
    assert message.startswith(f"--{name}={value}:") and f"has {before};" in message


def test_fewer_steps_than_were_taken_are_refused(whole):
    assert refusal(whole[0], 5).startswith(
        "--steps=5: the run in --run_dir has taken 7"
    )


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_metric_that_is_not_finite_stops_the_run(tmp_path, value):
    def diverging(key, state, batch):
        state, info = advance(key, state, batch)
        return state, info._replace(share=info.share.at[1].set(value))

    message = refusal(tmp_path, 7, advance=diverging)
    assert "share" in message and "step 2" in message
    assert kept(tmp_path) == [] and logged(tmp_path) == []


def test_weights_that_are_not_finite_are_not_saved(tmp_path):
    def diverging(key, state, batch):
        state, info = advance(key, state, batch)
        return state._replace(sum=jnp.where(state.step == 6, jnp.nan, state.sum)), info

    message = refusal(tmp_path, 7, advance=diverging)
    assert "a weight of the net" in message and "step 6" in message
    assert kept(tmp_path) == [3]
