"""What the networks of a release are to be, and what each one's training needs."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

from experiments.common.options import option
from experiments.training import gan_recipe, release_files, training
from inpaint_jax.errors import InputError
from inpaint_jax.io import checkpoints, data
from inpaint_jax.models import dcgan

_ENDLESS = 1_000_000_000
# Checkpoints of one network.
_CHECKPOINTS = 4


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What decides the networks that come out."""

    data: str = option("", "Faces to learn from, see experiments.train.")
    minutes: float = option(
        10.0,
        "Minutes for all networks, compilation and writing included.",
        least=0.01,
    )
    image_size: int = option(
        64, "Height and width in pixels: 4 times a power of two, at least 16."
    )
    crop: int = option(128, "Side of the crop in CelebA pixels.", least=16, most=178)
    width: float = option(
        1.0,
        "Of all networks, as a share of the release's numbers of channels.",
        least=1e-3,
        most=4.0,
    )
    batch_size: int = option(256, "Images a step.", least=16)
    seed: int = option(0, "Of everything.", least=0, most=2**32 - 1)
    precision: Literal["auto", "float32", "bfloat16"] = option(
        "auto",
        "In which type the convolutions of G, D and E multiply; auto: bfloat16 on "
        "accelerators.",
    )
    recipe: gan_recipe.Recipe = gan_recipe.Recipe()

    def __post_init__(self) -> None:
        """Refuses a size of which there are no networks.

        Raises:
          InputError: so it is.
        """
        try:
            dcgan.Architecture(image_size=self.image_size)
        except ValueError as error:
            raise InputError(f"--{error}.") from error

    @property
    def settings(self) -> dict[str, Any]:
        """What the settings of all networks' trainings share."""
        return {"data": self.data, "seed": self.seed, "batch_size": self.batch_size}

    def features(self, count: int) -> int:
        """Returns a number of channels, made wider or narrower."""
        return max(2, round(self.width * count))


@dataclasses.dataclass(frozen=True)
class Job:
    """What each network's training needs; `seconds` is that network's time."""

    wanted: Wanted
    faces: data.Faces
    validation: data.Faces
    landmarks: release_files.Landmarks
    run_dir: pathlib.Path
    output_dir: pathlib.Path
    provenance: dict[str, Any]
    began: float = 0.0
    seconds: float = 0.0

    @contextlib.contextmanager
    def run(self, name: str) -> Iterator[training.Run]:
        """Opens the run of one network, which goes on until its time is over."""
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
            yield training.Run(store, folder, schedule, began=self.began)

    def folder(self, name: str) -> pathlib.Path:
        """Folder of one network's checkpoints."""
        return self.run_dir / name

    def best(self, name: str) -> pathlib.Path:
        """Folder of one network's best checkpoint.

        Raises:
          InputError: it was not trained yet.
        """
        folder = self.folder(name) / "best"
        if not checkpoints.is_run(folder):
            raise InputError(
                f"--only: {name} is missing in {self.run_dir}; train it first."
            )
        return folder

    def about(self, settings: dict[str, Any], path: pathlib.Path) -> dict[str, Any]:
        """Provenance of one network."""
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
    """A trained network: its folder in the release, None if it is no part of it."""

    folder: str | None
    export: Callable[[str], None]
    about: dict[str, Any]
