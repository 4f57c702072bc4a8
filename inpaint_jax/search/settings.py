"""The hyperparameters of a search."""

import dataclasses
import itertools
import math
from typing import Any, Literal, get_args

import numpy as np

from inpaint_jax.errors import InputError


@dataclasses.dataclass(frozen=True)
class Settings:
    """Hyperparameters of a search; the defaults are those of `landmark.flags`.

    Attributes:
      restarts: number of starting points for each image.
      iterations: number of optimizer steps of each restart.
      restart_schedule: pairs (restarts, iterations) of successive stages, in place of
        the two options before; each stage continues only the best restarts.
      learning_rate: learning rate of the optimizer of z.
      decay: whether the learning rate falls to 0 along half a cosine, which ends nearer
        to a minimum after the same number of steps.
      optimizer: optimizer of z: "adam", "nesterov" (momentum 0.9, as in the code of Yeh
        et al.), or "lbfgs" (L-BFGS, whose steps are multiplied by the learning rate).
      z_prior: distribution of random starting points: "uniform" on [-1, 1], as in the
        training of the generator, or "normal", clipped.
      init: where the restarts begin: "random"; "encoder", the first at the encoder's
        prediction, the others around it; or "mixed", one half each.
      init_std: standard deviation of starting points around the encoder's prediction.
      window: side in pixels, odd, of the neighbourhood that weights a known pixel by
        the fraction of it that is hole (eq. 15).
      lambda_context: weight of the context loss on known pixels (eq. 16).
      lambda_prior: weight of the prior loss, by which the discriminator finds the face
        real (eq. 19).
      lambda_landmark: weight of the landmark loss (eqs. 17 and 18).
      lambda_structure: weight of the distance to a coarse prediction of the hole.
      lambda_in_domain: weight of the distance of z from what the encoder sees in G(z).
      normalised: divide the context loss by the sum of its weights, so that it can be
        compared between masks.
      saturating: use the prior loss log(1 - D(G(z))), as in the paper (eq. 19), in
        place of -log D(G(z)).
      chunk: number of steps in one compiled call; progress is reported after each.
      patience: early stopping: stop after this many chunks in which no restart's best
        loss fell by 0.1 %; 0 never stops early.
    """

    restarts: int = 4
    iterations: int = 50
    learning_rate: float = 0.05
    decay: bool = True
    restart_schedule: tuple[tuple[int, int], ...] = ()
    optimizer: Literal["adam", "nesterov", "lbfgs"] = "adam"
    z_prior: Literal["uniform", "normal"] = "uniform"
    init: Literal["random", "encoder", "mixed"] = "encoder"
    init_std: float = 0.3
    window: int = 21
    lambda_context: float = 1.0
    lambda_prior: float = 0.003
    lambda_landmark: float = 0.05
    lambda_structure: float = 1.0
    lambda_in_domain: float = 0.0
    normalised: bool = True
    saturating: bool = False
    chunk: int = 25
    patience: int = 2

    def __post_init__(self) -> None:
        """Checks the settings.

        Raises:
          InputError: a value is out of its range or no allowed word.
        """
        for field in dataclasses.fields(self):
            _check_value(field, getattr(self, field.name))
        if self.window % 2 == 0:
            raise InputError(f"window={self.window}: must be odd, as 7.")
        _check_schedule(self.restart_schedule)
        for before, after in itertools.pairwise(self.restart_schedule):
            if after[0] > before[0]:
                given = ",".join(f"{a}x{b}" for a, b in self.restart_schedule)
                raise InputError(
                    f"restart_schedule={given}: restarts can only become fewer, as "
                    "64x10,8x40."
                )

    @property
    def stages(self) -> tuple[tuple[int, int], ...]:
        """(restarts, iterations) of each stage."""
        return self.restart_schedule or ((self.restarts, self.iterations),)

    @property
    def all_iterations(self) -> int:
        """Number of steps of a restart that is kept in all stages."""
        return sum(iterations for _, iterations in self.stages)


# Type of a setting -> types that its value may have, and what a refusal says.
_KINDS: dict[Any, tuple[Any, str]] = {
    int: ((int, np.integer), "a whole number"),
    float: ((int, float, np.integer, np.floating), "a number"),
    bool: ((bool, np.bool_), "True or False"),
}


def _check_schedule(schedule: Any) -> None:
    """Raises InputError unless it is a tuple of pairs of positive whole numbers."""
    pairs = isinstance(schedule, tuple) and all(
        isinstance(pair, tuple)
        and len(pair) == 2
        and all(isinstance(n, int | np.integer) and n >= 1 for n in pair)
        for pair in schedule
    )
    if not pairs:
        raise InputError(
            f"restart_schedule={schedule!r}: must hold pairs of restarts and steps, "
            "as ((64, 10), (8, 40))."
        )


def _check_value(field: dataclasses.Field[Any], value: Any) -> None:
    """Raises InputError for a word that is not allowed or a number out of range."""
    words, least = get_args(field.type), 0 if field.name == "patience" else 1
    kind, says = _KINDS.get(field.type, (object, ""))
    boolean = isinstance(value, bool | np.bool_)
    if says and (not isinstance(value, kind) or boolean != (field.type is bool)):
        raise InputError(f"{field.name}={value!r}: must be {says}.")
    if type(field.default) is str and value not in words:
        raise InputError(f"{field.name}={value!r}: must be one of {', '.join(words)}.")
    if field.type is int and value < least:
        raise InputError(f"{field.name}={value}: must be at least {least}.")
    if field.type is float and not (math.isfinite(value) and value >= 0.0):
        raise InputError(f"{field.name}={value}: must be a finite number, 0 or more.")
