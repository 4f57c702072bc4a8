"""Pairs are formed, averaged and left out as the table says."""

import numpy as np
import pytest

from experiments.evaluation import ablation_pairs, ablation_table

SEEDS, IMAGES = 2, 20
COLUMNS = (*ablation_pairs.METRICS, "loss", "seconds", "faces_found")


def apart(value, low, high):
    return {"value": value, "low": low, "high": high}


SETS = {
    "frechet_face": {
        ("none", "centre"): (apart(0.05, 0.04, 0.06), apart(0.0, 0.0, 0.0)),
        ("better", "centre"): (apart(0.02, 0.01, 0.03), apart(-0.03, -0.04, -0.02)),
        ("same", "centre"): (apart(0.06, 0.05, 0.07), apart(0.01, -0.01, 0.03)),
    }
}


def scores():
    """Faces differ a lot; "better" changes all alike, "same" changes them by chance."""
    rng = np.random.default_rng(0)
    faces = {c: rng.normal(5.0, 2.0, (SEEDS, IMAGES)) for c in COLUMNS}
    rng = np.random.default_rng(1)
    return {
        ("none", "centre"): faces,
        ("better", "centre"): {
            c: v + rng.normal(-0.5, 0.1, v.shape) for c, v in faces.items()
        },
        ("same", "centre"): {
            c: v + rng.normal(0.0, 0.1, v.shape) for c, v in faces.items()
        },
    }


def budgets(found):
    names = dict.fromkeys(name for name, _ in found)
    plan = {"restarts": 4, "iterations": 9, "step_seconds": 0.01}
    plan |= {"planned_seconds": 0.09}
    return {name: plan | {"label": name, "flags": f"--{name}=1"} for name in names}


def markdown(found):
    return ablation_table.markdown(
        found, ablation_pairs.compare(found), SETS, budgets(found), equal="time"
    )


def test_a_difference_is_the_mean_over_faces_of_means_over_seeds():
    found = scores()
    values, baseline = (found[n, "centre"]["nme"] for n in ("better", "none"))
    values[0, 3] = np.nan  # one seed of a face
    values[:, 7] = np.nan  # a whole face
    got = ablation_pairs.compare(found)["better", "centre", "nme"]
    of_face = np.nanmean((values - baseline)[:, np.arange(IMAGES) != 7], axis=0)
    assert got.images == IMAGES - 1
    assert got.difference == pytest.approx(of_face.mean())
    assert got.mean == pytest.approx(np.nanmean(values))
    error = of_face.std() / np.sqrt(len(of_face))
    assert got.low == pytest.approx(got.difference - 1.96 * error, abs=0.4 * error)


def test_p_is_corrected_over_variants_and_masks_of_one_metric():
    got = ablation_pairs.compare(scores())
    # 20 of 20 faces fell; two comparisons.
    assert got["better", "centre", "nme"].p == pytest.approx(2 * 2 / 2**20)


def test_only_real_differences_are_real():
    got = ablation_pairs.compare(scores())
    for metric in ablation_pairs.METRICS:
        assert got["better", "centre", metric].real
        assert not got["same", "centre", metric].real


def test_a_metric_without_a_number_claims_nothing():
    found = scores()
    found["better", "centre"]["nme"][:] = np.nan
    got = ablation_pairs.compare(found)["better", "centre", "nme"]
    assert got.images == 0 and got.p == 1.0 and not got.real
    assert f"- nme: 40 of 40 pairs of face and seed ({IMAGES} faces)" in markdown(found)


def test_what_cannot_be_computed_is_a_stroke():
    found = scores()
    for columns in found.values():
        columns["nme"][:] = np.nan
    text = markdown(found)
    assert "nan" not in text and "rank correlation" not in text
    (row,) = (x for x in text.splitlines() if x.startswith("| better | 4 |"))
    assert "| -; - |" in row
    assert "rank correlation" in markdown(scores())


def test_the_interval_of_one_face_is_a_stroke():
    found = {
        key: {name: values[:, :1] for name, values in columns.items()}
        for key, columns in scores().items()
    }
    text = markdown(found)
    assert "nan" not in text and "[-, -], p " in text


def test_words_say_which_way_is_better():
    text = markdown(scores())
    (better,) = (line for line in text.splitlines() if line.startswith("- better"))
    good, bad = better.split("; worse than none in ")
    assert "better than none in nme (" in good and "identity" in good
    # All fell, and of these more is better.
    assert "psnr_hole" in bad and "ssim_hole" in bad and "established" not in better
    (same,) = (line for line in text.splitlines() if line.startswith("- same"))
    names = ", ".join(ablation_pairs.METRICS)
    assert same == f"- same: no difference is established in {names}."


def test_sets_of_faces_are_compared_by_the_intervals_of_their_differences():
    text = markdown(scores()).partition("## frechet_face")[2]
    assert "Less is better." in text
    assert "| none | 0.0500 |" in text
    assert "| better | **0.0200; -0.0300 [-0.0400, -0.0200]** |" in text
    assert "| same | 0.0600; +0.0100 [-0.0100, +0.0300] |" in text


def test_lost_searches_and_faces_are_counted():
    found = scores()
    found["same", "centre"]["loss"][0, :3] = np.nan
    found["same", "centre"]["faces_found"][:] = 1
    found["same", "centre"]["faces_found"][1, :2] = 0
    (row,) = (x for x in markdown(found).splitlines() if "`--same=1`" in x)
    assert row.endswith("| 40 | 3 | 2 |")
