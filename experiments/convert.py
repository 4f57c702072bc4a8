r"""Converts a DCGAN from PyTorch into a release, the --checkpoint of a search.

python -m experiments.convert --generator=G.safetensors --discriminator=D.safetensors \
    --output=models/mine
python -m experiments.inpaint --checkpoint=models/mine --z_prior=normal

Both files hold state dicts: safetensors.torch.save_file(netG.state_dict(), file).
`inpaint_jax.pretrained.pytorch` describes which networks can be converted. PyTorch's
DCGANs are usually trained with normally distributed z. A search keeps z in [-1, 1],
where two thirds of the numbers of z were in training; --z_prior=normal draws starting
points from this distribution and clips them.
"""

import dataclasses

from experiments.common import application, options, progress, reporting
from experiments.common.options import option
from inpaint_jax.errors import naming
from inpaint_jax.pretrained import pytorch, weights


@dataclasses.dataclass(frozen=True)
class Conversion:
    """The files that are converted, and the output folder."""

    generator: str | None = option(
        None, "Safetensors file with the generator's state dict."
    )
    discriminator: str | None = option(
        None, "Safetensors file with the discriminator's state dict."
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
    model = pytorch.read(
        options.given(wanted, "generator"),
        options.given(wanted, "discriminator"),
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
        "if it was trained with normal z, as usual with PyTorch, search with "
        "--z_prior=normal; z stays in [-1, 1]"
    )
    return 0


if __name__ == "__main__":
    application.run(main)
