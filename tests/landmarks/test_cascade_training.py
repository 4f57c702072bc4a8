"""The trained cascade is the one that dlib trains by hand, and it finds its points."""

import dataclasses
import resource

import dlib
import numpy as np
import pytest
from PIL import Image

from inpaint_jax.errors import InputError, OutputError
from inpaint_jax.landmarks import cascade_training, labelled_faces

COUNT = 40
TINY = cascade_training.CascadeSettings(
    levels=3, trees=40, depth=3, features=60, candidates=10, initial_shapes=8
)
# The two eyes, the nose and the corners of the mouth, in a face of radius 1.
FACE = np.array([[-0.4, -0.3], [0.4, -0.3], [0.0, 0.1], [-0.3, 0.5], [0.3, 0.5]])


def draw(rng, centres, radius, shape):
    """Draws bright ellipses with dark spots; returns the picture and the spots."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    picture = np.full(shape, 40.0)
    points = []
    for centre in centres:
        away = (x - centre[0]) ** 2 + 0.8 * (y - centre[1]) ** 2
        picture[away < radius**2] = 200.0
        # Features move together, and a little on their own.
        moved = FACE + rng.uniform(-0.25, 0.25, 2) + rng.uniform(-0.03, 0.03, (5, 2))
        points.append(centre + radius * moved)
        for spot in points[-1]:
            near = np.exp(-((x - spot[0]) ** 2 + (y - spot[1]) ** 2) / 30.0)
            picture -= 0.8 * picture * near
    tint = np.array([1.1, 1.0, 0.7])
    noisy = picture[..., None] * tint + rng.normal(0.0, 4.0, (*shape, 3))
    return noisy.clip(0, 255).astype(np.uint8), np.rint(points)


def synthetic(*, seed):
    """Single faces on pictures of one size, so that they can be stored as arrays."""
    rng = np.random.default_rng(seed)
    images, boxes, landmarks = [], [], []
    for _ in range(COUNT):
        centre = rng.integers(26, 38, 2)
        image, points = draw(rng, [centre], 20.0, (64, 72))
        images.append(image)
        boxes.append([*(centre - 20), *(centre + 19)])
        landmarks.append(points[0])
    return labelled_faces.LabelledFaces(
        images=images,
        image_index=np.arange(COUNT),
        boxes=np.array(boxes),
        landmarks=np.array(landmarks),
        names=[f"face {i}" for i in range(COUNT)],
    )


def write_xml(folder, faces):
    """Writes faces as imglab does, each picture as a PNG."""
    lines = []
    for i, image in enumerate(faces.images):
        Image.fromarray(image).save(folder / f"{i}.png")
        lines.append(f"<image file='{i}.png'>")
        for face in np.flatnonzero(faces.image_index == i):
            left, top, right, bottom = faces.boxes[face].tolist()
            lines.append(
                f"<box left='{left}' top='{top}' width='{right - left + 1}' "
                f"height='{bottom - top + 1}'>"
            )
            for k, (x, y) in enumerate(faces.landmarks[face].astype(int).tolist()):
                lines.append(f"<part name='{k:02d}' x='{x}' y='{y}'/>")
            lines.append("</box>")
        lines.append("</image>")
    path = folder / "faces.xml"
    text = "\n".join(lines)
    path.write_text(f"<dataset><images>{text}</images></dataset>")
    return path


def crowd():
    """Pictures of different sizes with several faces, one of them partly outside."""
    rng = np.random.default_rng(3)
    images, index, boxes, landmarks = [], [], [], []
    for i, (width, centres) in enumerate([(140, [30, 100]), (60, [16]), (80, [40])]):
        centres = np.array([[x, 30] for x in centres])
        image, points = draw(rng, centres, 20.0, (60, width))
        images.append(image)
        index += [i] * len(centres)
        boxes += np.hstack([centres - 20, centres + 19]).tolist()
        landmarks += points.tolist()
    return labelled_faces.LabelledFaces(
        images=images,
        image_index=np.array(index),
        boxes=np.array(boxes),
        landmarks=np.array(landmarks),
        names=[f"face {i}" for i in range(len(index))],
    )


@pytest.fixture(scope="module")
def faces():
    return synthetic(seed=0)


@pytest.fixture(scope="module")
def trained(faces, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "toy.dat"
    return path, cascade_training.train(faces, settings=TINY, path=path)


def train_bytes(faces, path, **changes):
    cascade_training.train(
        faces, settings=dataclasses.replace(TINY, **changes), path=path
    )
    return path.read_bytes()


def mean_shape_errors(faces, shapes_of):
    """Errors of the mean shape of `shapes_of`, placed by each face's box."""
    start = shapes_of.boxes[:, None, :2]
    sides = (shapes_of.boxes[:, 2:] - shapes_of.boxes[:, :2])[:, None]
    mean = ((shapes_of.landmarks - start) / sides).mean(axis=0)
    corner = faces.boxes[:, None, :2]
    placed = corner + mean * (faces.boxes[:, 2:] - faces.boxes[:, :2])[:, None]
    return np.linalg.norm(placed - faces.landmarks, axis=-1).mean(axis=-1)


