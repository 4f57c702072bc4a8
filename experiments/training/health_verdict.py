"""The rules that a generator fit for searching passes, and a sentence for each."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

# Bounds that were set as goals before a generator was trained. What was measured since
# (RESULTS.md, "The released generator"): dlib finds one face in 95 % of real
# pictures; a generator trained without an encoder was 7.0 times as far as the floor and
# the release is 5.2 times, so neither reached 4; their diversity is 0.97 and 0.94; 100
# principal components reconstruct unseen faces at 22.4 dB; the landmarks of completed
# faces are 0.05 off. The distance to training faces is 1.09 of a real face's in the
# release; 0.8 was chosen because it is clearly less than 1.
FACE_SHARE = 0.85
FRECHET_RATIO = 4.0
DIVERSITY_RATIO = 0.85
NEAREST_RATIO = 0.8
RECONSTRUCTION_PSNR, RECONSTRUCTION_NME = 22.0, 0.05

# The largest fraction of pairs of samples that may be copies. A generator of n equally
# likely pictures has one such pair in n, so this asks for more than 20 pictures.
_COPIES = 0.05
# The largest fraction of real faces that may be reference faces too, since CelebA has
# some faces twice.
_OVERLAP = 0.01


class _Rule(NamedTuple):
    figure: dict[str, float]
    bound: float
    least: bool  # whether the figure must be at least the bound, or at most
    form: Callable[[float], str]
    words: str  # {} is the figure and its interval, {bound} the bound
    withheld: str = ""  # why the rule cannot be judged


def judge(
    scores: dict[str, Any], *, trained_on_reference: bool
) -> tuple[list[str], bool]:
    """Judges a generator by its scores, and explains the verdict.

    A rule is passed if the figure keeps its bound; if its interval reaches beyond the
    bound, the sentence says so. A rule is not judged, even if its bound is kept, when
    all samples are copies of a few pictures or the reference contains the real faces.

    Args:
      scores: as `health.json` has them.
      trained_on_reference: whether the generator was trained on the reference faces;
        only then memorisation is judged.

    Returns:
      A sentence for each rule with the figure and the bound, followed by sentences
      without a rule; and whether all rules are passed.
    """
    few = _few_pictures(scores["copies"])
    rules = _rules(scores, few, trained_on_reference)
    verdict, kept = zip(*map(_judged, rules), strict=True)
    accuracy = scores["discriminator"]
    remarks = [
        f"D is right about {_with_interval(accuracy['accuracy_real'], _percent)} of "
        "the real faces and "
        f"{_with_interval(accuracy['accuracy_samples'], _percent)} of the samples."
    ]
    if not trained_on_reference:
        remarks.append("Memorisation was not judged: that needs --train_data.")
    return [*verdict, *remarks], all(kept)


def _rules(scores: dict[str, Any], few: str, trained_on_reference: bool) -> list[_Rule]:
    nearest = scores["nearest"]
    known = ""
    if nearest["real_in_reference"] > _OVERLAP:
        share = _percent(nearest["real_in_reference"])
        known = f"{share} of the real faces are among those to compare with"
    rules = _of_samples(scores, few, known)
    if trained_on_reference:
        rule = _Rule(
            nearest["ratio"],
            NEAREST_RATIO,
            True,
            _number,
            f"distance to the nearest training face {nearest['samples_mean']:.3f}, "
            "{} of an unseen real face's (at least {bound}; less would be "
            "memorisation)",
            few or known,
        )
        rules.append(rule)
    if "reconstruction" in scores:
        rules += _of_reconstruction(scores["reconstruction"], few)
    return rules


def _of_samples(scores: dict[str, Any], few: str, known: str) -> list[_Rule]:
    real = _percent(scores["face_fraction_real"]["value"])
    return [
        _Rule(
            scores["face_fraction"],
            FACE_SHARE,
            True,
            _percent,
            "exactly one face in {} of the samples (at least {bound}; real pictures "
            f"{real})",
            few,
        ),
        _Rule(
            scores["frechet_ratio"],
            FRECHET_RATIO,
            False,
            _number,
            f"Frechet distance of face embeddings {scores['frechet_face']:.4f}, "
            "{} times what real faces have (at most {bound})",
            few or known,
        ),
        _Rule(
            scores["diversity_ratio"],
            DIVERSITY_RATIO,
            True,
            _number,
            f"diversity {scores['diversity']:.3f}, "
            "{} of the real pictures' (at least {bound})",
            few,
        ),
    ]


def _of_reconstruction(scores: dict[str, Any], few: str) -> list[_Rule]:
    return [
        _Rule(
            scores["psnr"],
            RECONSTRUCTION_PSNR,
            True,
            lambda x: f"{x:.1f} dB",
            "unseen faces reconstructed at {} (at least {bound})",
            few,
        ),
        _Rule(
            scores["nme"],
            RECONSTRUCTION_NME,
            False,
            lambda x: f"{x:.3f}",
            "their landmarks {} of the distance between the eyes off (at most {bound})",
            few,
        ),
    ]


def _judged(rule: _Rule) -> tuple[str, bool]:
    """A sentence, and whether the rule is passed."""
    value = rule.figure["value"]
    words = rule.words.format(
        _with_interval(rule.figure, rule.form), bound=rule.form(rule.bound)
    )
    if not math.isfinite(value):
        return f"not judged: there is no figure: {words}.", False
    low, high = rule.figure["low"], rule.figure["high"]
    kept = value >= rule.bound if rule.least else value <= rule.bound
    if kept and rule.withheld:
        return f"not judged: {rule.withheld}: {words}.", False
    worst, best = (low, high) if rule.least else (high, low)
    edge = worst if kept else best
    state = "passed" if kept else "FAILED"
    if not math.isfinite(edge):
        state += ", but its interval is unknown"
    elif kept != (edge >= rule.bound if rule.least else edge <= rule.bound):
        state += f", but the interval reaches {rule.form(edge)}"
    return f"{state}: {words}.", kept


def _few_pictures(copies: float) -> str:
    if not copies > _COPIES:
        return ""
    count = round(1.0 / copies)
    return "all samples are " + (
        "one picture" if count == 1 else f"like those of {count} pictures"
    )


def _with_interval(figure: dict[str, float], form: Callable[[float], str]) -> str:
    return f"{form(figure['value'])} ({form(figure['low'])} to {form(figure['high'])})"


def _percent(x: float) -> str:
    return f"{x:.1%}"


def _number(x: float) -> str:
    return f"{x:.2f}"
