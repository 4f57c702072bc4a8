r"""Converts a DCGAN from PyTorch into a release, the --checkpoint of a search.

python -m experiments.convert --generator=netG.pth --discriminator=netD.pth \
    --output=models/mine
python -m experiments.inpaint --checkpoint=models/mine --z_prior=normal \
    --init=random --iterations=200

Files hold state dicts: torch.save(netG.state_dict(), "netG.pth"), or the same as
.safetensors; FILE:NAME is the network NAME in a file of several. No code in them is
run. `inpaint_jax.pretrained.pytorch` describes which networks can be converted, and
what a state dict cannot show. Without --discriminator, search with --lambda_prior=0.
Unless pictures have 64 pixels and --crop is 128, which the released landmark net
knows, search with --landmark_term=none and --lambda_structure=0.

PyTorch's DCGANs are usually trained with normally distributed z. A search keeps z in
[-1, 1], where two thirds of the numbers of z were in training; --z_prior=normal draws
starting points from this distribution and clips them.
"""

import dataclasses

from experiments.common import application, options, progress, reporting
from experiments.common.options import option
from inpaint_jax.errors import naming
from inpaint_jax.pretrained import pytorch, release_folders, weights


@dataclasses.dataclass(frozen=True)
class Conversion:
    """The files that are converted, and the output folder."""

    generator: str | None = option(
        None, "The generator's state dict: a .pth or .safetensors file, or FILE:NAME."
    )
    discriminator: str | None = option(
        None, "The discriminator's state dict; by default the release has none."
    )
    output: str | None = option(None, "Folder to write the release to.")
    crop: int = option(
        128,
        "Side of the training pictures' crop in CelebA pixels.",
        least=16,
        most=178,
    )


options.define(Conversion, heading="Conversion")


def main() -> int:
    """Converts one pair of networks; returns the exit code."""
    wanted = options.read(Conversion)
    output = options.given(wanted, "output")
    networks = ["generator", *(["discriminator"] if wanted.discriminator else [])]
    with naming("--output", output):
        release_folders.check_replaceable(output, networks)
    model = pytorch.read(
        options.given(wanted, "generator"),
        wanted.discriminator or None,
        crop=wanted.crop,
    )
    provenance = {
        "command": application.command(Conversion, without=("output",)),
        "converted": model.source,
        "environment": reporting.environment(),
    }
    with naming("--output", output):
        weights.export(output, model, provenance=provenance)
    a = model.architecture
    progress.say(
        f"wrote {output}: {a.image_size} x {a.image_size} pixels, {a.features} "
        f"features, z of {a.z_dim}"
    )
    progress.say(
        f"search with {_flags(model)}; --z_prior=normal if z was normal in training, "
        "as usual with PyTorch (z stays in [-1, 1])"
    )
    progress.say(
        "a state dict does not show activations and BatchNorm's eps: ReLU and tanh in "
        "G, LeakyReLU(0.2) in D and 1e-5 are assumed"
    )
    return 0


def _flags(model: weights.Model) -> str:
    """Returns the flags of a search that the model needs."""
    found = ["--init=random", "--iterations=200"]
    if not model.discriminates:
        found.append("--lambda_prior=0")
    if (model.architecture.image_size, model.crop) != (64, 128):
        found += ["--landmark_term=none", "--lambda_structure=0"]
    return " ".join(found)


if __name__ == "__main__":
    application.run(main)