def test_training_faces_are_read_better_than_by_the_mean_shape(faces, trained):
    _, errors = trained
    assert errors.shape == (COUNT,)
    assert errors.mean() < 0.1 * mean_shape_errors(faces, faces).mean()


def test_unseen_faces_are_read_better_than_by_the_mean_shape(faces, trained):
    path, _ = trained
    unseen = synthetic(seed=1)
    errors = cascade_training.errors(unseen, path=path)
    assert errors.mean() < 0.3 * mean_shape_errors(unseen, faces).mean()


def test_errors_are_those_of_dlib(faces, trained):
    path, errors = trained
    model = dlib.shape_predictor(str(path))
    by_hand = []
    for i, image in enumerate(faces.images):
        shape = model(image, dlib.rectangle(*faces.boxes[i].tolist()))
        away = [
            np.hypot(shape.part(k).x - x, shape.part(k).y - y)
            for k, (x, y) in enumerate(faces.landmarks[i])
        ]
        by_hand.append(np.mean(away))
    np.testing.assert_allclose(errors, by_hand, rtol=1e-12)
    np.testing.assert_allclose(
        cascade_training.errors(faces, path=path), by_hand, rtol=1e-12
    )


def test_the_mean_error_is_what_dlib_calls_the_test_error(tmp_path):
    faces, path = crowd(), tmp_path / "toy.dat"
    few = dataclasses.replace(TINY, trees=5)
    errors = cascade_training.train(faces, settings=few, path=path)
    expected = dlib.test_shape_predictor(str(write_xml(tmp_path, faces)), str(path))
    assert len(set(errors)) > 1
    np.testing.assert_allclose(errors.mean(), expected, rtol=1e-12)


def test_the_same_seed_gives_the_same_bytes(faces, trained, tmp_path):
    path, _ = trained
    assert train_bytes(faces, tmp_path / "again.dat") == path.read_bytes()
    assert train_bytes(faces, tmp_path / "other.dat", seed=1) != path.read_bytes()


def test_xml_and_arrays_give_the_same_bytes(faces, trained, tmp_path):
    path, _ = trained
    from_xml = labelled_faces.read_xml(write_xml(tmp_path, faces))
    assert train_bytes(from_xml, tmp_path / "xml.dat") == path.read_bytes()
    np.savez(
        tmp_path / "faces.npz",
        images=np.stack(faces.images),
        boxes=faces.boxes,
        landmarks=faces.landmarks,
    )
    from_arrays = labelled_faces.read_arrays(tmp_path / "faces.npz")
    assert train_bytes(from_arrays, tmp_path / "npz.dat") == path.read_bytes()


def test_dlib_itself_makes_the_same_file_from_the_xml(tmp_path):
    options = dlib.shape_predictor_training_options()
    options.cascade_depth = 2
    options.num_trees_per_cascade_level = 7
    options.tree_depth = 3
    options.feature_pool_size = 50
    options.num_test_splits = 11
    options.nu = 0.25
    options.lambda_param = 0.3
    options.oversampling_amount = 6
    options.random_seed = "9"
    options.num_threads = 4
    xml = write_xml(tmp_path, crowd())
    dlib.train_shape_predictor(str(xml), str(tmp_path / "dlib.dat"), options)
    settings = cascade_training.CascadeSettings(
        levels=2,
        trees=7,
        depth=3,
        features=50,
        candidates=11,
        shrinkage=0.25,
        pair_distance=0.3,
        initial_shapes=6,
        seed=9,
        threads=4,
    )
    cascade_training.train(crowd(), settings=settings, path=tmp_path / "ours.dat")
    ours, expected = tmp_path / "ours.dat", tmp_path / "dlib.dat"
    assert ours.read_bytes() == expected.read_bytes()


