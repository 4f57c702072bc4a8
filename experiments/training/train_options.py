"""The options of `experiments.train` that all its networks share.

`gan_recipe` has the hyperparameters of G and D, `completer_recipe` those of CE and GFC.
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
    """The network that is trained, its data and its folders."""

    model: str = option(
        "gan",
        "gan: generator and discriminator; encoder: predicts where a search in the "
        "generator of --checkpoint starts; ce (context encoder) and gfc (generative "
        "face completion): complete faces in one pass; parser: labels the parts of a "
        "face, for gfc.",
        of=("gan", "encoder", *completer_recipe.MODELS),
    )
    data: str | None = option(
        None,
        "Training faces: folder:DIR, zip:FILE, array:FILE or tfds:NAME, with an "
        "optional [start:stop]; several are joined by commas.",
    )
    data_dir: str | None = option(
        None, "Folder of tensorflow-datasets' data sets; by default its own."
    )
    validation: str | None = option(
        None,
        "Held-out faces, as --data, that score each checkpoint of --model=gan; the "
        "best is kept in RUN_DIR/best.",
    )
    cache: str | None = option(
        None, "File.npy that caches the cropped pictures for the next run."
    )
    run_dir: str | None = option(None, "Folder of this run; a run in it is resumed.")
    export: str | None = option(
        None,
        "Folder to write the release (safetensors) to when training is done; for gan "
        "and encoder also programs that need only JAX (.stablehlo).",
    )
    pack: str | None = option(
        None,
        "Train nothing, but write the cropped faces of --data into this FILE.zip, at "
        "most 1.5 kB each; --data=zip:FILE.zip reads them.",
    )
    checkpoint: str = option(
        "release", "Generator for --model=encoder: a --run_dir or a release."
    )


@dataclasses.dataclass(frozen=True)
class Check:
    """Options of the evaluation of a trained GAN."""

    check: str | None = option(
        None,
        'Train nothing, but evaluate this --run_dir, release folder or "release" on '
        "held-out faces in --data; writes health.json, health.png and neighbours.png "
        "into --run_dir.",
    )
    train_data: str | None = option(
        None, "With --check: the model's training faces, as --data."
    )
    reconstruct: int = option(
        100,
        "With --check: number of real faces to reconstruct by GAN inversion; 0: none.",
        least=0,
    )
    reconstruct_iterations: int = option(
        300, "With --check: optimizer steps of each inversion.", least=1
    )


@dataclasses.dataclass(frozen=True)
class Training:
    """The options that the trainings of all networks share."""

    pretrained: str | None = option(
        None,
        "Networks from which training starts, in place of new ones: a --run_dir or a "
        "release of the same architecture.",
    )
    seed: int = option(
        0,
        "Seed of weights, data order, latent vectors and augmentation.",
        least=0,
        most=2**32 - 1,
    )
    batch_size: int = option(64, "Number of images in a batch.", least=2)
    crop: int = option(128, "Side of the crop in CelebA pixels.", least=16, most=178)
    precision: Literal["float32", "bfloat16"] = option(
        "float32",
        "Type of the products in convolutions; bfloat16 is for accelerators.",
    )
    generator_rate: float = option(
        2e-4,
        "Adam's learning rate for the generator, encoder, completer or parser.",
        above=0.0,
    )
    discriminator_rate: float = option(
        1e-4, "Adam's learning rate for the discriminators.", above=0.0
    )
    beta1: float = option(
        0.5,
        "Adam's decay rate of the gradient's moving average.",
        least=0.0,
        most=0.999,
    )
    steps: int = option(25_000, "Total number of training steps.", least=1)
    log_every: int = option(50, "Steps between lines of metrics.", least=1)
    sample_every: int = option(500, "Steps between sample sheets.", least=1)
    checkpoint_every: int = option(500, "Steps between checkpoints.", least=1)
    minutes: float | None = option(
        None,
        "Time limit in minutes; compilation and the time before a resumption count.",
        least=0.01,
    )

    @property
    def schedule(self) -> training.Schedule:
        """The number of steps, the time limit, and when to log, save and show."""
        return training.Schedule(
            self.steps,
            self.log_every,
            save_every=self.checkpoint_every,
            show_every=self.sample_every,
            seconds=None if self.minutes is None else 60.0 * self.minutes,
        )

    def shared(self, *names: str) -> dict[str, Any]:
        """Returns {name: value} of the options with these names."""
        return {name: getattr(self, name) for name in names}


@dataclasses.dataclass(frozen=True)
class Networks:
    """The architecture of the networks."""

    image_size: int = option(
        64, "Height and width in pixels: 4 times a power of two, at least 16."
    )
    features: int = option(
        64,
        "Channels of the layer next to the image; they double with each layer away.",
        least=1,
    )
    z_dim: int = option(128, "Length of the generator's latent vector.", least=1)
    bottleneck: int = option(128, "Width of the fully connected layer of gfc.", least=1)
    kernel_size: int = option(4, "Side of the convolutions' kernels.", least=2)
    activation: Literal["relu", "leaky_relu"] = option(
        "relu", "Activation of the generator's hidden layers."
    )
    generator_norm: Literal["batch", "none"] = option(
        "batch", "Normalisation in the generator: BatchNorm or none."
    )
    discriminator_norm: Literal["batch", "none"] = option(
        "batch", "Normalisation in the discriminator: BatchNorm or none."
    )
    discriminator_features: int | None = option(
        None,
        "Channels of the discriminator's layer next to the image; by default as many "
        "as the generator's.",
        least=1,
    )
    spectral_norm: bool = option(
        False,
        "Spectral normalisation: divide the discriminator's convolutions by their "
        "largest singular value.",
    )

    def generator(self) -> dcgan.Architecture:
        """Returns the architecture of G, D and E.

        Raises:
          InputError: no such networks can be built.
        """
        return self._built(dcgan.Architecture)

    def feed_forward(self, model: str) -> networks.Architecture:
        """Returns the architecture of a network that completes in one pass.

        Args:
          model: its name in `networks.KINDS`.

        Raises:
          InputError: no such network can be built, or --z_dim was given, which it does
            not have.
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
