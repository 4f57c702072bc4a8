"""The flags that say how G, D and E are trained, and what is built from them."""

import dataclasses
import functools

import jax.numpy as jnp
import optax

from experiments.common.options import option
from inpaint_jax.errors import InputError
from inpaint_jax.images import augmentation
from inpaint_jax.models import dcgan
from inpaint_jax.pretrained import weights
from inpaint_jax.training import (
    gan_gradients,
    gan_losses,
    reconstruction_loss,
    train_gan,
)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How G, D and E are trained; each field is a flag."""

    adversarial_loss: str = option(
        "cross_entropy",
        "Loss of G and D; saturating is G's loss as eq. 13 is printed.",
        of=("cross_entropy", "saturating", "relativistic"),
    )
    real_label: float = option(
        0.9, "D's target for real images with the cross entropy.", least=0.5, most=1.0
    )
    real_penalty: float = option(
        0.0,
        "Weight of half of D's squared gradient by real images (R1).",
        least=0.0,
    )
    fake_penalty: float = option(0.0, "The same for generated images (R2).", least=0.0)
    penalty_every: int = option(
        1,
        "The penalties are added in every n-th step, with n times the weight.",
        least=1,
    )
    final_penalty: float = option(
        1.0, "Fraction to which the penalties fall, as a cosine.", least=0.0, most=1.0
    )
    augment: tuple[str, ...] = option(
        ("brightness", "translation"),
        "Random changes of all images before D sees them; empty: none.",
        of=tuple(augmentation.CHANGES),
    )
    augment_probability: float = option(
        1.0, "Of each change; the largest one if it adapts.", least=0.0, most=1.0
    )
    augment_target: float = option(
        0.0,
        "Mean sign of D's verdict on real images above which the probability of the "
        "changes rises from 0, and below which it falls; 0: it does not adapt.",
        least=0.0,
        most=0.99,
    )
    beta2: float = option(0.999, "Adam's second decay.", least=0.0, most=0.999999)
    final_rate: float = option(
        1.0,
        "Fraction to which the learning rates fall, as a cosine.",
        least=0.0,
        most=1.0,
    )
    average_images: float = option(
        44_000.0,
        "Half-life of G's moving average, in real images; 0: no average.",
        least=0.0,
    )
    lambda_reconstruction: float = option(
        100.0,
        "Weight of the error of G(E(image)) on real images; 0: train no encoder.",
        least=0.0,
    )
    reconstruction_error: str = option(
        "squared", "Of the pixels.", of=("squared", "absolute")
    )
    lambda_features: float = option(
        0.0,
        "Weight of the error of D's features beside that of the pixels, both times "
        "--lambda_reconstruction.",
        least=0.0,
    )
    lambda_latent: float = option(
        20.0,
        "Weight of the distance between the distributions of E(image) and of z.",
        least=0.0,
    )
    z_prior: str = option(
        "uniform", "How z is drawn in training.", of=("uniform", "normal")
    )
    flip: bool = option(True, "Mirror real images half of the time.")

    def train_config(self) -> train_gan.TrainConfig:
        """Returns the configuration of a training step."""
        return train_gan.TrainConfig(
            adversarial=gan_losses.LossConfig(
                loss=self.adversarial_loss,  # pyright: ignore[reportArgumentType]
                real_label=self.real_label,
                augment=self.augment,
                real_penalty=self.real_penalty,
                fake_penalty=self.fake_penalty,
                penalty_every=self.penalty_every,
            ),
            reconstruction=reconstruction_loss.LossConfig(
                weight=self.lambda_reconstruction,
                error=self.reconstruction_error,
                feature_weight=self.lambda_features,
                latent_weight=self.lambda_latent,
            ),
            prior=self.z_prior,  # pyright: ignore[reportArgumentType]
            flip=self.flip,
            augment_probability=self.augment_probability,
            augment_target=self.augment_target,
            average_images=self.average_images,
            final_rate=self.final_rate,
            final_penalty=self.final_penalty,
        )


@dataclasses.dataclass(frozen=True)
class Settings:
    """What decides the weights that come out; stored with every checkpoint."""

    data: str
    seed: int
    batch_size: int
    crop: int
    generator_rate: float
    discriminator_rate: float
    beta1: float
    precision: str
    pretrained: str
    recipe: Recipe

    @property
    def encodes(self) -> weights.Encodes:
        """What the encoder is trained on; "nothing" without an encoder."""
        return "whole faces" if self.recipe.lambda_reconstruction > 0.0 else "nothing"

    def networks(self, architecture: dcgan.Architecture) -> gan_gradients.Networks:
        """Returns the networks and their optimizers.

        Raises:
          InputError: the gradient of a D with BatchNorm is to be penalised.
        """
        recipe = self.recipe
        penalised = recipe.real_penalty > 0.0 or recipe.fake_penalty > 0.0
        if penalised and architecture.discriminator_norm != "none":
            raise InputError(
                f"--discriminator_norm={architecture.discriminator_norm}: with "
                "BatchNorm D's gradient by an image depends on the others; give none "
                "with --real_penalty or --fake_penalty."
            )
        adam = functools.partial(optax.adam, b1=self.beta1, b2=recipe.beta2)
        optimizer = adam(self.generator_rate)
        compute_dtype = jnp.dtype(self.precision)
        with_encoder = self.encodes != "nothing"
        return gan_gradients.Networks(
            architecture.generator(compute_dtype=compute_dtype),
            architecture.discriminator(compute_dtype=compute_dtype),
            optimizer,
            adam(self.discriminator_rate),
            architecture.encoder(compute_dtype=compute_dtype) if with_encoder else None,
            optimizer if with_encoder else None,
        )
