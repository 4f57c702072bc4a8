"""What an evaluation leaves for a reader: the summary, the tables, the figures."""

import pathlib
from collections.abc import Sequence

from experiments.common import progress, records
from experiments.evaluation import (
    completion_methods,
    embedding_scores,
    evaluation_figures,
    evaluation_run,
    evaluation_tables,
    kept_completions,
)
from inpaint_jax.io import files

_STEPS_SHOWN = 3


def write(
    rows: Sequence[records.Row], plan: evaluation_run.Plan
) -> evaluation_figures.Gallery:
    """Writes summary, tables and figures of all that has been scored.

    Args:
      rows: of `scores.csv`.
      plan: what was evaluated.

    Returns:
      The pictures that the figures are of.
    """
    order = {name: i for i, name in enumerate(completion_methods.NAMES)}
    rows = sorted(rows, key=lambda row: order.get(row["method"], len(order)))
    summary = evaluation_tables.summarise(rows)
    _add_scores_of_sets(summary, rows, plan.output)
    files.write_json(plan.output / "summary.json", summary)
    text = evaluation_tables.page(rows, summary)
    files.write_text(plan.output / "table.md", text)
    print(text)
    progress.say("drawing figures")
    gallery = evaluation_figures.Gallery(plan.output, rows)
    files.make_directory(plan.output / "figures")
    evaluation_figures.write(gallery, crop=plan.crop)
    return gallery


def _add_scores_of_sets(
    summary: evaluation_tables.Summary,
    rows: Sequence[records.Row],
    output: pathlib.Path,
) -> None:
    """Adds what the embeddings of each method's completions say."""
    for method, masks in summary.items():
        for mask, entries in masks.items():
            names = sorted(evaluation_tables.completed(rows, method, mask))
            if len(names) < 2:
                continue
            folders = (
                evaluation_run.completions(output, method, mask),
                evaluation_run.originals(output),
            )
            sets = [kept_completions.read_embeddings(at, names) for at in folders]
            for name, score in embedding_scores.SCORES.items():
                found = score(sets[:1], sets[1])
                entries[name] = {
                    "mean": found["value"],
                    "ci_low": found["low"],
                    "ci_high": found["high"],
                    "n": len(names),
                }


def write_steps(
    gallery: evaluation_figures.Gallery,
    used: Sequence[completion_methods.CompletionMethod],
    plan: evaluation_run.Plan,
) -> None:
    """Follows the searches for a few faces once more, to be seen at their work.

    Args:
      gallery: where the figures go.
      used: the methods, searches among them.
      plan: what was evaluated.
    """
    shown = evaluation_run.read(plan, plan.inputs[:_STEPS_SHOWN], plan.holes[0])
    traces = {
        method.name: [method.follow(case) for case in shown]
        for method in used
        if method.follow is not None
    }
    if traces:
        evaluation_figures.write_steps(gallery, traces)
