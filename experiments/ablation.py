"""What each landmark term brings: SI against variants of it in the same time, in pairs.

python -m experiments.ablation --flagfile=experiments/flags/ablation.flags \
    --images='faces[9000:9100]' --output_dir=outputs/ablation

Killed, the same command goes on where it was.
"""

from absl import flags

from experiments.common import application, cases
from experiments.evaluation import (
    ablation_pairs,
    ablation_report,
    ablation_run,
    ablation_units,
)
from experiments.search import guides, searches
from inpaint_jax.errors import InputError
from inpaint_jax.io import files
from inpaint_jax.pretrained import weights

_IMAGES = flags.DEFINE_string("images", None, "Undamaged faces, as in inpaint.")
_LIMIT = flags.DEFINE_integer("limit", None, "The first so many of them only.", 1)
_MASKS = flags.DEFINE_list("masks", ["centre", "left"], "Names of masks.")
_SEEDS = flags.DEFINE_integer("seeds", 3, "How many: of starts and random masks.", 1)
_VARIANT = flags.DEFINE_multi_string(
    "variant",
    [],
    "A name and the flags of its search, as 'soft: --landmark_term=soft'; once for "
    f"each. The one that others are compared with is {ablation_pairs.BASELINE}.",
)
_TOGETHER = flags.DEFINE_integer("images_at_once", 8, "Searched for as one program.", 1)
_ONLY = flags.DEFINE_list("only", [], "Names of variants to run; by default all.")
_EQUAL = flags.DEFINE_enum(
    "equal",
    "time",
    ["time", "steps"],
    "What all variants get as much of; restarts are equal in any case.",
)
_OUTPUT = flags.DEFINE_string("output_dir", "outputs/ablation", "Folder to write to.")


def main() -> int:
    """Searches for what is not there yet, and writes tables and the plot."""
    output, equal = files.make_directory(_OUTPUT.value), _EQUAL.value
    given, holes = ablation_run.parse(_VARIANT.value, only=_ONLY.value), _holes()
    paths = cases.list_inputs(
        application.given(_IMAGES), mask=_MASKS.value[0], output=output
    )[: _LIMIT.value]
    at_once = min(_TOGETHER.value, len(paths))
    model = weights.load(searches.CHECKPOINT.value)
    faces = cases.Originals(paths, model.crop, model.architecture.image_size)
    units = ablation_units.Units(output / "parts", holes, _SEEDS.value)
    variants = ablation_run.prepare(given, model, at_once=at_once)
    plans = ablation_run.agree(
        output / "protocol.json",
        variants,
        faces,
        units,
        source=model.source,
        at_once=at_once,
        equal=equal,
    )
    application.write_effective_flags(output, searches, guides)
    ablation_run.search(variants, plans, model, faces, units, at_once=at_once)
    ablation_report.write(output, variants, plans, units, equal=equal)
    return 0


def _holes() -> list[cases.Hole]:
    names = _MASKS.value
    holes = [cases.read_hole(name, hole_is_white=True) for name in names]
    if not holes or len({*names}) < len(names) or not all(hole.make for hole in holes):
        raise InputError(
            f"--masks={','.join(names)}: must be names of masks, each once and no "
            "files, as centre,left."
        )
    return holes


if __name__ == "__main__":
    application.run(main)
