"""The options of `experiments.train` that all its networks share.

How G and D are trained is in `gan_recipe`, how CE and GFC are in `completer_recipe`.
"""

import dataclasses
from typing import Any, Literal

from experiments.common.options import option
from experiments.training import completer_recipe, training
from inpaint_jax.errors import InputError
from inpaint_jax.models import dcgan
from inpaint_jax.pretrained import networks


@dataclasses.dataclass(frozen=True)
class Run:
    """What is trained, from which faces, and where it goes."""

    model: str = option(
        "gan",
        "gan: generator and discriminator; encoder: where a search in --checkpoint's "
        "generator starts; ce, gfc: completion in one pass; parser: of faces, for gfc.",
        of=("gan", "encoder", *completer_recipe.MODELS),
    )
    data: str | None = option(
        None,
        "folder:DIR, zip:FILE, array:FILE or tfds:NAME, with an optional [start:stop]; "
        "several are joined by commas.",
    )
    data_dir: str | None = option(
        None, "Where tensorflow-datasets keeps its sets, if not as usual."
    )
    validation: str | None = option(
        None,
        "Real faces, as --data, to score each checkpoint by; the best is kept in "
        "RUN_DIR/best.",
    )
    cache: str | None = option(
        None, "File.npy that keeps the cropped pictures for the next run."
    )
    run_dir: str | None = option(None, "Folder of this run; resumed if used.")
    export: str | None = option(
        None,
        "Folder to write the release (safetensors) and its networks as programs that "
        "need only JAX (.stablehlo) to when training is done.",
    )
    pack: str | None = option(
        None,
        "Train nothing, but write the cropped faces of --data into FILE.zip, at most "
        "1.5 kB each, from which --data=zip:FILE.zip takes them.",
    )
    checkpoint: str = option(
        "release", "Generator of --model=encoder: a --run_dir or a release."
    )


@dataclasses.dataclass(frozen=True)
class Check:
    """How networks are judged."""

    check: str | None = option(
        None,
        'Train nothing, but judge this --run_dir, release folder or "release" with '
        "real faces in --data that it has not seen; health.json, health.png and "
        "neighbours.png go into --run_dir.",
    )
    train_data: str | None = option(
        None, "Of --check: the faces that it was trained on, as --data."
    )
    reconstruct: int = option(
        100, "With --check: how many real faces to redraw; 0: none.", least=0
    )
    reconstruct_iterations: int = option(
        300, "Steps of the search for each of them.", least=1
    )


@dataclasses.dataclass(frozen=True)
class Training:
    """What all trainings share."""

    pretrained: str | None = option(
        None,
        "Networks that the training starts from, in place of fresh ones: a --run_dir "
        "or a release of the same architecture.",
    )
    seed: int = option(0, "Of weights, order, z and flips.", least=0, most=2**32 - 1)
    batch_size: int = option(64, "Images a step.", least=2)
    crop: int = option(128, "Side of the crop in CelebA pixels.", least=16, most=178)
    precision: Literal["float32", "bfloat16"] = option(
        "float32",
        "In which type convolutions multiply; bfloat16 is for accelerators.",
    )
    generator_rate: float = option(2e-4, "Adam's rate for G and E.", above=0.0)
    discriminator_rate: float = option(1e-4, "Adam's rate for D.", above=0.0)
    beta1: float = option(0.5, "Adam's first decay.", least=0.0, most=0.999)
    steps: int = option(25_000, "Training steps in all.", least=1)
    log_every: int = option(50, "Steps between lines of metrics.", least=1)
    sample_every: int = option(500, "Steps between sample sheets.", least=1)
    checkpoint_every: int = option(500, "Steps between checkpoints.", least=1)
    minutes: float | None = option(
        None,
        "Minutes after which training ends, if not by --steps; compilation and the "
        "time before a resumption count.",
        least=0.01,
    )

    @property
    def schedule(self) -> training.Schedule:
        """When it ends, and what it does on the way."""
        return training.Schedule(
            self.steps,
            self.log_every,
            save_every=self.checkpoint_every,
            show_every=self.sample_every,
            seconds=None if self.minutes is None else 60.0 * self.minutes,
        )

    def shared(self, *names: str) -> dict[str, Any]:
        """Returns those of the options that a kind of training stores."""
        return {name: getattr(self, name) for name in names}


@dataclasses.dataclass(frozen=True)
class Networks:
    """What the networks are."""

    image_size: int = option(
        64, "Height and width in pixels: 4 times a power of two, at least 16."
    )
    features: int = option(64, "Channels next to the image.", least=1)
    z_dim: int = option(128, "Length of the generator's latent vector.", least=1)
    bottleneck: int = option(
        128, "Of gfc: width of the fully connected layer.", least=1
    )
    kernel_size: int = option(4, "Side of the kernels.", least=2)
    activation: Literal["relu", "leaky_relu"] = option(
        "relu", "Of the generator's hidden layers."
    )
    generator_norm: Literal["batch", "none"] = option(
        "batch", "BatchNorm in G, or nothing."
    )
    discriminator_norm: Literal["batch", "none"] = option(
        "batch", "BatchNorm in D, or nothing."
    )
    spectral_norm: bool = option(
        False, "Divide D's convolutions by their largest singular value."
    )

    def generator(self) -> dcgan.Architecture:
        """Returns the architecture of G, D and E.

        Raises:
          InputError: it cannot be built.
        """
        return self._built(dcgan.Architecture)

    def feed_forward(self, model: str) -> networks.Architecture:
        """Returns the architecture of a network that completes in one pass.

        Args:
          model: its name in `networks.KINDS`.

        Raises:
          InputError: it cannot be built, or has no latent vector to be so long.
        """
        if self.z_dim != Networks.z_dim:
            other = f"--bottleneck={self.z_dim} for" if model == "gfc" else "it without"
            raise InputError(
                f"--z_dim={self.z_dim}: is the length of a generator's latent vector; "
                f"give {other} --model={model}."
            )
        return self._built(networks.KINDS[model].architecture)

    def _built(self, architecture: type[Any]) -> Any:
        names = [field.name for field in dataclasses.fields(architecture)]
        known = {name: value for name, value in vars(self).items() if name in names}
        try:
            return architecture(**known)
        except ValueError as error:
            raise InputError(f"--{error}.") from error