@pytest.mark.parametrize("field", dataclasses.fields(TINY), ids=lambda f: f.name)
def test_every_setting_decides_the_cascade(trained, faces, tmp_path, field):
    path, _ = trained
    value = getattr(TINY, field.name)
    changed = value * 2 if field.name == "pair_distance" else value + 1
    changed = 0.5 if field.name == "shrinkage" else changed
    got = train_bytes(faces, tmp_path / "other.dat", **{field.name: changed})
    assert got != path.read_bytes()


def test_defaults_are_those_of_the_thesis():
    settings = cascade_training.CascadeSettings()
    symbols = ("levels", "trees", "depth", "features", "candidates")
    # T, K, F, P and S in section 2.4.3.
    assert [getattr(settings, name) for name in symbols] == [10, 500, 5, 400, 20]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, 0) for name in ("levels", "trees", "depth", "candidates", "threads")),
        ("initial_shapes", 0),
        ("features", 9),
        ("seed", -1),
        ("shrinkage", 0.0),
        ("shrinkage", 1.01),
        ("shrinkage", float("nan")),
        ("pair_distance", 0.01),
        ("pair_distance", 1.1),
    ],
)
def test_settings_out_of_range_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name}={value} "):
        dataclasses.replace(TINY, **{name: value})


def test_the_hardest_settings_end(faces, tmp_path):
    hardest = {"features": 10, "pair_distance": 0.02}
    assert train_bytes(faces, tmp_path / "toy.dat", trees=5, **hardest)


def test_training_on_damaged_faces_helps_on_damaged_faces(trained, tmp_path):
    rng = np.random.default_rng(0)

    def damaged(seed):
        faces = synthetic(seed=seed)
        masks = [np.ones((64, 72, 1)) for _ in faces.images]
        for mask, (x, y) in zip(masks, rng.integers(16, 36, (COUNT, 2)), strict=True):
            mask[y : y + 20, x : x + 20] = 0.0
        return labelled_faces.mask_faces(faces, masks)

    unseen = damaged(1)
    cascade_training.train(damaged(0), settings=TINY, path=tmp_path / "damaged.dat")
    whole = cascade_training.errors(unseen, path=trained[0])
    assert (
        cascade_training.errors(unseen, path=tmp_path / "damaged.dat").mean()
        < whole.mean()
    )


def test_a_full_disk_leaves_the_old_file(faces, tmp_path):
    path = tmp_path / "toy.dat"
    path.write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(OutputError, match=r"toy\.dat: cannot be written .*incompl"):
            cascade_training.train(faces, settings=TINY, path=path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["toy.dat"]


def test_a_folder_that_is_missing_is_noticed_before_training(faces, tmp_path):
    thesis = cascade_training.CascadeSettings(trees=10**9)
    with pytest.raises(OutputError, match="cannot write here"):
        cascade_training.train(
            faces, settings=thesis, path=tmp_path / "none" / "toy.dat"
        )


@pytest.mark.parametrize("verbose", [False, True])
def test_dlib_prints_if_it_is_asked_to(faces, tmp_path, capfd, verbose):
    cascade_training.train(
        faces, settings=TINY, path=tmp_path / "toy.dat", verbose=verbose
    )
    assert ("Fitting trees" in capfd.readouterr().out) is verbose


def test_errors_of_a_file_that_is_no_model_are_input_errors(faces, tmp_path):
    with pytest.raises(InputError, match=r"none\.dat: no dlib model of 5 points"):
        cascade_training.errors(faces, path=tmp_path / "none.dat")


@pytest.mark.parametrize("points", [1, 4])
def test_a_model_of_other_points_is_an_input_error(faces, tmp_path, points):
    options = dlib.shape_predictor_training_options()
    options.cascade_depth = options.num_trees_per_cascade_level = 1
    box, parts = dlib.rectangle(9, 9, 40, 40), [dlib.point(i, i) for i in range(points)]
    shapes = [[dlib.full_object_detection(box, parts)]]
    model = dlib.train_shape_predictor(faces.images[:1], shapes, options)
    model.save(str(tmp_path / "other.dat"))
    with pytest.raises(InputError, match=r"other\.dat: no dlib model of 5 points"):
        cascade_training.errors(faces, path=tmp_path / "other.dat")
