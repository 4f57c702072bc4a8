"""Curves are read as they were logged, and drawn where the numbers say."""

import json

import numpy as np
import pytest
from matplotlib import colors

from experiments.common import curves, plots
from inpaint_jax.errors import InputError


def test_what_a_log_lacks_is_left_out(tmp_path):
    log = tmp_path / "metrics.jsonl"
    lines = [{"step": 1, "a": 2.0}, {"step": 2, "b": None}, {"step": 3, "a": 1.0}]
    log.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert curves.read(log, names=["b", "a", "c"]) == {"a": [(1.0, 2.0), (3.0, 1.0)]}


@pytest.mark.parametrize("text", ['{"step": 1', '{"share": 1.0}', "[1]"])
def test_a_damaged_log_is_refused(tmp_path, text):
    log = tmp_path / "metrics.jsonl"
    log.write_text(text)
    with pytest.raises(InputError, match=r"metrics\.jsonl: not the log"):
        curves.read(log, names=["share"])


def test_a_rising_curve_rises_in_its_panel():
    rising, level = [(0, 0.0), (10, 1.0)], [(0, 0.2), (10, 0.2)]
    panels = {"share": {"one": rising}, "loss": {"two": level}}
    image = curves.draw(panels, width=400, height=400)
    ink = np.array(colors.to_rgb(plots.COLOURS[0])) * 255
    found = np.abs(image - ink).max(axis=-1) < 40
    upper, lower = found[40:190], found[240:]  # legends are above the panels
    left, right = (np.nonzero(upper[:, x])[0].mean() for x in (100, 350))
    assert right < left - 60
    left, right = (np.nonzero(lower[:, x])[0].mean() for x in (100, 350))
    assert right == pytest.approx(left, abs=1)
