"""Which figures make a generator fit for searching, and what is said of them."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

# What a generator must reach: goals set before one was trained, not statistics. Beside
# them (RESULTS.md, "The released generator"): dlib finds one face in 95 % of real
# pictures; a generator of two players was 7.0 times as far as the floor and the release
# is 5.2 times, so that 4 was reached by neither; their diversity is 0.97 and 0.94; 100
# principal components redraw unseen faces at 22.4 dB; the landmarks of completed faces
# are 0.05 off. The distance to training faces is 1.09 of a real face's in the release;
# for the 0.8 there is no other reason than that it is clearly less than 1.
FACE_SHARE = 0.85
FRECHET_RATIO = 4.0
DIVERSITY_RATIO = 0.85
NEAREST_RATIO = 0.8
RECONSTRUCTION_PSNR, RECONSTRUCTION_NME = 22.0, 0.05

# Of the pairs of samples, how many may be copies. Where n pictures are equally likely
# one pair in n is: what 20 pictures are like says nothing of a generator of faces.
_COPIES = 0.05
_OVERLAP = 0.01  # real faces that may be in the reference too: CelebA has some twice


class _Rule(NamedTuple):
    figure: dict[str, float]
    bound: float
    least: bool  # whether the figure must be at least the bound, or at most
    form: Callable[[float], str]
    words: str  # {} is the figure and its interval, {bound} the bound
    withheld: str = ""  # why it cannot be passed


def judge(
    scores: dict[str, Any], *, trained_on_reference: bool
) -> tuple[list[str], bool]:
    """Puts scores into words.

    A rule is passed if the figure keeps its bound; where its interval does not, the
    sentence says so. A rule that is kept says nothing where all samples are a few
    pictures, or the reference holds the real faces: it is then not judged.

    Args:
      scores: as `health.json` has them.
      trained_on_reference: whether the reference faces are those of the training;
        otherwise being like them is no memorisation.

    Returns:
      A sentence for each rule with the figure and the bound, then those that judge
      nothing, and whether all rules are passed.
    """
    few = _few_pictures(scores["copies"])
    rules = _rules(scores, few, trained_on_reference)
    verdict, kept = zip(*map(_judged, rules), strict=True)
    right = scores["discriminator"]
    told = [
        f"D is right about {_told(right['accuracy_real'], _percent)} of the real faces "
        f"and {_told(right['accuracy_samples'], _percent)} of the samples."
    ]
    if not trained_on_reference:
        told.append("Memorisation was not judged: that needs --train_data.")
    return [*verdict, *told], all(kept)


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


def _of_reconstruction(redrawn: dict[str, Any], few: str) -> list[_Rule]:
    return [
        _Rule(
            redrawn["psnr"],
            RECONSTRUCTION_PSNR,
            True,
            lambda x: f"{x:.1f} dB",
            "unseen faces redrawn at {} (at least {bound})",
            few,
        ),
        _Rule(
            redrawn["nme"],
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
        _told(rule.figure, rule.form), bound=rule.form(rule.bound)
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
        state += ", but nobody knows how surely"
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


def _told(figure: dict[str, float], form: Callable[[float], str]) -> str:
    return f"{form(figure['value'])} ({form(figure['low'])} to {form(figure['high'])})"


def _percent(x: float) -> str:
    return f"{x:.1%}"


def _number(x: float) -> str:
    return f"{x:.2f}"
