"""The structural prior: networks that fit, targets that leak nothing, a whole run."""

import contextlib
import io
import json

import jax
import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from experiments import inpaint
from experiments.common import cases, options
from experiments.search import guidance, structure_options
from inpaint_jax.errors import InputError
from inpaint_jax.images import masks, pixels
from inpaint_jax.io import picture_files
from inpaint_jax.models import context_encoder, dcgan, face_completion
from inpaint_jax.pretrained import networks, weights
from tests import drawn

SIZE, CROP = 16, 100
GENERATOR = dcgan.Architecture(image_size=SIZE, features=4, z_dim=6, kernel_size=4)


def network(kind, *, seed, size=SIZE):
    architecture = kind.Architecture(size, features=2, kernel_size=4)
    variables = drawn.variables(networks.template(architecture), seed=seed)
    return networks.Pretrained(architecture, CROP, variables, {})


def noise(seed):
    return drawn.noise(SIZE, SIZE, 3, seed=seed)


@pytest.fixture(scope="module")
def model():
    variables = drawn.variables(weights.templates(GENERATOR, encoder=True))
    return weights.Model(
        GENERATOR, CROP, **variables, source={}, encodes="damaged faces"
    )


@pytest.fixture(scope="module")
def bench(tmp_path_factory, model):
    """A folder of networks, good and bad, and a picture."""
    folder = tmp_path_factory.mktemp("bench")
    weights.export(folder / "tiny", model, provenance={})
    kinds = {"gfc": face_completion, "ce": context_encoder}
    for seed, (name, kind) in enumerate(kinds.items(), start=1):
        networks.export(folder / name, network(kind, seed=seed), provenance={})
    large = network(face_completion, seed=1, size=32)
    networks.export(folder / "large_gfc", large, provenance={})
    picture_files.write(folder / "a.png", noise(0))
    return folder


@pytest.fixture(scope="module")
def load(bench, model):
    def run(*given, weight=1.0):
        usual = [f"--structure_{name}={bench}/{name}" for name in ("gfc", "ce")]
        given = [flag.format(bench=bench) for flag in given]
        asked = options.parse(structure_options.StructureOptions, [*usual, *given])
        return structure_options.load(asked, model, weight=weight)

    return run


def case_of(seed):
    mask = masks.centre(jax.random.key(0), (SIZE, SIZE))[None]
    return cases.Case("face", noise(seed), None, CROP, mask, jax.random.key(0))


def test_nothing_is_loaded_without_a_weight(load):
    assert load("--structure_gfc={bench}/large_gfc", weight=0.0) is None


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_a_network_that_is_not_there_is_refused_be_it_used_or_not(load, weight):
    with pytest.raises(InputError, match="--structure_ce=missing: no such file or fol"):
        load("--structure_ce=missing", weight=weight)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--structure=gfc,gfc",), ["--structure=gfc,gfc", "once"]),
        (("--structure=",), ["--structure=", "gfc"]),
        (("--structure=net",), ["--structure=net", "gfc"]),
        (("--structure_tolerance=0.1",), ["--structure_tolerance=0.1", "gfc,ce"]),
        (("--structure_gfc={bench}/large_gfc",), ["32 pixels", "--lambda_structure=0"]),
        (("--structure_gfc=missing",), ["--structure_gfc", "missing"]),
        (("--structure_gfc={bench}/ce",), ["--structure_gfc", "ce"]),
    ],
)
def test_what_gives_no_structure_is_refused_in_a_sentence(given, words, load):
    with pytest.raises(InputError) as refused:
        load(*given)
    message = str(refused.value)
    assert all(word in message for word in words) and "\n" not in message


def test_a_blur_without_a_middle_is_refused_before_anything_is_read(load):
    with pytest.raises(InputError, match="--structure_blur=4: must be odd"):
        load("--structure_blur=4", "--structure_gfc=missing")


def test_an_encoder_is_asked_only_if_there_is_one(model, bench):
    asked = options.parse(structure_options.StructureOptions, ["--structure=encoder"])
    without = weights.Model(
        GENERATOR, CROP, model.generator, model.discriminator, source={}
    )
    with pytest.raises(InputError, match="--structure=encoder: .* no encoder"):
        structure_options.load(asked, without, weight=1.0)


@pytest.mark.parametrize("sources", [("gfc",), ("ce", "encoder"), ("gfc", "ce")])
def test_the_target_is_the_mean_of_what_the_networks_draw(sources, load, model, bench):
    guides = guidance.Guidance(None, load(f"--structure={','.join(sources)}"))
    case = case_of(3)
    problem, entry = guides.problem(case)
    damaged = pixels.from_bytes(case.picture)[None] * case.mask

    def draw(name):
        if name == "encoder":
            return model.generate(model.encode(damaged, case.mask))
        return read[name].apply(damaged, case.mask)

    read = {n: networks.load(bench / n, model=n) for n in sources if n != "encoder"}
    drawings = [jax.jit(draw, static_argnums=0)(name) for name in sources]
    found = problem.targets["structure"]
    np.testing.assert_allclose(found.image, np.mean(drawings, axis=0), atol=1e-5)
    assert entry == {} and not guides.sees_original
    described = guides.describe()
    assert described["structure"]["sources"] == list(sources)
    assert set(described["models"]) == {*sources} - {"encoder"}


def test_what_is_hidden_is_not_seen(load):
    guides = guidance.Guidance(None, load("--structure=gfc,encoder"))
    case = case_of(0)
    hidden = np.where(np.asarray(case.mask[0]) > 0, case.picture, noise(1))
    others = (case, case._replace(picture=hidden), case._replace(picture=noise(1)))
    first, same, other = (
        guides.problem(each)[0].targets["structure"] for each in others
    )
    jax.tree.map(np.testing.assert_array_equal, first, same)
    assert np.any(other.image != first.image)


@pytest.mark.parametrize("fades", [True, False])
def test_a_run_reports_its_terms_by_their_names(bench, tmp_path, fades):
    command = (
        "--structure_fades" if fades else "--nostructure_fades",
        *(f"--checkpoint={bench}/tiny", f"--images={bench}/a.png", "--face=none"),
        *(f"--structure_gfc={bench}/gfc", "--lambda_structure=0.5"),
        *("--lambda_in_domain=0.25", "--landmark_term=none", "--restarts=2"),
        *("--iterations=2", f"--output_dir={tmp_path}/out"),
    )
    with (
        flagsaver.flagsaver(),
        jax.numpy_dtype_promotion("standard"),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        flags.FLAGS(["inpaint", *command])
        assert inpaint.main() == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["landmarks"] is None
    assert report["structure"]["blur"] == 5
    # A term that has faded ranks nothing.
    held = "" if fades else "0.5 structure + "
    ranking = f"1 context + 0.003 prior + {held}0.25 in_domain"
    assert ranking in report["ranking"] and report["structure"]["fades"] == fades
    (entry,) = report["images"]
    terms = entry["terms"]
    assert sorted(terms) == ["context", "in_domain", "prior", "structure"]
    score = terms["context"] + 0.003 * terms["prior"]
    score += (not fades) * 0.5 * terms["structure"] + 0.25 * terms["in_domain"]
    assert entry["score"] == pytest.approx(score, rel=1e-4)
