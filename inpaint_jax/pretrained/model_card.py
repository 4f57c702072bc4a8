"""The model card of a release, written from its `model.json` alone."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

NAME = "MODEL_CARD.md"

_WHAT = {
    "generator": "draws a face of a latent vector (G)",
    "discriminator": "tells real faces from drawn ones (D)",
    "encoder": "guesses a latent vector from a face (E)",
    "net": "places 68 landmarks on a damaged face, and says how sure it is of each",
    "ce": "completes a damaged face in one pass (context encoder)",
    "gfc": "completes a damaged face in one pass (generative face completion)",
    "male": "says whether a face looks male to those who labelled CelebA",
}
_UNSAID = "model.json does not say"


def text(name: str, description: Mapping[str, Any]) -> str:
    """Returns the card, in Markdown.

    Args:
      name: of the release, for the title.
      description: what `model.json` holds.
    """
    sections = _sections(description)
    return "\n\n".join([f"# {name}", *sections]) + "\n"


def _sections(description: Mapping[str, Any]) -> Iterator[str]:
    about: Mapping[str, Any] = description.get("provenance", {})
    networks = description.get("sha256", {})
    yield "Made from `model.json`, which holds all of it; do not edit."
    yield "## Networks\n\n" + _bullets(
        f"`{name}.safetensors`, half precision: {_WHAT.get(name, 'a network')}"
        for name in networks
    )
    architecture = _words(description.get("architecture", {}))
    yield f"Architecture: {architecture}; crop of {description.get('crop')} pixels."
    trainings = _trainings(about)
    first = next(iter(trainings.values()))
    yield "## Data\n\n" + _bullets(
        [_data({**first, **about}), f"{first.get('images', '?')} pictures"]
    )
    for name, training in trainings.items():
        heading = f"## Training of the {name}" if name else "## Training"
        yield f"{heading}\n\n" + _bullets(_training(training))
    yield f"## Scores\n\n{_bullets(_scores(about))}"
    yield f"## Licence\n\n{about.get('licence', _UNSAID)}"
    yield "## Known biases\n\n" + _bullets(about.get("known_biases", [_UNSAID]))


def _trainings(about: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """Returns {name of a network: its provenance}; one of no name if they share it."""
    named = {name: each for name, each in about.items() if isinstance(each, Mapping)}
    return {n: each for n, each in named.items() if "command" in each} or {"": about}


def _data(about: Mapping[str, Any]) -> str:
    return str(about.get("data") or about.get("settings", {}).get("data", _UNSAID))


def _training(about: Mapping[str, Any]) -> Iterator[str]:
    for command in about.get("commands") or [about.get("command", _UNSAID)]:
        yield f"`{command}`"
    for name in ("steps", "images_seen", "seconds", "first stage", "parser", "note"):
        if name in about:
            yield f"{name.replace('_', ' ')}: {about[name]}"
    environment = about.get("environment", {})
    versions = environment.get("versions", {})
    yield (
        f"commit {environment.get('commit')}, JAX {versions.get('jax')}, Python "
        f"{environment.get('python')}, on {environment.get('device')}"
    )


def _scores(about: Mapping[str, Any]) -> Iterator[str]:
    scores = dict(about.get("scores", {}))
    for name, training in _trainings(about).items():
        if "validation_score" in training:
            what = f"{name}'s checkpoint" if name else "checkpoint"
            score = training["validation_score"]
            scores[f"score of the {what} on validation faces"] = score
    for name, value in scores.items():
        yield f"{name.replace('_', ' ')}: {_words(value)}"
    if not scores:
        yield _UNSAID


def _words(value: Any) -> str:
    if isinstance(value, Mapping):
        each = (f"{k.replace('_', ' ')} {_words(v)}" for k, v in value.items())
        return ", ".join(each)
    return f"{value:.4g}" if isinstance(value, float) else json.dumps(value).strip('"')


def _bullets(lines: Any) -> str:
    return "\n".join(f"- {line}" for line in lines)
