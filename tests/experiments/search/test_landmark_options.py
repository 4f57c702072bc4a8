"""What guides the landmarks: models that fit, targets that leak nothing, whole runs."""

import contextlib
import functools
import hashlib
import importlib.util
import io
import json
import pathlib
import sys
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver
from PIL import Image

from experiments import inpaint
from experiments.common import cases, options
from experiments.search import guidance, landmark_options
from inpaint_jax.errors import InputError
from inpaint_jax.evaluation import metrics
from inpaint_jax.images import framing, masks, pixels
from inpaint_jax.io import files, picture_files
from inpaint_jax.landmarks import dlib_host
from inpaint_jax.landmarks.cascade import model_file, prediction
from inpaint_jax.landmarks.cascade.shape_model import ShapeModel
from inpaint_jax.models import dcgan, landmark_net
from inpaint_jax.pretrained import landmark_predictor, networks, weights

SIZE, CROP = 16, 128
GENERATOR = dcgan.Architecture(image_size=SIZE, features=2, z_dim=8, kernel_size=4)
needs_dlib = pytest.mark.skipif(
    importlib.util.find_spec("dlib") is None, reason="needs dlib"
)


def drawn(template, *, seed):
    """Random weights, with variances and scales around 1."""
    rng = np.random.default_rng(seed)

    def draw(path, leaf):
        values = 0.2 * rng.normal(size=leaf.shape)
        positive = path[-1].key in ("var", "scale")
        return jnp.asarray(np.exp(values) if positive else values, jnp.float32)

    return jax.tree_util.tree_map_with_path(draw, template)


def face(points):
    """Points in the unit square, the eyes apart."""
    places = np.random.default_rng(points).uniform(0.2, 0.8, (points, 2))
    places[36:42, 0] = 0.25
    places[42:48, 0] = 0.75
    return places.astype(np.float32)


def net(*, size=SIZE, crop=CROP, points=68, scale=1.0):
    """A landmark net that places a face, a little different on every image."""
    architecture = landmark_net.Architecture(size, 2, 8, points)
    variables = drawn(networks.template(architecture), seed=1)
    place = variables["params"]["to_points"]
    place["kernel"] = scale * 0.02 * place["kernel"]
    place["bias"] = jnp.asarray(scale * face(points).ravel())
    return networks.Pretrained(architecture, crop, variables, {}, 1.5)


def toy_cascade(points):
    """Two levels that move the points by a few pixels."""
    rng = np.random.default_rng(points)
    forest, splits, features = (2, 6), 3, 12
    first, second = rng.integers(0, features, (2, *forest, splits), dtype=np.int32)
    leaves = rng.normal(0, 0.05, (*forest, splits + 1, points, 2))
    return ShapeModel(
        initial=face(points),
        first=first,
        second=second,
        threshold=rng.normal(0, 30, (*forest, splits)).astype(np.float32),
        leaves=leaves.astype(np.float32),
        anchor=rng.integers(0, points, (2, features), dtype=np.int32),
        offset=rng.normal(0, 0.2, (2, features, 2)).astype(np.float32),
    )


