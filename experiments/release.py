r"""Trains all networks of a release, one after the other, in a given time.

python -m experiments.release --labels_only --data=zip:faces.zip \
    --validation=zip:validation.zip --labels=labels.npz
python -m experiments.release --data=zip:faces.zip --validation=zip:validation.zip \
    --labels=labels.npz --minutes=10 --output_dir=outputs/release
python -m experiments.release --install=outputs/release

The training needs no dlib, and writes each network as soon as it is trained. The same
command resumes an interrupted run with the missing networks.
"""

import dataclasses
import pathlib

from experiments.common import (
    application,
    options,
    output_folders,
    progress,
    reporting,
)
from experiments.common.options import option
from experiments.training import (
    face_sets,
    materials,
    release_files,
    release_install,
    release_job,
    release_labels,
    release_plan,
)
from inpaint_jax.errors import InputError, naming
from inpaint_jax.io import data, files


@dataclasses.dataclass(frozen=True)
class Release:
    """The faces, labels and folders of a release."""

    validation: str | None = option(
        None, "Held-out faces, by which each network's best checkpoint is chosen."
    )
    labels: str | None = option(
        None, "File.npz with the landmarks of all faces, from --labels_only."
    )
    labels_only: bool = option(
        False, "Train nothing, but label all faces with dlib and write --labels."
    )
    run_dir: str = option(
        "runs/release", "Folder of checkpoints, from which training resumes."
    )
    output_dir: str = option(
        "outputs/release", "Folder to write the networks to, eight files in all."
    )
    only: tuple[str, ...] = option(
        (),
        f"Networks to train: some of {','.join(release_plan.SHARES)}; by default all.",
    )
    install: str | None = option(
        None,
        "Train nothing, but copy the networks of this --output_dir into the package.",
    )


_KINDS = (Release, release_job.Wanted)
options.define(Release, heading="Release")
options.define(release_job.Wanted, heading="Networks and their training")


def main() -> int:
    """Trains, labels or installs; returns the exit code."""
    asked, wanted = options.read(Release), options.read(release_job.Wanted)
    if asked.install:
        options.check_used(*_KINDS, beside="install", used=())
        for line in release_install.install(asked.install):
            progress.say(line)
        return 0
    began = release_plan.now()
    if asked.labels_only:
        return _label(asked, wanted)
    if wanted.precision == "auto":
        precision = release_plan.usual_precision()
        wanted = dataclasses.replace(wanted, precision=precision)
    only, labels = _networks(asked.only), options.given(asked, "labels")
    output_dir = options.folder(asked, "output_dir")
    release_files.check_same(output_dir, options.stored(wanted))
    with naming("--labels", labels):
        files.check_file(labels, give="make it with --labels_only")
    given, networks = options.given(asked, "run_dir"), tuple(release_plan.SHARES)
    # Each network has its own folder and lock: others may be trained beside it.
    with output_folders.claim(
        given, flag="run_dir", folders=networks, shared=True
    ) as run_dir:
        job = _job(asked, wanted, labels, run_dir, output_dir)
        release_plan.run(job, only=only, began=began)
    return 1 if job.faces.skipped or job.validation.skipped else 0


def _job(
    asked: Release,
    wanted: release_job.Wanted,
    labels: str,
    run_dir: pathlib.Path,
    output_dir: pathlib.Path,
) -> release_job.Job:
    """Reads what all networks learn from, which must be as when the release began."""
    faces, validation = _faces(asked, wanted)
    landmarks = release_labels.read(labels, faces, validation, crop=wanted.crop)
    points = (landmarks.faces, landmarks.validation)
    read = {
        "data": materials.Material(wanted.data, faces.digest),
        "validation": materials.Material(str(asked.validation), validation.digest),
        **materials.of_arrays("labels", labels, points),
    }
    release_files.check_materials(output_dir, read)
    folders = ("run_dir", "output_dir", "labels")
    about = {
        "command": application.command(*_KINDS, without=folders),
        "images": len(faces.images),
        "environment": reporting.environment(),
    }

    def accepted() -> None:
        release_files.begin(output_dir, options.stored(wanted), read)
        application.write_effective_flags(run_dir, *_KINDS)

    return release_job.Job(
        *(wanted, faces, validation, landmarks, run_dir, output_dir, about, accepted)
    )


def _label(asked: Release, wanted: release_job.Wanted) -> int:
    path = options.output_file(asked, "labels", ours=release_labels.is_ours)
    faces = _faces(asked, wanted)
    with naming("--labels", path):
        release_labels.write(path, *faces, crop=wanted.crop)
    return 0


def _faces(asked: Release, wanted: release_job.Wanted) -> list[data.Faces]:
    """Reads the training faces and the validation faces."""
    return [
        face_sets.load(
            options.given(each, name),
            flag=f"--{name}",
            crop=wanted.crop,
            size=wanted.image_size,
        )
        for each, name in ((wanted, "data"), (asked, "validation"))
    ]


def _networks(given: tuple[str, ...]) -> tuple[str, ...]:
    for name in given:
        if name not in release_plan.SHARES:
            raise InputError(
                f"--only={name}: no such network; give some of "
                f"{', '.join(release_plan.SHARES)}."
            )
    return given or tuple(release_plan.SHARES)


if __name__ == "__main__":
    application.run(main)
