"""The loop: which key and batch a step gets, what it leaves behind, what it refuses."""

import contextlib
import dataclasses
import itertools
import json
import signal
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.common import stopping
from experiments.training import (
    face_sets,
    keeping,
    stepping,
    training,
)
from inpaint_jax.errors import InputError
from inpaint_jax.io import checkpoints, data, picture_files, prefetching

KEY = jax.random.key(4)
META = {
    "architecture": {"width": 3},
    "crop": 128,
    "settings": {"seed": 0, "rate": 1e-3, "data": "folder:x"},
    "pictures": "0a",
}
EVERY = {"log_every": 2, "save_every": 3, "show_every": 4}
VALUES = np.linspace(0.1, 5.0, 11, dtype=np.float32)
ROWS = stepping.Rows((VALUES,), batch_size=2, seed=6, on_device=False)
ON_DEVICE = dataclasses.replace(ROWS, on_device=True)


class State(NamedTuple):
    step: jax.Array
    sum: jax.Array


class Info(NamedTuple):
    loss: jax.Array
    share: jax.Array


def advance(key, state, batch, progress):
    """Sums up what only this step's key, batch and place give."""
    value = jnp.sum(batch) + jax.random.uniform(key) + progress
    total = 0.9 * state.sum + value
    return State(state.step + 1, total), Info(value, jnp.array([0.2, 0.4, 0.9]))


def losses(steps):
    """The same of each step, by a plain loop."""
    batches = data.batches(len(VALUES), batch_size=2, seed=6, first_step=0)
    return [
        float(VALUES[chosen].sum())
        + float(jax.random.uniform(jax.random.fold_in(KEY, step + 1)))
        + step / steps
        for step, chosen in zip(range(steps), batches, strict=False)
    ]


def start():
    return State(jnp.zeros((), jnp.int32), jnp.zeros(()))


def run(
    folder, steps, *, meta=META, advance=advance, every=EVERY, rows=ROWS, **options
):
    """Trains in a folder, from where it stands."""
    of_run = {n: options.pop(n) for n in ("began", "accepted") if n in options}
    schedule = training.Schedule(steps, **every)
    with checkpoints.opened(folder) as store:
        task = training.Task(
            meta=meta,
            advance=jax.tree_util.Partial(advance),
            networks=lambda state: {"net": {"sum": state.sum}},
            **options,
        )
        this = training.Run(store, folder, schedule, **of_run)
        return training.run(KEY, this, task, start(), rows)