def noise(seed):
    return np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), np.uint8)


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """A folder of models, good and bad, and of pictures."""
    folder = tmp_path_factory.mktemp("bench")
    variables = drawn(weights.templates(GENERATOR, encoder=True), seed=0)
    model = weights.Model(
        GENERATOR, CROP, **variables, source={}, encodes="damaged faces"
    )
    weights.export(folder / "tiny", model, provenance={})
    nets = {
        "net": net(),
        "large_net": net(size=32),
        "tight_net": net(crop=108),
        "fifty_net": net(points=50),
        "dot_net": net(scale=0.0),
    }
    for name, predictor in nets.items():
        networks.export(folder / name, predictor, provenance={})
    whole = model_file.serialise(toy_cascade(68))
    (folder / "toy.dat").write_bytes(whole)
    (folder / "damaged.dat").write_bytes(whole[: len(whole) // 2])
    (folder / "five.dat").write_bytes(model_file.serialise(toy_cascade(5)))
    (folder / "faces").mkdir()
    for seed, name in enumerate("ab"):
        picture_files.write(folder / "faces" / f"{name}.png", noise(seed))
    hole = np.full((SIZE, SIZE), 255, np.uint8)
    hole[0] = 0
    Image.fromarray(hole).save(folder / "nearly_all.png")
    return folder


class Guiding(NamedTuple):
    guides: guidance.Guidance
    scorer: object


@pytest.fixture(scope="module")
def load(bench):
    """The guides of a command line."""

    def run(*given, model="toy.dat"):
        usual = [f"--landmark_net={bench}/net"]
        if model:
            usual.append(f"--landmark_model={bench}/{model}")
        given = [flag.format(bench=bench) for flag in given]
        asked = options.parse(landmark_options.LandmarkOptions, [*usual, *given])
        landmarks, models, scorer = landmark_options.load(
            asked, size=SIZE, crop=CROP, weight=0.05
        )
        return Guiding(guidance.Guidance(landmarks, None, models), scorer)

    return run


@pytest.fixture(scope="module")
def loaded(load):
    """The same, each command line once: what it compiles serves many tests."""
    return functools.cache(load)


@pytest.fixture
def without_dlib(monkeypatch):
    """As if neither dlib nor its model were installed."""
    for name in ("dlib", "face_recognition_models"):
        monkeypatch.setitem(sys.modules, name, None)


# What is loaded.


def models_of(guides):
    """Which model files the report names: those that were read."""
    return set(guides.describe()["models"])


@pytest.mark.parametrize(
    ("given", "loaded"),
    [
        (("--landmark_term=none",), set()),
        (("--landmark_term=none", "--landmark_target=oracle"), set()),
        (("--landmark_term=soft",), {"cascade", "net"}),
        (("--landmark_term=step",), {"cascade", "net"}),
        (("--landmark_term=net",), {"net"}),
    ],
)
def test_nothing_is_loaded_that_is_not_used(given, loaded, load, without_dlib):
    assert models_of(load("--landmark_target=predicted", *given).guides) == loaded


@needs_dlib
@pytest.mark.parametrize(
    ("given", "loaded"),
    [
        (("--landmark_term=step", "--landmark_target=masked"), {"cascade"}),
        (
            ("--landmark_term=net", "--landmark_target=masked"),
            {"cascade", "net"},
        ),
        (("--landmark_term=none", "--landmark_scores"), {"cascade"}),
    ],
)
def test_dlib_is_loaded_where_it_is_used(given, loaded, load, monkeypatch):
    made, detector = [], dlib_host.Detector
    monkeypatch.setattr(dlib_host, "Detector", lambda: made.append(1) or detector())
    assert models_of(load(*given).guides) == loaded and made == [1]


@pytest.mark.parametrize("given", ["--landmark_target=masked", "--landmark_scores"])
def test_what_needs_dlib_says_so(given, load, without_dlib):
    with pytest.raises(InputError, match="dlib is not installed"):
        load("--landmark_term=net", "--landmark_target=predicted", given)


@pytest.mark.parametrize("flag", ["--landmark_net", "--landmark_model"])
def test_a_model_that_is_not_there_is_refused_be_it_used_or_not(flag, load):
    with pytest.raises(InputError, match=f"{flag}=/nowhere: no such file or folder"):
        load("--landmark_term=none", f"{flag}=/nowhere")


def test_what_needs_a_cascade_says_so(load, without_dlib):
    with pytest.raises(InputError, match="give the file of a dlib shape predictor"):
        load("--landmark_term=soft", model=None)


PREDICTED = ("--landmark_target=predicted",)
SOFT, NET, STEP = (
    (f"--landmark_term={term}", *PREDICTED) for term in ("soft", "net", "step")
)
# Refusals: name -> (flags, words of the sentence).
REFUSED = {
    "oracle": ((*NET, "--landmark_target=oracle"), ["oracle", "--allow_oracle"]),
    "estimate of soft": (
        (*SOFT, "--landmark_gradient=spsa"),
        ["--landmark_gradient=spsa", "--landmark_term=step"],
    ),
    "estimate of net": (
        (*NET, "--landmark_gradient=es"),
        ["--landmark_gradient=es", "--landmark_term=step"],
    ),
    "missing cascade": ((*SOFT, "--landmark_model={bench}/no.dat"), ["no.dat"]),
    "damaged cascade": (
        (*STEP, "--landmark_model={bench}/damaged.dat"),
        ["damaged.dat", "byte "],
    ),
    "cascade of 5": (
        (*SOFT, "--landmark_model={bench}/five.dat"),
        ["five.dat", "5 points", "68"],
    ),
    "picture as cascade": (
        (*SOFT, "--landmark_model={bench}/nearly_all.png"),
        ["nearly_all.png", "byte "],
    ),
    "missing net": ((*NET, "--landmark_net={bench}/none"), ["none"]),
    "generator as net": ((*NET, "--landmark_net={bench}/tiny"), ["tiny"]),
    "net of larger images": (
        (*SOFT, "--landmark_net={bench}/large_net"),
        ["large_net", "32", "16"],
    ),
    "net of tighter crops": (
        (*NET, "--landmark_net={bench}/tight_net"),
        ["tight_net", "108", "128"],
    ),
    "net of 50": ((*NET, "--landmark_net={bench}/fifty_net"), ["fifty_net", "50"]),
    "negative threshold": ((*SOFT, "--landmark_threshold=-1"), ["threshold", "-1"]),
    "NaN threshold": ((*SOFT, "--landmark_threshold=nan"), ["threshold", "nan"]),
    "infinite threshold": ((*SOFT, "--landmark_threshold=inf"), ["threshold", "inf"]),
    "NaN threshold, unused": (
        ("--landmark_term=none", "--landmark_threshold=nan"),
        ["threshold", "nan"],
    ),
    "no temperature": ((*SOFT, "--landmark_temperature=0"), ["temperature", "0"]),
    "NaN temperature": ((*SOFT, "--landmark_temperature=nan"), ["temperature", "nan"]),
    "no pair": ((*STEP, "--landmark_pairs=0"), ["pairs", "0"]),
    "no radius": ((*STEP, "--landmark_radius=0"), ["radius", "0"]),
    "unknown term": (("--landmark_term=hard",), ["hard", "soft"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_in_a_sentence(name, load):
    given, words = REFUSED[name]
    with pytest.raises(InputError) as refusal:
        load(*given)
    sentence = str(refusal.value)
    assert "\n" not in sentence
    for word in words:
        assert word in sentence


def test_the_released_net_fits_the_released_generator():
    generator, net = (
        json.loads((files.ASSETS / name / "model.json").read_text())
        for name in ("dcgan", "landmark_net")
    )
    assert net["crop"] == generator["crop"]
    found, expected = net["architecture"], generator["architecture"]
    assert found["image_size"] == expected["image_size"]
    assert found["points"] == dlib_host.POINTS


def test_the_report_names_the_models_by_their_content(load, bench):
    cascade_hash = hashlib.sha256((bench / "toy.dat").read_bytes()).hexdigest()
    content = (bench / "net" / "net.safetensors").read_bytes()
    described = load(*SOFT).guides.describe()
    assert described["models"]["cascade"] == cascade_hash
    found = described["models"]["net"]["sha256"]["net"]
    assert found == hashlib.sha256(content).hexdigest()
    landmarks = described["landmarks"]
    assert landmarks["term"] == "soft" and landmarks["target"] == "predicted"
    assert "note" not in landmarks
    assert load("--landmark_term=none").guides.describe()["landmarks"] is None


@pytest.mark.parametrize(
    ("given", "moves"),
    [
        (STEP, False),
        ((*STEP, "--landmark_gradient=spsa"), True),
        (SOFT, True),
        (NET, True),
    ],
)
def test_the_search_knows_whether_the_loss_moves_z(given, moves, load):
    given = ("--landmark_gradient=none", *given)
    assert load(*given).guides.terms()["landmark"].has_gradient is moves


# Towards what.


def case_of(seed, *, mask=None, original=True):
    mask = masks.centre(jax.random.key(0), (SIZE, SIZE))[None] if mask is None else mask
    return cases.Case(
        name="face",
        picture=noise(seed),
        original=noise(seed) if original else None,
        crop=CROP,
        mask=mask,
        key=jax.random.key(0),
    )


def damaged(case):
    return pixels.from_bytes(case.picture)[None] * case.mask


def by_dlib(bench, picture, box):
    predictor = dlib_host.Predictor(str(bench / "toy.dat"))
    return predictor.predict(picture[None], np.asarray(box, np.int32)[None])[0]


@needs_dlib
@pytest.mark.parametrize("boxes", [[], [[1, 2, 12, 14]], [[1, 2, 9, 9], [3, 3, 9, 9]]])
def test_the_thesiss_target_is_dlibs_on_the_damaged_picture(
    boxes, loaded, bench, monkeypatch
):
    shown = []

    def found(self, image):
        shown.append(image)
        return np.array(boxes, np.int32).reshape(-1, 4)

    monkeypatch.setattr(dlib_host.Detector, "boxes", found)
    guides = loaded(*STEP, "--landmark_target=masked").guides
    case = case_of(0)
    problem, entry = guides.problem(case)
    target = problem.targets["landmark"]
    picture = np.asarray(pixels.to_bytes(damaged(case)[0]))
    np.testing.assert_array_equal(shown[0], picture)
    detected = len(boxes) == 1
    box = boxes[0] if detected else framing.aligned_box(crop=CROP, size=SIZE)
    assert entry == {"face_box": "detected" if detected else "aligned"}
    np.testing.assert_array_equal(target.box, [box])
    expected = by_dlib(bench, picture, box)
    np.testing.assert_array_equal(target.landmarks, expected)
    term = guides.landmarks.term
    assert term.predict is None and term.model is not None


def test_the_predicted_target_is_the_nets(loaded, bench):
    case = case_of(0)
    predictor = networks.load(bench / "net", model="landmark_net")
    points, _ = jax.jit(landmark_predictor.predict(predictor))(damaged(case), case.mask)
    for given, uses in [(SOFT, "model"), (NET, "net")]:
        guides = loaded(*given).guides
        problem, entry = guides.problem(case)
        target = problem.targets["landmark"]
        np.testing.assert_allclose(target.landmarks, points, rtol=1e-4)
        assert np.ptp(target.deviation) > 0
        mean = float(np.mean(target.deviation))
        assert entry["deviation"] == pytest.approx(mean)
        term = guides.landmarks.term
        assert (term.model is not None) == (uses == "model")
        assert (term.predict is not None) == (uses == "net")


@pytest.mark.parametrize(
    "target", ["predicted", pytest.param("masked", marks=needs_dlib)]
)
def test_no_target_but_the_oracles_sees_what_is_hidden(target, loaded):
    guides = loaded(*NET, f"--landmark_target={target}").guides
    case = case_of(0)
    hidden = np.where(np.asarray(case.mask[0]) > 0, case.picture, noise(1))
    other = case._replace(picture=hidden, original=noise(2))
    third = case._replace(picture=noise(1))
    found = [guides.problem(one)[0].targets["landmark"] for one in (case, other, third)]
    jax.tree.map(np.testing.assert_array_equal, found[0], found[1])
    assert np.any(found[2].landmarks != found[0].landmarks)


@needs_dlib
def test_the_oracles_target_is_dlibs_on_the_undamaged_picture(loaded, bench):
    guides = loaded(*NET, "--landmark_target=oracle", "--allow_oracle").guides
    case = case_of(3)._replace(picture=noise(4))
    target = guides.problem(case)[0].targets["landmark"]
    expected = by_dlib(bench, case.original, target.box[0])
    np.testing.assert_array_equal(target.landmarks, expected)
    term = guides.landmarks.term
    assert term.predict is not None and term.model is None
    note = guides.describe()["landmarks"]["note"]
    assert guides.sees_original and "upper bound" in note
    with pytest.raises(InputError, match="face.*oracle.*undamaged"):
        guides.problem(case_of(3, original=False))


@pytest.mark.parametrize(
    "target", ["predicted", pytest.param("masked", marks=needs_dlib)]
)
def test_a_hole_over_the_whole_face_has_a_target_too(target, loaded):
    mask = np.zeros((1, SIZE, SIZE, 1), np.float32)
    mask[:, 0] = 1
    case = case_of(0, mask=jnp.asarray(mask))
    problem, _ = loaded(*SOFT, f"--landmark_target={target}").guides.problem(case)
    target = problem.targets["landmark"]
    assert np.isfinite(target.landmarks).all()
    left, top, right, bottom = np.asarray(target.box[0])
    assert left < right and top < bottom


def test_a_net_that_places_no_face_is_refused_for_its_image(loaded):
    guides = loaded(*SOFT, "--landmark_net={bench}/dot_net").guides
    with pytest.raises(InputError, match="^face: no landmarks"):
        guides.problem(case_of(0))


@pytest.mark.parametrize(
    ("target", "owner", "name"),
    [
        ("predicted", landmark_net.LandmarkNet, "__call__"),
        pytest.param("masked", prediction, "predict", marks=needs_dlib),
    ],
)
def test_the_next_image_compiles_nothing(target, owner, name, loaded, monkeypatch):
    guides = loaded(*NET, f"--landmark_target={target}").guides
    guides.problem(case_of(0))
    traced, original = [], getattr(owner, name)

    def counted(*arguments):
        traced.append(name)
        return original(*arguments)

    monkeypatch.setattr(owner, name, counted)
    guides.problem(case_of(1))
    assert traced == []


@needs_dlib
def test_the_error_of_a_completion_is_that_of_dlibs_points(loaded, bench):
    case, completed = case_of(0), noise(1)
    given = ("--landmark_term=none", "--landmark_scores")
    scorer = loaded(*given).scorer
    image = pixels.from_bytes(completed)[None]
    found = scorer.error(case.original, image, crop=case.crop)
    box = framing.aligned_box(crop=CROP, size=SIZE)
    truth, placed = (by_dlib(bench, each, box) for each in (case.original, completed))
    eyes = truth[0, 36:42].mean(axis=0) - truth[0, 42:48].mean(axis=0)
    distance = np.linalg.norm(placed - truth, axis=-1).mean()
    assert found == pytest.approx(distance / np.linalg.norm(eyes), rel=1e-5)
    assert found > 0


@needs_dlib
def test_only_what_is_asked_for_is_scored(loaded):
    # Here all models are loaded, for another reason.
    assert loaded(*STEP, "--landmark_target=masked").scorer is None


# Whole runs.


class Outcome(NamedTuple):
    code: int
    folder: pathlib.Path

    def report(self):
        return json.loads((self.folder / "report.json").read_text())

    def pictures(self):
        return {path.name: path.read_bytes() for path in self.folder.glob("*.png")}


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    """The application in this process, on a command line."""

    def run(*command):
        folder = tmp_path_factory.mktemp("out")
        with (
            flagsaver.flagsaver(),
            jax.numpy_dtype_promotion("standard"),
            contextlib.redirect_stdout(io.StringIO()),
        ):
            flags.FLAGS(["inpaint", *command, f"--output_dir={folder}"])
            return Outcome(inpaint.main(), folder)

    return run


@pytest.fixture(scope="module")
def usual(bench):
    return (
        f"--checkpoint={bench}/tiny",
        "--lambda_structure=0",
        f"--images={bench}/faces",
        f"--landmark_net={bench}/net",
        "--restarts=2",
        "--iterations=2",
        "--landmark_target=predicted",
    )


def checked(outcome, *, terms=frozenset({"context", "prior", "landmark"})):
    """The entries of a run in which all went well."""
    assert outcome.code == 0
    report = outcome.report()
    assert report["skipped"] == []
    assert [entry["image"] for entry in report["images"]] == ["a", "b"]
    for entry in report["images"]:
        assert entry["iterations"] == 2 and entry["terms"].keys() == terms
        values = [*entry["scores_of_restarts"], *entry["terms"].values()]
        assert np.isfinite(values).all()
    return report["images"]


def test_a_run_guided_by_the_net_needs_neither_dlib_nor_its_model(
    complete, usual, without_dlib
):
    entries = checked(complete(*usual, "--landmark_term=net"))
    assert all("nme" not in entry for entry in entries)


@pytest.fixture(scope="module")
def oracles_run(complete, usual, bench):
    return complete(
        *usual,
        f"--landmark_model={bench}/toy.dat",
        "--landmark_term=soft",
        "--landmark_target=oracle",
        "--allow_oracle",
        "--landmark_scores",
    )


@needs_dlib
def test_an_oracles_run_is_called_an_upper_bound(oracles_run):
    checked(oracles_run)
    report = oracles_run.report()["landmarks"]
    assert report["target"] == "oracle" and "upper bound" in report["note"]


@needs_dlib
def test_a_run_is_scored_by_what_it_wrote(oracles_run, bench):
    entries = checked(oracles_run)
    box = framing.aligned_box(crop=CROP, size=SIZE)
    for seed, entry in enumerate(entries):
        picture = picture_files.read(oracles_run.folder / f"{entry['image']}.png")
        truth, placed = (by_dlib(bench, each, box) for each in (noise(seed), picture))
        error = metrics.nme(jnp.asarray(placed), jnp.asarray(truth))
        assert entry["nme"] == pytest.approx(float(error[0]), rel=1e-5)
    mean = np.mean([entry["nme"] for entry in entries])
    assert oracles_run.report()["mean"]["nme"] == pytest.approx(mean)


@pytest.fixture(scope="module")
def estimated_run(complete, usual, bench):
    return complete(
        *usual,
        f"--landmark_model={bench}/toy.dat",
        "--landmark_term=step",
        "--landmark_gradient=es",
        "--landmark_pairs=2",
        "--landmark_radius=0.5",
        "--landmark_threshold=1.5",
        "--seed=3",
    )


def test_effective_flags_repeat_an_estimated_run_byte_by_byte(complete, estimated_run):
    entries = checked(estimated_run)
    again = complete(f"--flagfile={estimated_run.folder}/effective.flags")
    assert again.pictures() == estimated_run.pictures()
    for entry, first in zip(checked(again), entries, strict=True):
        for name in ("terms", "scores_of_restarts", "deviation"):
            assert entry[name] == first[name]


def test_effective_flags_hold_every_flag_of_the_landmarks(estimated_run):
    text = (estimated_run.folder / "effective.flags").read_text()
    written = {line[2:].partition("=")[0] for line in text.splitlines()[1:]}
    known = set(options.names(landmark_options.LandmarkOptions))
    known ^= {
        name
        for flag in ("landmark_scores", "allow_oracle")
        for name in (flag, f"no{flag}")
    }
    assert known | {"lambda_landmark"} <= written
    assert "--landmark_threshold=1.5" in text.splitlines()


@needs_dlib
def test_a_run_of_the_thesis_ranks_by_its_count(complete, usual, bench):
    outcome = complete(
        *usual,
        f"--landmark_model={bench}/toy.dat",
        "--landmark_term=step",
        "--landmark_gradient=none",
        "--landmark_target=masked",
        "--landmark_input=masked",
        "--lambda_landmark=1",
        f"--mask={bench}/nearly_all.png",
    )
    for entry in checked(outcome):
        terms = entry["terms"]
        # Half a point for each coordinate that is off.
        assert 2 * terms["landmark"] == int(2 * terms["landmark"])
        score = terms["context"] + terms["landmark"]
        assert entry["score"] == pytest.approx(score, abs=0.01)
    assert outcome.report()["landmarks"]["term"] == "step"
