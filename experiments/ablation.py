"""What each landmark term brings: SI against variants of it in the same time, in pairs.

python -m experiments.ablation --flagfile=experiments/flags/ablation.flags \
    --images='faces[9000:9100]' --output_dir=outputs/ablation

Killed, the same command goes on where it was.
"""

from absl import flags

from experiments.common import application, cases
from experiments.evaluation import ablation_run, ablation_table
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
    f"each. The one that others are compared with is {ablation_table.BASELINE}.",
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
    run = _from_flags()
    prepared = ablation_run.prepare(run)
    plans = ablation_run.agree(run, prepared)
    application.write_effective_flags(run.output, searches, guides)
    ablation_run.search(run, plans)
    ablation_run.write(run, prepared, plans)
    return 0


def _from_flags() -> ablation_run.Run:
    output = files.make_directory(_OUTPUT.value)
    variants, holes = ablation_run.parse(_VARIANT.value, only=_ONLY.value), _holes()
    images = application.given(_IMAGES)
    paths = cases.list_inputs(images, mask=_MASKS.value[0], output=output)
    paths = paths[: _LIMIT.value]
    at_once = min(_TOGETHER.value, len(paths))
    model = weights.load(searches.CHECKPOINT.value)
    return ablation_run.Run(
        variants,
        paths,
        holes,
        _SEEDS.value,
        at_once,
        output,
        model,
        _EQUAL.value,
    )


def _holes():
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
