"""Variants of a search against a baseline, in pairs, as tables and in words.

Images are the independent units: differences of an image are first averaged over the
seeds. Intervals are bootstrapped over images, p-values are of an exact sign test, and
Holm's correction is over all comparisons of a metric.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from experiments.common import statistics
from experiments.evaluation import scoring

BASELINE = "none"
METRICS = {
    "nme": -1,
    "nme_independent": -1,
    "psnr_hole": 1,
    "ssim_hole": 1,
    "identity": -1,
}
"""What is compared, and whether more of it is better (1) or less (-1)."""

Columns = dict[str, Float[np.ndarray, "seeds images"]]
Scores = dict[tuple[str, str], Columns]
"""{(variant, mask): {column: values}}"""

_DIGITS = {"psnr_hole": 2, "ssim_hole": 4, "identity": 3}  # others: 4


class Comparison(NamedTuple):
    """A variant against the baseline.

    Attributes:
      mean: of the variant, over the seeds and images that both have a number for.
      difference: of the means.
      low: end of its 95 % interval.
      high: the other end.
      p: of the sign test, corrected.
      images: how many it rests on.
    """

    mean: float
    difference: float
    low: float
    high: float
    p: float
    images: int

    @property
    def real(self) -> bool:
        """Whether the interval and the corrected test both leave out 0."""
        return self.p < 0.05 and not self.low <= 0.0 <= self.high


Comparisons = dict[tuple[str, str, str], Comparison]
"""{(variant, mask, metric): comparison}"""


def compare(scores: Scores) -> Comparisons:
    """Compares all variants with the baseline, for each mask and metric.

    Args:
      scores: the baseline's among them.
    """
    found = {}
    for metric in METRICS:
        rows = {
            key: _paired(columns[metric], scores[BASELINE, key[1]][metric])
            for key, columns in scores.items()
            if key[0] != BASELINE
        }
        p = [statistics.sign_test(differences) for _, differences in rows.values()]
        corrected = statistics.holm(np.array(p))
        for (key, (mean, differences)), value in zip(
            rows.items(), corrected, strict=True
        ):
            found[*key, metric] = _comparison(mean, differences, float(value))
    return found


def markdown(
    scores: Scores,
    comparisons: Comparisons,
    budgets: dict[str, dict[str, Any]],
    *,
    equal: str,
) -> str:
    """Writes the tables, and what they say in words.

    Args:
      scores: of all variants.
      comparisons: from `compare`.
      budgets: {variant: "label", "flags", "restarts", "iterations",
        "step_seconds" and "planned_seconds"}.
      equal: what all variants had as much of, "time" or "steps".
    """
    parts = [
        f"# Landmark terms against none, at equal {equal}\n",
        _how(scores, comparisons),
    ]
    for mask in dict.fromkeys(mask for _, mask in scores):
        parts += [f"## Mask {mask}\n", _table(mask, scores, comparisons, budgets)]
        parts += [*_sentences(mask, comparisons, budgets), *_caveats(mask, scores)]
        parts += [_agreement(mask, scores), ""]
    parts += ["## Time\n", _BUDGET[equal] + _USED, _times(scores, budgets)]
    return "\n".join(parts)


_BUDGET = {
    "time": f"All variants have as many restarts, and as many steps as fit in the time "
    f"of `{BASELINE}`\nby what a step took before the runs. ",
    "steps": "All variants have as many restarts and steps. ",
}
_USED = "What was used holds ranking and blending too.\n"


def _how(scores, comparisons):
    seeds, images = next(iter(scores.values()))["loss"].shape
    less, more = (", ".join(m for m in METRICS if METRICS[m] == s) for s in (-1, 1))
    return (
        f"{images} faces, {seeds} seeds. In each cell the mean; its difference to "
        f"`{BASELINE}` with a 95 % bootstrap interval over faces, those of a face "
        "averaged over the seeds first; and the p-value of a two-sided exact sign test "
        f"over faces, corrected by Holm's method over the "
        f"{len(comparisons) // len(METRICS)} comparisons of a metric (variants x "
        "masks). Bold, and called established below: p is below 0.05 and 0 outside of "
        f"the interval. Less is better of {less}; more of {more}.\n"
    )


def _paired(values, baseline):
    """Mean over the pairs, and the difference of each image that has one."""
    paired = np.isfinite(values) & np.isfinite(baseline)
    seen = paired.any(axis=0)
    differences = np.subtract(values, baseline, out=np.zeros_like(values), where=paired)
    of_image = differences.sum(axis=0)[seen] / paired.sum(axis=0)[seen]
    return float(values[paired].mean()) if seen.any() else np.nan, of_image


def _comparison(mean, differences, p):
    if not len(differences):
        return Comparison(mean, np.nan, np.nan, np.nan, p, 0)
    found = statistics.interval(differences, np.random.default_rng(0))
    return Comparison(
        mean, found["mean"], found["low"], found["high"], p, len(differences)
    )


def _table(mask, scores, comparisons, budgets):
    lines = [["variant", "restarts", "iterations", "s a face", *METRICS]]
    for variant, budget in budgets.items():
        columns = scores[variant, mask]
        seconds = f"{columns['seconds'].mean():.2f}"
        cells = [_cell(m, variant, mask, columns, comparisons) for m in METRICS]
        name = budget["label"]
        lines.append([name, budget["restarts"], budget["iterations"], seconds, *cells])
    return _rows(lines)


def _cell(metric, variant, mask, columns, comparisons):
    digits = _DIGITS.get(metric, 4)
    if variant == BASELINE:
        values = columns[metric]
        seen = np.isfinite(values)
        return f"{np.mean(values[seen]) if seen.any() else np.nan:.{digits}f}"
    found = comparisons[variant, mask, metric]
    text = f"{found.mean:.{digits}f}; {_difference(metric, found)}"
    return f"**{text}**" if found.real else text


def _difference(metric, found):
    digits = _DIGITS.get(metric, 4)
    return (
        f"{found.difference:+.{digits}f} [{found.low:+.{digits}f}, "
        f"{found.high:+.{digits}f}], p {_p(found.p)}"
    )


def _p(value):
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _sentences(mask, comparisons, budgets):
    for variant in (name for name in budgets if name != BASELINE):
        better, worse, unclear = [], [], []
        for metric, sign in METRICS.items():
            found = comparisons[variant, mask, metric]
            if not found.real:
                unclear.append(metric)
            else:
                side = better if sign * found.difference > 0 else worse
                side.append(f"{metric} ({_difference(metric, found)})")
        said = [
            f"{words} {', '.join(metrics)}"
            for words, metrics in (
                (f"better than {BASELINE} in", better),
                (f"worse than {BASELINE} in", worse),
                ("no difference is established in", unclear),
            )
            if metrics
        ]
        yield f"- {budgets[variant]['label']}: {'; '.join(said)}."


def _caveats(mask, scores):
    for metric in METRICS:
        all_of = [c[metric] for (_, m), c in scores.items() if m == mask]
        pairs = np.isfinite(all_of).all(axis=0)
        if not pairs.all():
            yield (
                f"- {metric}: {(~pairs).sum()} of {pairs.size} pairs of face and seed "
                f"({(~pairs).any(axis=0).sum()} faces) have no number and are left out "
                "of it, and of nothing else."
            )


def _agreement(mask, scores):
    """How far the landmark errors by two detectors tell the same of the variants."""
    first, second = (
        np.concatenate(
            [
                (columns[metric] - scores[BASELINE, mask][metric]).ravel()
                for (variant, m), columns in scores.items()
                if m == mask and variant != BASELINE
            ]
        )
        for metric in ("nme", "nme_independent")
    )
    found = scoring.agreement(first, second)
    return (
        f"- nme and nme_independent: over {found['faces']} differences to {BASELINE} "
        f"(each variant, seed and face) their rank correlation is "
        f"{found['spearman']:.2f}, and they put {found['same_order']:.0%} of the pairs "
        "of differences in the same order."
    )


def _times(scores, budgets):
    lines = [
        ["variant", "flags", "ms a step and face", "iterations", "planned s a face"]
        + ["used s a face", "searches", "diverged", "no face found"]
    ]
    for variant, budget in budgets.items():
        all_of = [c for (v, _), c in scores.items() if v == variant]
        seconds, loss, faces = (
            np.concatenate([c[name].ravel() for c in all_of])
            for name in ("seconds", "loss", "faces_found")
        )
        lines.append(
            [budget["label"], f"`{budget['flags']}`"]
            + [f"{1e3 * budget['step_seconds']:.1f}", budget["iterations"]]
            + [f"{budget['planned_seconds']:.2f}", f"{seconds.mean():.2f}", len(loss)]
            + [int(np.isnan(loss).sum()), int((faces == 0).sum())]
        )
    return _rows(lines)


def _rows(lines):
    head, *body = ["| " + " | ".join(map(str, line)) + " |" for line in lines]
    return "\n".join([head, "|" + " --- |" * len(lines[0]), *body]) + "\n"
