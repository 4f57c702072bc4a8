"""Tables of an evaluation: means, intervals, and what is missing."""

import math

import numpy as np
import pytest

from experiments.evaluation import evaluation_tables, scoring

MASKS = ("centre", "random80")


def row(method, mask, image, rng, **changed):
    values = {name: float(rng.uniform(1, 2)) for name in scoring.COLUMNS}
    values |= {"faces_found": 1.0, "seconds": 0.5, "failed": 0.0}
    return {"method": method, "mask": mask, "image": image, **values, **changed}


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    lost = {name: math.nan for name in scoring.COLUMNS} | {"failed": 1.0}
    found = [
        row("si", mask, f"{i}", rng, psnr=10.0 + i, faces_found=float(i))
        for mask in MASKS
        for i in range(6)
    ]
    found[0] |= {"nme": math.nan, "nme_independent": math.nan}
    found += [row("pm", "centre", f"{i}", rng) for i in range(3)]
    return found + [row("pm", "random80", f"{i}", rng, **lost) for i in range(3)]


@pytest.fixture(scope="module")
def summary(rows):
    return evaluation_tables.summarise(rows)


def test_means_are_of_each_method_and_mask(summary):
    entry = summary["si"]["centre"]["psnr"]
    assert entry["mean"] == 12.5 and entry["n"] == 6
    assert 10.0 < entry["ci_low"] < 12.5 < entry["ci_high"] < 15.0
    assert summary["pm"]["centre"]["seconds"]["mean"] == 0.5


def test_missing_values_leave_their_metric_only(summary):
    assert summary["si"]["centre"]["nme"]["n"] == 5
    assert summary["si"]["centre"]["ssim"]["n"] == 6


def test_faces_are_counted_where_there_is_exactly_one(summary):
    assert summary["si"]["centre"]["one_face"]["mean"] == pytest.approx(1 / 6)


def test_who_gave_up_has_no_scores(rows, summary):
    assert summary["pm"]["random80"]["psnr"]["n"] == 0
    assert summary["pm"]["random80"]["failed"]["mean"] == 1.0
    page = evaluation_tables.page(rows, summary)
    assert "pm could not do its work on 3 at random80" in page


def test_tables_have_the_thesiss_shape_and_its_figures_apart(rows, summary):
    page = evaluation_tables.page(rows, summary)
    lines = page.splitlines()
    start = lines.index("### PSNR in dB, whole image (thesis, Table 2)")
    header = [cell.strip() for cell in lines[start + 2].strip("|").split("|")]
    assert header[:3] == ["mask", "si", "pm"] and "ours (thesis)" in header
    centre = [cell.strip() for cell in lines[start + 4].strip("|").split("|")]
    assert centre[0] == "centre" and centre[1].startswith("12.5 [")
    assert centre[2].endswith("n = 3")
    assert centre[header.index("ours (thesis)")] == "21.1"
    assert "other protocols" in page


def test_what_all_methods_completed_is_compared_too(rows, summary):
    page = evaluation_tables.page(rows, summary)
    assert "## The 3 images that all methods completed" in page


def test_lost_faces_and_agreement_are_told(rows, summary):
    page = evaluation_tables.page(rows, summary)
    assert "finds no face in 1 of the originals (0)" in page
    assert "rank correlation" in page
    lost = [row | {"nme": math.nan} for row in rows]
    page = evaluation_tables.page(lost, summary)
    assert "rank correlation" not in page and "nan" not in page
