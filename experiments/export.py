"""Exports the networks of a model as programs that contain their weights.

python -m experiments.export --output=programs
python -m experiments.export --checkpoint=runs/mine --output=programs

The programs are `.stablehlo` files that need only JAX, see
`inpaint_jax.pretrained.stablehlo`: for any batch size, on CPU, GPU or TPU, with a
gradient. `experiments.train --export` also writes them at the end of a training.
"""

import dataclasses
import functools

from experiments.common import application, options, progress
from experiments.common.options import option
from inpaint_jax.errors import naming
from inpaint_jax.pretrained import stablehlo, weights

_TAKES = {
    "generator": "z [batch, {z}] in [-1, 1] to images [batch, {size}, {size}, 3]",
    "discriminator": "images [batch, {size}, {size}, 3] in [-1, 1] to logits [batch]",
    "encoder": "images and masks [batch, {size}, {size}, 1], 1 = known, to z",
}


@dataclasses.dataclass(frozen=True)
class Export:
    """The model that is exported, and the output folder."""

    checkpoint: str = option(
        "release", 'The model: a --run_dir, a release folder or "release".'
    )
    output: str | None = option(None, "Folder to write the programs to.")


options.define(Export, heading="Export")


def main() -> int:
    """Exports one model; returns the exit code."""
    wanted = options.read(Export)
    output = options.given(wanted, "output")
    stablehlo.check_available()
    with naming("--checkpoint", wanted.checkpoint):
        model = weights.load(wanted.checkpoint)
    with naming("--output", output):
        watch = functools.partial(progress.over, what="exporting", unit="programs")
        written = stablehlo.export(output, model, watch=watch)
    a = model.architecture
    for path in written:
        takes = _TAKES[path.stem].format(z=a.z_dim, size=a.image_size)
        progress.say(f"wrote {path}: {takes}")
    progress.say(
        "each is loaded by "
        'jax.export.deserialize(bytearray(open(FILE, "rb").read())).call'
    )
    return 0


if __name__ == "__main__":
    application.run(main)
