"""Fits and measures a classifier of an apparent attribute, by face embeddings."""

import csv
import math
from typing import Any, NamedTuple

import numpy as np
import scipy
from jaxtyping import Bool, Float

from experiments.common import statistics
from inpaint_jax.errors import InputError, reason
from inpaint_jax.evaluation import attributes
from inpaint_jax.evaluation.attributes import Classifier
from inpaint_jax.io import data, files
from inpaint_jax.landmarks import embedding

RIDGES = (1e-5, 1e-4, 1e-3, 1e-2)
"""Weights of the squared norm that are tried."""

_VALUES = {"1": True, "0": False}

Embeddings = Float[np.ndarray, "faces dimensions"]
Labels = Bool[np.ndarray, " faces"]


class Labelled(NamedTuple):
    """Faces of which an attribute is known.

    Attributes:
      embeddings: one row for each face.
      labels: whether it has the attribute.
    """

    embeddings: Embeddings
    labels: Labels


def read_labels(path: str, attribute: str) -> dict[str, bool]:
    """Reads which pictures have an attribute.

    Args:
      path: a CSV file with columns "id" (name of a picture without its ending) and the
        attribute's name: 1, 0, or empty if not known.
      attribute: the column.

    Returns:
      {id: whether it has the attribute} of those that are known.

    Raises:
      InputError: the file cannot be read, has other columns or values, says both of a
        picture, or nothing of any.
    """
    try:
        rows = list(csv.DictReader(files.read_text(path).splitlines()))
    except (OSError, ValueError, csv.Error) as error:
        raise InputError(
            f"--labels={path}: cannot be read ({reason(error)}); give a CSV file with "
            f"the columns id,{attribute}."
        ) from error
    found: dict[str, bool] = {}
    for line, row in enumerate(rows, start=2):
        name, value = row.get("id"), row.get(attribute)
        if name is None or value is None or value not in ("", *_VALUES):
            raise InputError(
                f"--labels={path}: line {line} has id={name} and {attribute}={value}; "
                f"give the columns id,{attribute} with 1, 0, or nothing."
            )
        if value and found.setdefault(name, _VALUES[value]) != _VALUES[value]:
            raise InputError(
                f"--labels={path}: has both {attribute}=1 and {attribute}=0 for the "
                f"picture {name}; leave one."
            )
    if not found:
        raise InputError(
            f"--labels={path}: says of no picture whether it has the attribute; give "
            f"the columns id,{attribute} with 1 or 0."
        )
    return found


def check_held_out(validation: data.Faces, training: data.Faces) -> None:
    """Checks that a classifier is not judged by faces that it was fitted to.

    Args:
      validation: the held-out faces.
      training: the others.

    Raises:
      InputError: a held-out picture is among the others, be its name another.
    """
    known = {image.tobytes() for image in training.images}
    seen = sum(image.tobytes() in known for image in validation.images)
    if seen:
        raise InputError(
            f"{seen} of its {len(validation.images)} faces are among those of --data; "
            "give faces that are not."
        )


def labelled(
    faces: data.Faces, labels: dict[str, bool], *, crop: int, flag: str
) -> Labelled:
    """Computes the embeddings of the faces that have labels.

    Args:
      faces: pictures with their names.
      labels: from `read_labels`.
      crop: side of the pictures in CelebA pixels.
      flag: that names the faces.

    Raises:
      InputError: fewer than two faces of a kind have a label.
    """
    ids = [name.rpartition("/")[2].partition(".")[0] for name in faces.names]
    rows = [row for row, name in enumerate(ids) if name in labels]
    known = np.array([labels[ids[row]] for row in rows], bool)
    if min(np.sum(known), np.sum(~known)) < 2:
        raise InputError(
            f"{flag}: {np.sum(known)} of {len(ids)} faces are labelled 1 and "
            f"{np.sum(~known)} are labelled 0; two of each are needed at least."
        )
    return Labelled(embedding.embed(faces.images[rows], crop=crop), known)


def fit(faces: Labelled, *, ridge: float) -> Classifier:
    """Fits a logistic regression.

    Args:
      faces: embeddings and labels.
      ridge: weight of the squared norm of the weights beside the mean loss.
    """
    x = np.asarray(faces.embeddings, np.float64)
    sign = np.where(faces.labels, 1.0, -1.0)

    def loss(parameters: Float[np.ndarray, " parameters"]) -> tuple[float, Any]:
        weights, bias = parameters[:-1], parameters[-1]
        margin = sign * (x @ weights + bias)
        slope = -sign * scipy.special.expit(-margin) / len(x)
        value = np.mean(np.logaddexp(0.0, -margin)) + ridge * np.sum(weights**2)
        return float(value), np.append(slope @ x + 2.0 * ridge * weights, slope.sum())

    start = np.zeros(x.shape[1] + 1)
    found = scipy.optimize.minimize(
        loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 2000}
    )
    return Classifier(found.x[:-1].astype(np.float32), found.x[-1:].astype(np.float32))


def choose(faces: Labelled, validation: Labelled) -> tuple[Classifier, float]:
    """Returns the classifier whose loss on held-out faces is least, and its ridge.

    Args:
      faces: training faces.
      validation: the held-out ones.
    """
    best, chosen, of = math.inf, None, 0.0
    for ridge in RIDGES:
        classifier = fit(faces, ridge=ridge)
        p = attributes.probability(classifier, validation.embeddings)
        p = np.clip(np.where(validation.labels, p, 1.0 - p), 1e-7, 1.0)
        value = float(-np.mean(np.log(p)))
        if value < best:
            best, chosen, of = value, classifier, ridge
    assert chosen is not None
    return chosen, of


def measure(classifier: Classifier, faces: Labelled) -> dict[str, dict[str, float]]:
    """Returns the share of right answers with its 95 % interval, of all and each kind.

    Args:
      classifier: what is measured.
      faces: on which it was not fitted.
    """
    right = (attributes.probability(classifier, faces.embeddings) > 0.5) == faces.labels
    return {
        "accuracy": statistics.proportion(right),
        "accuracy_of_1": statistics.proportion(right[faces.labels]),
        "accuracy_of_0": statistics.proportion(right[~faces.labels]),
    }
