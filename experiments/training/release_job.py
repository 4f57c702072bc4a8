"""The options of a release, and the inputs for the training of each network."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

from experiments.common.options import option
from experiments.training import gan_recipe, release_labels, training
from inpaint_jax.errors import InputError
from inpaint_jax.io import checkpoints, data
from inpaint_jax.models import dcgan

_ENDLESS = 1_000_000_000
# Number of checkpoints in the training of one network.
_CHECKPOINTS = 4


@dataclasses.dataclass(frozen=True)
class Wanted:
    """The data and the hyperparameters of a release's networks."""

    data: str = option("", "Training faces, as --data of experiments.train.")
    minutes: float = option(
        10.0,
        "Total minutes for all networks; compilation and writing count.",
        least=0.01,
    )
    image_size: int = option(
        64, "Height and width in pixels: 4 times a power of two, at least 16."
    )
    crop: int = option(128, "Side of the crop in CelebA pixels.", least=16, most=178)
    width: float = option(
        1.0,
        "Factor on the numbers of channels of all networks.",
        least=1e-3,
        most=4.0,
    )
    batch_size: int = option(256, "Number of images in a batch.", least=16)
    seed: int = option(0, "Seed of all random choices.", least=0, most=2**32 - 1)
    precision: Literal["auto", "float32", "bfloat16"] = option(
        "auto",
        "Type of the products in the convolutions of generator and discriminator; "
        "auto: bfloat16 on accelerators, float32 on CPU.",
    )
    recipe: gan_recipe.Recipe = gan_recipe.Recipe()

    def __post_init__(self) -> None:
        """Checks the image size.

        Raises:
          InputError: no networks of this size can be built.
        """
        try:
            dcgan.Architecture(image_size=self.image_size)
        except ValueError as error:
            raise InputError(f"--{error}.") from error

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that the trainings of all networks share."""
        return {"data": self.data, "seed": self.seed, "batch_size": self.batch_size}

    def features(self, count: int) -> int:
        """Returns a number of channels, multiplied by `width`."""
        return max(2, round(self.width * count))


@dataclasses.dataclass(frozen=True)
class Job:
    """The inputs for the training of one network.

    Attributes:
      wanted: options of the release.
      faces: training faces.
      validation: validation faces.
      landmarks: landmarks of both.
      run_dir: folder of checkpoints.
      output_dir: folder of the release.
      provenance: JSON values about the run.
      accepted: called before the first step of each network, after all checks.
      began: start of this network's time, by `time.monotonic`.
      seconds: time limit of this network.
    """

    wanted: Wanted
    faces: data.Faces
    validation: data.Faces
    landmarks: release_labels.Landmarks
    run_dir: pathlib.Path
    output_dir: pathlib.Path
    provenance: dict[str, Any]
    accepted: Callable[[], None]
    began: float = 0.0
    seconds: float = 0.0

    @contextlib.contextmanager
    def run(self, name: str) -> Iterator[training.Run]:
        """Opens the run of one network, which ends at the network's time limit."""
        schedule = training.Schedule(
            steps=_ENDLESS,
            log_every=50,
            save_every=_ENDLESS,
            show_every=_ENDLESS,
            seconds=self.seconds,
            save_seconds=self.seconds / _CHECKPOINTS,
        )
        folder = self.folder(name)
        with checkpoints.opened(folder) as store:
            yield training.Run(store, folder, schedule, self.began, self.accepted)

    def folder(self, name: str) -> pathlib.Path:
        """Returns the folder of one network's checkpoints."""
        return self.run_dir / name

    def best(self, name: str) -> pathlib.Path:
        """Returns the folder of one network's best checkpoint.

        Raises:
          InputError: the network has no best checkpoint yet.
        """
        folder = self.folder(name) / "best"
        if not checkpoints.is_run(folder):
            raise InputError(
                f"--only: {name} is missing in {self.run_dir}; train it first."
            )
        return folder

    def about(self, settings: dict[str, Any], path: pathlib.Path) -> dict[str, Any]:
        """Returns the provenance of one network, as JSON values.

        Args:
          settings: hyperparameters of its training.
          path: folder of its checkpoint.
        """
        step, meta = checkpoints.read_meta(path)
        return {
            **self.provenance,
            "settings": settings,
            "steps": step,
            "images_seen": step * self.wanted.batch_size,
            "seconds": round(meta["seconds"], 1),
            "validation_score": meta.get("score"),
        }


class Done(NamedTuple):
    """A trained network.

    Attributes:
      folder: its key of `release_files.RELEASES`; None if it is not released.
      export: writes it into the folder that it is given.
      about: its provenance.
    """

    folder: str | None
    export: Callable[[str], None]
    about: dict[str, Any]
