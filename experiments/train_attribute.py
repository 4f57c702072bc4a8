r"""Fits the classifier by which completions are asked whether they look as before.

python -m experiments.train_attribute --data=folder:faces[:8500] \
    --validation=folder:faces[8500:9000] --labels=labels.csv --export=outputs/attributes
"""

import dataclasses

from experiments.common import application, options, progress, reporting
from experiments.common.options import option
from experiments.training import attribute_training, face_sets
from inpaint_jax.errors import naming
from inpaint_jax.io import data
from inpaint_jax.pretrained import attribute_classifier, release_folders


@dataclasses.dataclass(frozen=True)
class Attribute:
    """The attribute, the faces and their labels."""

    attribute: str = option("male", "Column of --labels: the attribute.")
    data: str | None = option(
        None, "Training faces, as --data of experiments.train, with names as in CelebA."
    )
    validation: str | None = option(
        None, "Held-out faces, by which the strength of the regularisation is chosen."
    )
    labels: str | None = option(
        None, "CSV file with a column id, the names without their endings, and 1 or 0."
    )
    crop: int = option(
        128, "Side of the faces in CelebA pixels, as of the generator.", least=16
    )
    image_size: int = option(64, "Height and width of the faces.", least=16, most=256)
    export: str | None = option(None, "Folder to write the classifier to.")


options.define(Attribute, heading="Attribute")


def main() -> int:
    """Fits and writes one classifier; returns the exit code."""
    wanted = options.read(Attribute)
    for name in ("data", "validation"):
        options.given(wanted, name)
    path, output = options.given(wanted, "labels"), options.given(wanted, "export")
    with naming("--export", output):
        release_folders.check_replaceable(output, [wanted.attribute])
    labels = attribute_training.read_labels(path, wanted.attribute)
    read, parts = _faces(wanted), {}
    for name, faces in read.items():
        progress.say(f"embedding {len(faces.images)} faces")
        parts[name] = attribute_training.labelled(
            faces, labels, crop=wanted.crop, flag=f"--{name}"
        )
    classifier, ridge = attribute_training.choose(*parts.values())
    scores = attribute_training.measure(classifier, parts["validation"])
    attribute_classifier.export(
        output,
        wanted.attribute,
        classifier,
        crop=wanted.crop,
        provenance={
            "command": application.command(Attribute, without=("export",)),
            "data": wanted.data,
            "images": len(parts["data"].labels),
            "environment": reporting.environment(),
            "ridge": ridge,
            "scores": {f"{name} on validation faces": n for name, n in scores.items()},
        },
    )
    right = scores["accuracy"]
    progress.say(
        f"{right['value']:.1%} [{right['low']:.1%}, {right['high']:.1%}] of "
        f"{len(parts['validation'].labels)} held-out faces are right; wrote {output}"
    )
    return 1 if any(faces.skipped for faces in read.values()) else 0


def _faces(wanted: Attribute) -> dict[str, data.Faces]:
    """Reads the training faces and the held-out ones, by the names of their flags."""
    found = {
        name: face_sets.load(
            options.given(wanted, name),
            flag=f"--{name}",
            crop=wanted.crop,
            size=wanted.image_size,
        )
        for name in ("data", "validation")
    }
    with naming("--validation", wanted.validation):
        attribute_training.check_held_out(found["validation"], found["data"])
    return found


if __name__ == "__main__":
    application.run(main)