def logged(folder):
    path = folder / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def kept(folder):
    return sorted(int(p.name) for p in (folder / "checkpoints").glob("[0-9]*"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of seven steps, what it returned and what it showed."""
    folder, shown = tmp_path_factory.mktemp("whole"), []

    def show(step, state):
        shown.append((step, jax.tree.map(np.array, state)))

    return folder, run(folder, 7, show=show), shown


def refusal(folder, steps, **options):
    with pytest.raises(InputError) as caught:
        run(folder, steps, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def bits(state):
    return [np.asarray(x).tobytes() for x in state]


def test_each_step_has_its_own_key_batch_and_place(whole):
    _, state, _ = whole
    total = 0.0
    for loss in losses(7):
        total = 0.9 * total + loss
    assert state.step == 7
    assert float(state.sum) == pytest.approx(total, rel=1e-6)


@pytest.mark.parametrize("rows", [ROWS, ON_DEVICE])
@pytest.mark.parametrize("longest", [1, 7])
def test_result_is_the_same_however_steps_are_grouped(whole, tmp_path, longest, rows):
    every = {"log_every": 7, "save_every": 7, "show_every": 7}
    every["call_seconds"] = 1e-9 if longest == 1 else 1e9
    state = run(tmp_path, 7, every=every, rows=rows)
    assert bits(state) == bits(whole[1])
    (line,) = logged(tmp_path)
    assert line["loss"] == pytest.approx(np.mean(losses(7)))


def test_log_has_the_means_of_the_steps_since_the_line_before(whole):
    lines, each = logged(whole[0]), losses(7)
    # Every other step, each checkpoint and the last.
    assert [line["step"] for line in lines] == [2, 3, 4, 6, 7]
    for before, line in zip([0, 2, 3, 4, 6], lines, strict=True):
        assert line.keys() == {"step", "seconds", "loss", "share", "data_wait_fraction"}
        mean = np.mean(each[before : line["step"]])
        assert line["loss"] == pytest.approx(mean, rel=1e-6)
        assert line["share"] == pytest.approx(0.5)
    assert sorted(line["seconds"] for line in lines) == [x["seconds"] for x in lines]


class SlowRows(stepping.Rows):
    def batches(self, first):
        for batch in super().batches(first):
            time.sleep(0.5)
            yield batch


@pytest.mark.parametrize("slow", ["data", "compilation"])
def test_log_tells_which_share_of_the_time_was_spent_on_data(
    tmp_path, monkeypatch, slow
):
    monkeypatch.setattr(prefetching, "prefetch", lambda batches, *, depth: batches)

    def slow_advance(*arguments):
        time.sleep(0.5 if slow == "compilation" else 0.0)
        return advance(*arguments)

    options = {"rows": SlowRows((VALUES,), 2, 6, on_device=False)}
    every = {"log_every": 3, "save_every": 3, "show_every": 3}
    run(
        tmp_path,
        3,
        every=every,
        advance=slow_advance,
        **(options if slow == "data" else {}),
    )
    (share,) = [line["data_wait_fraction"] for line in logged(tmp_path)]
    assert 0.4 < share <= 1.0 if slow == "data" else 0.0 <= share < 0.3


def test_batches_hold_the_rows_of_all_arrays_in_the_order_of_the_data():
    arrays = np.arange(20) ** 2, np.random.default_rng(0).random((20, 3))
    found = stepping.Rows(arrays, 6, 3, on_device=False).batches(2)
    numbers = stepping.Rows(arrays, 6, 3, on_device=True).batches(2)
    order = data.batches(20, batch_size=6, seed=3, first_step=2)
    for (one, two), (rows,), chosen in itertools.islice(
        zip(found, numbers, order, strict=True), 5
    ):
        np.testing.assert_array_equal(one, arrays[0][chosen])
        np.testing.assert_array_equal(two, arrays[1][chosen])
        np.testing.assert_array_equal(rows, chosen)


def test_load_says_what_was_left_out(tmp_path, capsys):
    for i in range(3):
        picture_files.write(tmp_path / f"{i}.png", np.full((8, 8, 3), i, np.uint8))
    picture_files.write(tmp_path / "small.png", np.zeros((3, 9, 3), np.uint8))
    (tmp_path / "1.png").write_bytes(b"")
    faces = face_sets.load(f"folder:{tmp_path}", flag="--data", crop=128, size=8)
    assert len(faces.images) == 2
    _, first, second, last = capsys.readouterr().out.splitlines()
    assert first.startswith("skipped ") and "1.png" in first and "empty" in first
    assert "small.png: 9 x 3 pixels are too few" in second
    assert last == "2 pictures skipped, 2 used"


def test_load_counts_what_is_repeated_in_one_line(tmp_path, capsys):
    np.save(tmp_path / "one.npy", np.zeros((2, 8, 8, 3), np.uint8))
    np.save(tmp_path / "five.npy", np.zeros((6, 8, 8, 3), np.uint8))
    how = {"flag": "--data", "crop": 128, "size": 8}
    faces = face_sets.load(f"array:{tmp_path}/one.npy", **how)
    assert len(faces.images) == 1 and not faces.skipped
    faces = face_sets.load(f"array:{tmp_path}/five.npy", **how)
    assert capsys.readouterr().out.splitlines() == [
        f"reading array:{tmp_path}/one.npy",
        "1 pictures repeat others, used once: 1 is 0",
        f"reading array:{tmp_path}/five.npy",
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
    assert step == 7 and meta.pop("seconds") > 0.0
    assert meta == META
    model = checkpoints.read_model(folder, 7, {"net": {"sum": state.sum}})
    assert model["net"]["sum"] == np.asarray(state.sum)


def test_a_run_that_is_killed_and_goes_on_ends_like_a_whole_one(whole, tmp_path):
    def killed(step, state):
        del state
        if step == 4:
            raise KeyboardInterrupt

    for rows, show in [(ON_DEVICE, killed), (ROWS, None)]:
        # Steps 5 to 7 after it are those after the checkpoint at 3.
        with contextlib.suppress(KeyboardInterrupt):
            state = run(tmp_path, 7, show=show, rows=rows)
        assert kept(tmp_path) == [3] if show else [6, 7]
    assert bits(state) == bits(whole[1])
    found, expected = (
        [(x["step"], x["loss"], x["share"]) for x in logged(folder)]
        for folder in (tmp_path, whole[0])
    )
    assert found == expected


def test_a_run_that_is_killed_while_it_judges_is_judged_when_it_goes_on(tmp_path):
    judged = []

    def judge(networks):
        judged.append(float(networks["net"]["sum"]))
        if len(judged) == 3:  # at the last step
            raise KeyboardInterrupt
        return -judged[-1]

    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, 7, judge=keeping.Judge(judge, "0a"))
    state = run(tmp_path, 7, judge=keeping.Judge(judge, "0a"))
    assert judged[3:] == judged[2:3] == [float(state.sum)]
    step, meta = checkpoints.read_meta(tmp_path / "best")
    assert (step, meta["score"]) == (7, -float(state.sum))
    scores = [line["step"] for line in logged(tmp_path) if "score" in line]
    assert scores == [3, 6, 7]


def test_a_run_is_judged_by_the_same_faces_to_its_end(tmp_path):
    first, other = (keeping.Judge(lambda networks: 1.0, sees) for sees in ("0a", "0b"))
    run(tmp_path, 3, judge=first)
    accepted = []
    options = {"accepted": lambda: accepted.append("new"), "judge": other}
    message = refusal(tmp_path, 7, **options)
    assert message.startswith("--validation: ") and str(tmp_path / "best") in message
    assert not accepted and kept(tmp_path) == [3]
    run(tmp_path, 6)  # whoever judges nothing compares nothing
    assert refusal(tmp_path, 7, judge=other) == message
    run(tmp_path, 7, judge=first)
    assert checkpoints.read_meta(tmp_path / "best")[1]["validation"] == "0a"
    (tmp_path / "best").rename(tmp_path / "chosen by others")
    run(tmp_path, 9, judge=other)
    step, meta = checkpoints.read_meta(tmp_path / "best")
    assert (step, meta["validation"], meta["score"]) == (9, "0b", 1.0)


def test_a_run_that_is_stopped_saves_its_step_and_goes_on(
    whole, tmp_path, monkeypatch, capsys
):
    class Signalled(stepping.Rows):
        def batches(self, first):
            stopping.asked.append(signal.SIGTERM)  # while the first step is taken
            return super().batches(first)

    judged = []

    def judge(networks):
        judged.append(float(networks["net"]["sum"]))
        return 0.0

    with monkeypatch.context() as patch:
        patch.setattr(stopping, "asked", [])
        rows = Signalled((VALUES,), 2, 6, on_device=False)
        for _ in range(2):  # and the second time before any step
            with pytest.raises(stopping.Stopped):
                run(tmp_path, 7, judge=keeping.Judge(judge, "0a"), rows=rows)
    assert kept(tmp_path) == [1] and not judged
    assert "stopped after step 1, which is saved" in capsys.readouterr().out
    state = run(tmp_path, 7, judge=keeping.Judge(judge, "0a"))
    assert bits(state) == bits(whole[1]) and len(judged) == 3
    assert [line["step"] for line in logged(tmp_path) if "loss" in line] == [
        *(1, 2, 3, 4, 6, 7)
    ]


def test_a_run_in_parts_takes_the_steps_of_a_whole_one(tmp_path):
    def without_place(key, state, batch, progress):
        return advance(key, state, batch, 0.0 * progress)

    for steps in (2, 3, 7):  # each part ends on a checkpoint
        state = run(tmp_path / "parts", steps, advance=without_place)
    expected = run(tmp_path / "whole", 7, advance=without_place)
    assert bits(state) == bits(expected)
    assert [line["step"] for line in logged(tmp_path / "parts")] == [2, 3, 4, 6, 7]


def test_what_was_logged_after_the_checkpoint_is_logged_again(whole, tmp_path):
    run(tmp_path, 3)
    with open(tmp_path / "metrics.jsonl", "a") as log:
        log.write('{"step": 4, "loss": 0.0}\n{"step": 5, "lo')
    run(tmp_path, 7)
    found = [(line["step"], line["loss"]) for line in logged(tmp_path)]
    expected = [(line["step"], line["loss"]) for line in logged(whole[0])]
    assert found[2:] == expected[2:] and [step for step, _ in found[:2]] == [2, 3]


def test_a_run_that_is_done_takes_no_step(whole):
    folder, state, _ = whole
    log = (folder / "metrics.jsonl").read_text()

    def never(*_):
        raise AssertionError("a step was taken")

    again = run(folder, 7, advance=never)
    assert again.step == 7 and float(again.sum) == float(state.sum)
    assert (folder / "metrics.jsonl").read_text() == log and kept(folder) == [6, 7]


def limited(folder, seconds, **options):
    every = {"log_every": 1, "save_every": 100, "show_every": 100}
    every |= {"seconds": seconds, "save_seconds": 1e9}
    return run(folder, 1_000_000, every=every, **options)


def test_a_run_that_is_given_seconds_ends_and_says_so(tmp_path, capsys):
    began = time.monotonic()
    state = limited(tmp_path, 1.5)
    assert 1.5 <= time.monotonic() - began < 30.0
    lines = logged(tmp_path)
    assert 1 <= lines[-1]["step"] == int(state.step) < 1_000_000
    assert lines[-1]["seconds"] >= 1.5 and kept(tmp_path) == [int(state.step)]
    out = capsys.readouterr().out
    assert f"training: {int(state.step)} of {int(state.step)} steps (100 %)" in out
    assert f"training: done after step {int(state.step)}" in out
    # What it took counts when it is started again: it is over.
    again = limited(tmp_path, 1.5)
    assert bits(again) == bits(state) and logged(tmp_path) == lines
    # With more time it goes on; how much was over at each step follows the clock.
    _, meta = checkpoints.read_meta(tmp_path)
    further = limited(tmp_path, meta["seconds"] + 0.2)
    assert int(further.step) > int(state.step)
    assert logged(tmp_path)[len(lines)]["seconds"] >= meta["seconds"] - 0.1


def test_time_before_the_run_counts_but_a_step_is_taken(tmp_path):
    state = limited(tmp_path, 5.0, began=time.monotonic() - 60.0)
    assert state.step == 1
    assert logged(tmp_path)[-1]["seconds"] >= 60.0


def test_how_much_is_over_is_the_larger_share_of_steps_and_seconds():
    schedule = training.Schedule(10, **EVERY)
    assert [schedule.progress(n, 99.0) for n in (0, 5, 10, 11)] == [0.0, 0.5, 1.0, 1.0]
    schedule = training.Schedule(10, **EVERY, seconds=20.0)
    assert schedule.progress(5, 4.0) == 0.5 and schedule.progress(5, 15.0) == 0.75
    assert schedule.progress(0, 30.0) == 1.0


def test_checkpoints_by_the_clock(tmp_path):
    shown = []
    every = {"log_every": 4, "save_every": 100, "show_every": 100, "save_seconds": 0.0}
    run(tmp_path, 7, every=every, show=lambda step, state: shown.append(step))
    # Each call ends with one: the first is a step, to learn how long one takes.
    assert shown == sorted(set(shown)) and shown[0] == 1 and shown[-1] == 7
    assert kept(tmp_path) == shown[-2:]
    assert [line["step"] for line in logged(tmp_path)] == shown


@pytest.mark.parametrize(
    ("group", "name", "value", "before"),
    [
        ("settings", "rate", 2e-3, "0.001"),
        ("settings", "new", 5, "None"),
        ("architecture", "width", 4, "3"),
    ],
)
def test_other_settings_are_refused(whole, group, name, value, before):
    meta = {**META, group: {**META[group], name: value}}
    message = refusal(whole[0], 7, meta=meta)
    assert message.startswith(f"--{name}={value}:") and f"has {before};" in message


def test_pictures_may_have_moved_but_not_changed(whole):
    moved = {**META, "settings": {**META["settings"], "data": "folder:y"}}
    assert run(whole[0], 7, meta=moved).step == 7
    message = refusal(whole[0], 7, meta={**moved, "pictures": "0b"})
    assert message.startswith("--data=folder:y: holds other pictures")


def test_fewer_steps_than_were_taken_are_refused(whole):
    assert refusal(whole[0], 5).startswith(
        "--steps=5: the run in --run_dir has taken 7"
    )


def test_a_refused_run_is_not_accepted_and_a_run_that_goes_on_is(whole, tmp_path):
    calls = []
    refusal(whole[0], 5, accepted=lambda: calls.append("refused"))
    run(whole[0], 7, accepted=lambda: calls.append("done"))
    run(tmp_path, 2, accepted=lambda: calls.append("new"))
    assert calls == ["done", "new"]


EIGHT = {"log_every": 8, "save_every": 8, "show_every": 8, "call_seconds": 1e9}


@pytest.mark.parametrize("value", [np.nan, np.inf, 8e13])
@pytest.mark.parametrize("bad", [1, 2, 6])
def test_a_metric_that_runs_away_stops_the_run_and_names_its_step(tmp_path, value, bad):
    def diverging(key, state, batch, progress):
        state, info = advance(key, state, batch, progress)
        share = jnp.where(state.step == bad, info.share.at[1].set(value), info.share)
        return state, info._replace(share=share)

    message = refusal(tmp_path, 7, advance=diverging, every=EIGHT, rates="--rate")
    assert message.startswith("share is ") and f" at step {bad}" in message
    assert "lower --rate" in message
    assert kept(tmp_path) == [] and logged(tmp_path) == []


def test_a_metric_is_compared_with_the_lines_before(tmp_path):
    def jumping(key, state, batch, progress):
        state, info = advance(key, state, batch, progress)
        jump = jnp.where(state.step == 13, 9e4, 1.0)
        return state, info._replace(share=jump * info.share)

    every = {"log_every": 1, "save_every": 99, "show_every": 99}
    message = refusal(tmp_path, 20, advance=jumping, every=every)
    assert message.startswith("share is 4.5e+04 at step 13 (its median of 12 lines")


@pytest.mark.parametrize("value", [np.nan, -np.inf, -2e5])
def test_weights_that_ran_away_are_not_saved(tmp_path, value):
    def diverging(key, state, batch, progress):
        state, info = advance(key, state, batch, progress)
        return state._replace(sum=jnp.where(state.step == 6, value, state.sum)), info

    message = refusal(tmp_path, 7, advance=diverging)
    assert message.startswith("a weight of the net is ") and "step 6" in message
    assert kept(tmp_path) == [3]
