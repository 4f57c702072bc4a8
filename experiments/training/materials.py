"""What a training reads besides its flags and pictures: other networks, and labels.

A flag names the place of a material, where another one may be when a run goes on. So
runs and releases store hashes, and go on with what has the same ones, wherever it is.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from inpaint_jax.errors import InputError
from inpaint_jax.io import hashes
from inpaint_jax.pretrained import networks

# What is said of a material that is another one: {flag: words}.
_OTHERWISE = {
    "data": "holds other pictures",
    "validation": "holds other pictures",
    "labels": "has other landmarks",
    "landmark_model": "gives other landmarks",
    "run_dir": "gets other landmarks from dlib's model",
}


class Material(NamedTuple):
    """A material of a training.

    Attributes:
      given: value of the flag that names it.
      sha256: hash of what is there.
    """

    given: str
    sha256: str


Materials = Mapping[str, Material]
"""{flag: what it names}."""


def of_network(flag: str, given: str, network: networks.Pretrained) -> Materials:
    """Returns a network as a material.

    Args:
      flag: that names it.
      given: value of the flag.
      network: what was read there.
    """
    return {flag: Material(given, hashes.of_arrays(network.variables))}


def of_arrays(flag: str, given: str, arrays: Any) -> Materials:
    """Returns arrays as a material, as `of_network`."""
    return {flag: Material(given, hashes.of_arrays(arrays))}


def stored(materials: Materials) -> dict[str, dict[str, str]]:
    """Returns JSON values, with which `check` compares later."""
    return {flag: material._asdict() for flag, material in materials.items()}


def check(
    found: Mapping[str, Mapping[str, str]],
    materials: Materials,
    *,
    begun: str = "the run in --run_dir",
    give: str = "another folder",
) -> None:
    """Checks that something goes on with the materials that it was begun with.

    Args:
      found: what was stored of these.
      materials: those of now.
      begun: what was begun, for the error's sentence.
      give: what to give in place of its folder, the last words of the sentence.

    Raises:
      InputError: one of them is another.
    """
    for flag, (given, sha256) in materials.items():
        before = found.get(flag)
        if before is None:
            raise InputError(
                f"--{flag}={given}: {begun} was begun without it, or by an earlier "
                f"version; give {give}."
            )
        if before.get("sha256") != sha256:
            otherwise = _OTHERWISE.get(flag, "is another network")
            raise InputError(
                f"--{flag}={given}: {otherwise} than {begun} was begun with; give the "
                f"same or {give}."
            )
