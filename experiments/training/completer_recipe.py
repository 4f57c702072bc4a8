"""The flags that say how CE, GFC and GFC's parser are trained."""

import dataclasses

from experiments.common.options import option
from inpaint_jax.errors import InputError
from inpaint_jax.images import masks
from inpaint_jax.training import train_completer

MODELS = ("ce", "gfc", "parser")
"""The kinds of `networks.KINDS` that these flags are of."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How CE and GFC are trained; each field is a flag."""

    train_masks: tuple[str, ...] = option(
        tuple(masks.MASKS),
        "Of ce and gfc: masks of the training; centre alone is the original CE.",
        of=tuple(masks.MASKS),
    )
    overlap: int = option(
        4,
        "Pixels around the hole that count ten times; 0: all pixels count alike.",
        least=0,
    )
    lambda_global: float = option(
        0.0002, "Weight of the critic of the whole image; 0: none.", least=0.0
    )
    lambda_local: float = option(
        0.0, "Weight of the critic of the hole; 0: none.", least=0.0
    )
    lambda_parsing: float = option(
        0.0, "Weight of --parser's cross entropy; 0: none.", least=0.0
    )
    parser: str = option(
        "", "Of gfc: the --run_dir of experiments.train --model=parser."
    )
    critic_features: int = option(
        32, "Channels of the critics next to the image.", least=1
    )

    def __post_init__(self) -> None:
        """Checks that the parser and its weight are given together.

        Raises:
          InputError: one of them is missing.
        """
        if (self.lambda_parsing > 0) != bool(self.parser):
            raise InputError(
                f"--lambda_parsing={self.lambda_parsing:g} and --parser={self.parser}: "
                "give both or neither; experiments.train --model=parser makes a parser."
            )

    def train_config(self) -> train_completer.TrainConfig:
        """Returns the configuration of a training step."""
        return train_completer.TrainConfig(
            families=self.train_masks,
            overlap=self.overlap,
            lambda_global=self.lambda_global,
            lambda_local=self.lambda_local,
            lambda_parsing=self.lambda_parsing,
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
    pretrained: str
    recipe: Recipe = Recipe()
