"""Trains everything that the package ships, one network after the other, by the clock.

python -m experiments.release --labels_only --data=zip:faces.zip \
    --validation=zip:validation.zip --labels=labels.npz
python -m experiments.release --data=zip:faces.zip --validation=zip:validation.zip \
    --labels=labels.npz --minutes=10 --output_dir=outputs/release
python -m experiments.release --install=outputs/release

The training needs no dlib, and writes each network as soon as it is done. Started
again, it goes on with what is missing.
"""

import pathlib

from absl import flags

from experiments.common import application, options
from experiments.training import (
    gan_training,
    release_files,
    release_networks,
    release_plan,
    training,
)
from inpaint_jax.errors import InputError
from inpaint_jax.io import files
from inpaint_jax.models import dcgan

_DATA = flags.DEFINE_string("data", None, "Faces to learn from, see experiments.train.")
_VALIDATION = flags.DEFINE_string(
    "validation", None, "Other faces, to choose each network's best checkpoint by."
)
_LABELS = flags.DEFINE_string(
    "labels", None, "File.npz with the landmarks of all faces, from --labels_only."
)
_LABELS_ONLY = flags.DEFINE_bool(
    "labels_only", False, "Train nothing, but label the faces with dlib into --labels."
)
_MINUTES = flags.DEFINE_float(
    "minutes", 10.0, "For all networks, compilation and writing included.", 0.01
)
_RUN_DIR = flags.DEFINE_string(
    "run_dir", "runs/release", "Folder of checkpoints, from which it goes on."
)
_OUTPUT = flags.DEFINE_string(
    "output_dir",
    "outputs/release",
    "Where the networks are written, eight files in all.",
)
_ONLY = flags.DEFINE_list(
    "only", None, f"Some of {','.join(release_plan.SHARES)}; by default all."
)
_INSTALL = flags.DEFINE_string(
    "install",
    None,
    "Train nothing, but put the networks of this --output_dir into the package.",
)
_SIZE = flags.DEFINE_integer("image_size", 64, "Height and width: 64 or 128.")
_CROP = flags.DEFINE_integer("crop", 128, "Side of the crop in CelebA pixels.", 16, 178)
_SCALE = flags.DEFINE_float(
    "width",
    1.0,
    "Of all networks, as a share of the release's numbers of channels.",
    1e-3,
    4.0,
)
_BATCH = flags.DEFINE_integer("batch_size", 256, "Images a step.", lower_bound=16)
_SEED = flags.DEFINE_integer("seed", 0, "Of everything.", 0, 2**32 - 1)
_PRECISION = flags.DEFINE_enum(
    "precision",
    None,
    ["float32", "bfloat16"],
    "Of the convolutions of G, D and E; by default bfloat16 on accelerators.",
)


options.define(gan_training.Recipe, module="experiments.release")


def main() -> int:
    """Trains, labels or installs; returns the exit code."""
    application.check_numbers(_MINUTES, _SCALE)
    if _INSTALL.value:
        for line in release_files.install(_INSTALL.value):
            print(line)
        return 0
    only = tuple(_ONLY.value or release_plan.SHARES)
    for name in only:
        if name not in release_plan.SHARES:
            raise InputError(
                f"--only={name}: no such network; give some of "
                f"{', '.join(release_plan.SHARES)}."
            )
    try:
        dcgan.Architecture(image_size=_SIZE.value)
    except ValueError as error:
        raise InputError(f"--{error}.") from error
    began = release_plan.now()
    faces, validation = _load(_DATA), _load(_VALIDATION)
    if _LABELS_ONLY.value:
        release_files.label(
            application.given(_LABELS), faces, validation, crop=_CROP.value
        )
        return 0
    wanted = release_networks.Wanted(
        data=application.given(_DATA),
        minutes=_MINUTES.value,
        image_size=_SIZE.value,
        crop=_CROP.value,
        width=_SCALE.value,
        batch_size=_BATCH.value,
        seed=_SEED.value,
        precision=_PRECISION.value or release_plan.usual_precision(),
        recipe=options.read(gan_training.Recipe),
    )
    landmarks = release_files.read_labels(
        application.given(_LABELS), faces, validation, crop=_CROP.value
    )
    run_dir = files.make_directory(_RUN_DIR.value)
    output_dir = pathlib.Path(files.make_directory(_OUTPUT.value))
    release_plan.check_same(wanted, output_dir)
    application.write_effective_flags(run_dir)
    release_plan.run(
        wanted,
        faces,
        validation,
        landmarks,
        run_dir=run_dir,
        output_dir=output_dir,
        only=only,
        began=began,
        command=application.command(without=("run_dir", "output_dir", "labels")),
    )
    return 1 if faces.skipped or validation.skipped else 0


def _load(flag):
    return training.load(application.given(flag), crop=_CROP.value, size=_SIZE.value)


if __name__ == "__main__":
    application.run(main)
