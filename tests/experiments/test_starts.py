"""The step at which one search overtakes another, from the traces they left."""

import functools
import json

import pytest

from tests.experiments import launcher


def write(folder, traces, *, mask="of the centre", **changed):
    folder.mkdir()
    lines = [
        json.dumps({"image": name, "step": step, "best_loss": losses})
        for name, trace in traces.items()
        for step, losses in trace
    ]
    (folder / "trace.jsonl").write_text("\n".join(lines) + "\n")
    report = {
        "settings": {"lambda_prior": 0.003} | changed,
        "images": [{"image": name, "mask_sha256": mask} for name in traces],
    }
    (folder / "report.json").write_text(json.dumps(report))
    return folder


@pytest.fixture
def starts(launched):
    def run(baseline, other, *flags, start=launched):
        runs = (f"--baseline={baseline}", f"--other={other}")
        return start("experiments.starts", *runs, *flags)

    return run


@pytest.fixture
def baseline(tmp_path):
    traces = {name: [(500, [0.3, 0.4]), (1000, [0.2, None])] for name in "abc"}
    return write(tmp_path / "baseline", traces)


def test_pictures_that_get_there_are_counted(starts, baseline, environment, tmp_path):
    other = write(
        tmp_path / "other",
        {
            "a": [(10, [0.5, 0.3]), (20, [0.2, 0.3]), (30, [0.1, 0.3])],
            "b": [(10, [0.5, 0.6]), (20, [0.4, 0.3]), (30, [0.3, 0.21])],
            "c": [(10, [0.1, 0.1]), (20, [0.1, 0.1]), (30, [0.1, 0.1])],
        },
    )
    start = functools.partial(launcher.python_m, environment)
    outcome = starts(baseline, other, f"--output={tmp_path}/found.json", start=start)
    assert outcome.returncode == 0, outcome.stderr
    assert "2 of 3" in outcome.stdout and "1000 steps within 30" in outcome.stdout
    assert json.loads((tmp_path / "found.json").read_text()) == {
        "pictures": 3,
        "reached": 2,
        "median_step": 15.0,
        "baseline_steps": 1000,
        "other_steps": 30,
    }


def test_runs_over_other_pictures_are_refused(starts, baseline, tmp_path):
    outcome = starts(baseline, write(tmp_path / "other", {"a": [(10, [0.5])]}))
    assert outcome.returncode == 2
    assert "2 pictures are in one of the runs only" in outcome.stderr
    assert outcome.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"mask": "of the left"}, "a has another mask than"),
        ({"lambda_prior": 0.1}, "its loss is another than"),
    ],
)
def test_runs_of_another_mask_or_loss_are_refused(
    starts, baseline, tmp_path, changed, words
):
    traces = {name: [(10, [0.1])] for name in "abc"}
    outcome = starts(baseline, write(tmp_path / "other", traces, **changed))
    assert outcome.returncode == 2 and words in outcome.stderr
    assert outcome.stderr.count("\n") == 1


def test_runs_that_differ_in_their_steps_alone_are_compared(starts, baseline, tmp_path):
    traces = {name: [(10, [0.1])] for name in "abc"}
    other = write(tmp_path / "other", traces, iterations=10, restarts=2)
    assert starts(baseline, other).returncode == 0


@pytest.mark.parametrize("text", [None, "", "{}\n", "noise\n"])
def test_what_is_no_trace_is_refused(starts, baseline, tmp_path, text):
    folder = tmp_path / "other"
    folder.mkdir()
    if text is not None:
        (folder / "trace.jsonl").write_text(text)
    outcome = starts(baseline, folder)
    assert outcome.returncode == 2
    assert outcome.stderr.startswith("error: ") and "trace.jsonl" in outcome.stderr
    assert outcome.stderr.count("\n") == 1
