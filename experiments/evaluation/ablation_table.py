"""An ablation as tables and in words."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from experiments.common import reporting
from experiments.evaluation import embedding_scores, scoring
from experiments.evaluation.ablation_pairs import (
    BASELINE,
    METRICS,
    Columns,
    Comparison,
    Comparisons,
    Scores,
)
from experiments.search import budgets

_DIGITS = {
    "psnr_hole": 2,
    "ssim_hole": 4,
    "identity": 3,
    "eye_detail": 3,
    "sharpness": 3,
}  # others: 4


class Plan(budgets.Plan):
    """What a method had to spend.

    Attributes:
      label: its name in tables.
      flags: of its search.
    """

    label: str
    flags: str


Plans = dict[str, Plan]
"""{method: plan}"""

Set = tuple[embedding_scores.Score, embedding_scores.Score]
Sets = dict[str, dict[tuple[str, str], Set]]
"""{score: {(method, mask): (its value, its difference to the baseline's)}}"""


def markdown(
    scores: Scores,
    comparisons: Comparisons,
    sets: Sets,
    plans: Plans,
    *,
    equal: str,
) -> str:
    """Writes the tables, and what they say in words.

    Args:
      scores: of all methods.
      comparisons: from `ablation_pairs.compare`.
      sets: of all methods.
      plans: what they had to spend.
      equal: what all methods had as much of, "time" or "steps".
    """
    parts = [
        f"# Landmark terms against none, at equal {equal}\n",
        _how(scores, comparisons),
    ]
    for mask in dict.fromkeys(mask for _, mask in scores):
        parts += [f"## Mask {mask}\n", _table(mask, scores, comparisons, plans)]
        parts += [*_sentences(mask, comparisons, plans), *_caveats(mask, scores)]
        parts += [*_agreement(mask, scores), ""]
    for name, scores_of_sets in sets.items():
        less = "less" if name in embedding_scores.LESS_IS_BETTER else "more"
        how = f"{_SETS[name]} {less.capitalize()} is better. {_OF_SETS}\n"
        parts += [f"## {name}\n", how, _sets(scores_of_sets, plans)]
    parts += ["## Time\n", _BUDGET[equal] + _USED, _times(scores, plans)]
    return "\n".join(parts)


_BUDGET = {
    "time": f"All methods have as many restarts, and as many steps as fit in the time "
    f"of `{BASELINE}`\nby what a step took before the runs. ",
    "steps": "All methods have as many restarts and steps. ",
}
_USED = "What was used holds ranking and blending too.\n"


def _how(scores: Scores, comparisons: Comparisons) -> str:
    seeds, images = next(iter(scores.values()))["loss"].shape
    less, more = (", ".join(m for m in METRICS if METRICS[m] == s) for s in (-1, 1))
    return (
        f"{images} faces, {seeds} seeds. In each cell the mean; its difference to "
        f"`{BASELINE}` with a 95 % bootstrap interval over faces, those of a face "
        "averaged over the seeds first; and the p-value of a two-sided exact sign test "
        f"over faces, corrected by Holm's method over the "
        f"{len(comparisons) // len(METRICS)} comparisons of a metric (methods x "
        "masks). Bold, and called established below: p is below 0.05 and 0 outside of "
        f"the interval. Less is better of {less}; more of {more}.\n"
    )


_SETS = {
    "frechet_face": "Frechet distance between the face embeddings of the completions "
    "and those of the originals (0: the same set).",
    "same_gender": "Share of completions that look of the gender that the original "
    "looks of, to one classifier.",
}
_OF_SETS = (
    f"The mean over the seeds; its difference to `{BASELINE}` and the 95 % interval of "
    "that over faces. Bold: the interval leaves out 0."
)


def _sets(found: dict[tuple[str, str], Set], plans: Plans) -> str:
    masks = list(dict.fromkeys(mask for _, mask in found))
    lines = [["method", *masks]]
    for method, plan in plans.items():
        cells = []
        for mask in masks:
            own, apart = found[method, mask]
            text = _number(own["value"], ".4f")
            if method != BASELINE:
                text += f"; {_number(apart['value'], '+.4f')} {_between(apart, 4)}"
                if apart["low"] > 0 or apart["high"] < 0:
                    text = f"**{text}**"
            cells.append(text)
        lines.append([plan["label"], *cells])
    return reporting.table(lines) + "\n"


def _table(
    mask: str,
    scores: Scores,
    comparisons: Comparisons,
    plans: Plans,
) -> str:
    lines: list[list[Any]] = [
        ["method", "restarts", "iterations", "s a face", *METRICS]
    ]
    for method, plan in plans.items():
        columns = scores[method, mask]
        seconds = f"{columns['seconds'].mean():.2f}"
        cells = [_cell(m, method, mask, columns, comparisons) for m in METRICS]
        name = plan["label"]
        lines.append([name, plan["restarts"], plan["iterations"], seconds, *cells])
    return reporting.table(lines) + "\n"


def _cell(
    metric: str,
    method: str,
    mask: str,
    columns: Columns,
    comparisons: Comparisons,
) -> str:
    digits = _DIGITS.get(metric, 4)
    if method == BASELINE:
        values = columns[metric]
        seen = np.isfinite(values)
        return f"{np.mean(values[seen]):.{digits}f}" if seen.any() else "-"
    found = comparisons[method, mask, metric]
    text = f"{_number(found.mean, f'.{digits}f')}; {_difference(metric, found)}"
    return f"**{text}**" if found.real else text


def _difference(metric: str, found: Comparison) -> str:
    digits = _DIGITS.get(metric, 4)
    if not np.isfinite(found.difference):
        return "-"
    between = _between(found._asdict(), digits)
    return f"{found.difference:+.{digits}f} {between}, p {_p(found.p)}"


def _between(found: Mapping[str, Any], digits: int) -> str:
    """Returns the interval of a difference; of one face there is none."""
    low, high = (_number(found[end], f"+.{digits}f") for end in ("low", "high"))
    return f"[{low}, {high}]"


def _number(value: float, form: str) -> str:
    return format(value, form) if np.isfinite(value) else "-"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _sentences(mask: str, comparisons: Comparisons, plans: Plans) -> Iterator[str]:
    for method in (name for name in plans if name != BASELINE):
        better, worse, unclear = [], [], []
        for metric, sign in METRICS.items():
            found = comparisons[method, mask, metric]
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
        yield f"- {plans[method]['label']}: {'; '.join(said)}."


def _caveats(mask: str, scores: Scores) -> Iterator[str]:
    for metric in METRICS:
        all_of = [c[metric] for (_, m), c in scores.items() if m == mask]
        pairs = np.isfinite(all_of).all(axis=0)
        if not pairs.all():
            yield (
                f"- {metric}: {(~pairs).sum()} of {pairs.size} pairs of face and seed "
                f"({(~pairs).any(axis=0).sum()} faces) have no number and are left out "
                "of it, and of nothing else."
            )


def _agreement(mask: str, scores: Scores) -> Iterator[str]:
    """How far the landmark errors by two detectors tell the same of the methods."""
    first, second = (
        np.concatenate(
            [
                (columns[metric] - scores[BASELINE, mask][metric]).ravel()
                for (method, m), columns in scores.items()
                if m == mask and method != BASELINE
            ]
        )
        for metric in ("nme", "nme_independent")
    )
    found = scoring.agreement(first, second)
    if not np.isfinite([found["spearman"], found["same_order"]]).all():
        return
    yield (
        f"- nme and nme_independent: over {found['faces']} differences to {BASELINE} "
        f"(each method, seed and face) their rank correlation is "
        f"{found['spearman']:.2f}, and they put {found['same_order']:.0%} of the pairs "
        "of differences in the same order."
    )


def _times(scores: Scores, plans: Plans) -> str:
    lines: list[list[Any]] = [
        ["method", "flags", "ms a step and face", "iterations", "planned s a face"]
        + ["used s a face", "searches", "diverged", "no face found"]
    ]
    for method, plan in plans.items():
        all_of = [c for (v, _), c in scores.items() if v == method]
        seconds, loss, faces = (
            np.concatenate([c[name].ravel() for c in all_of])
            for name in ("seconds", "loss", "faces_found")
        )
        lines.append(
            [plan["label"], f"`{plan['flags']}`"]
            + [_measured(1e3 * plan["step_seconds"], 1), plan["iterations"]]
            + [_measured(plan["planned_seconds"], 2), f"{seconds.mean():.2f}"]
            + [len(loss)]
            + [int(np.isnan(loss).sum()), int((faces == 0).sum())]
        )
    return reporting.table(lines) + "\n"


def _measured(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if value else "-"
