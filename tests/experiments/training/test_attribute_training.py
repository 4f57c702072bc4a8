"""A classifier of embeddings: fitted, measured, written; labels that are wrong."""

import numpy as np
import pytest

from experiments.training import attribute_training
from experiments.training.attribute_training import Labelled
from inpaint_jax.errors import InputError
from inpaint_jax.evaluation import attributes
from inpaint_jax.io import data
from inpaint_jax.pretrained import attribute_classifier
from tests import drawn


def labelled(count, *, seed):
    """Faces whose label follows two coordinates, not always."""
    rng = np.random.default_rng(seed)
    faces = rng.normal(size=(count, 128)).astype(np.float32)
    return Labelled(faces, faces[:, 3] - faces[:, 5] + rng.normal(0, 0.3, count) > 0.5)


def test_a_fit_is_where_the_gradient_vanishes():
    faces, ridge = labelled(300, seed=0), 1e-2
    found = attribute_training.fit(faces, ridge=ridge)
    p = attributes.probability(found, faces.embeddings)
    slope = (p - faces.labels) @ faces.embeddings / 300 + 2 * ridge * found.weights
    np.testing.assert_allclose(slope, 0.0, atol=1e-4)
    assert np.mean(p) == pytest.approx(np.mean(faces.labels), abs=1e-4)


def test_the_ridge_with_the_least_loss_on_held_out_faces_is_taken():
    faces, held_out = labelled(200, seed=1), labelled(400, seed=2)
    chosen, ridge = attribute_training.choose(faces, held_out)

    def loss(classifier):
        p = attributes.probability(classifier, held_out.embeddings).astype(float)
        p = np.clip(np.where(held_out.labels, p, 1 - p), 1e-7, 1)
        return -np.log(p).mean()

    each = {
        r: loss(attribute_training.fit(faces, ridge=r))
        for r in attribute_training.RIDGES
    }
    assert ridge == min(each, key=each.get) and loss(chosen) == min(each.values())
    scores = attribute_training.measure(chosen, held_out)
    right = (
        attributes.probability(chosen, held_out.embeddings) > 0.5
    ) == held_out.labels
    assert scores["accuracy"]["value"] == right.mean() > 0.7
    assert scores["accuracy_of_1"]["value"] == right[held_out.labels].mean()


def test_a_classifier_is_read_as_it_was_written(tmp_path):
    found = attribute_training.fit(labelled(100, seed=3), ridge=1e-2)
    folder = tmp_path / "attributes"
    attribute_classifier.export(folder, "male", found, crop=128, provenance={})
    read = attribute_classifier.load(folder, "male")
    np.testing.assert_allclose(read.weights, found.weights, rtol=1e-3, atol=1e-6)
    with pytest.raises(InputError, match="no classifier of 'young', but of male"):
        attribute_classifier.load(folder, "young")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id,old\n1,1\n", "line 2 has id=1 and male=None"),
        ("id,male\n1,yes\n", "line 2 has id=1 and male=yes"),
        ("id,male\n1\n", "line 2 has id=1 and male=None"),
        ("id,male\na,1\nb,1\na,0\n", "has both male=1 and male=0 for the picture a"),
        ("", "says of no picture"),
        ("id,male\n1,\n", "says of no picture"),
    ],
)
def test_labels_that_are_wrong_are_refused(tmp_path, text, words):
    path = tmp_path / "labels.csv"
    path.write_text(text)
    with pytest.raises(InputError) as refused:
        attribute_training.read_labels(str(path), "male")
    assert str(refused.value).startswith(f"--labels={path}: {words}")


def test_held_out_faces_are_no_training_faces_of_other_names():
    images = drawn.noise(6, 8, 8, 3)
    known = data.Faces(images[:4], ("a", "b", "c", "d"), ())
    attribute_training.check_held_out(data.Faces(images[4:], ("a", "b"), ()), known)
    with pytest.raises(InputError, match="1 of its 3 faces are among those of --data"):
        held_out = data.Faces(images[3:], ("x", "y", "z"), ())
        attribute_training.check_held_out(held_out, known)


def test_the_same_label_twice_is_one(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("id,male\n1,1\n1,1\n1,\n2,0\n")
    labels = attribute_training.read_labels(str(path), "male")
    assert labels == {"1": True, "2": False}


def test_labels_go_to_the_faces_of_their_names(tmp_path, monkeypatch):
    path = tmp_path / "labels.csv"
    path.write_text("id,male\n1,1\n2,\n3,0\n4,1\n5,0\n")
    labels = attribute_training.read_labels(str(path), "male")
    assert labels == {"1": True, "3": False, "4": True, "5": False}
    images = drawn.noise(6, 8, 8, 3)
    names = ("4.jpg", "folder/3.png", "2.jpg", "1.jpg", "5.jpg", "9.jpg")
    monkeypatch.setattr(
        attribute_training.embedding,
        "embed",
        lambda images, crop: images.reshape(len(images), -1)[:, :128],
    )
    found = attribute_training.labelled(
        data.Faces(images, names, ()), labels, crop=128, flag="--data"
    )
    assert found.labels.tolist() == [True, False, True, False]
    rows = images.reshape(6, -1)[[0, 1, 3, 4], :128]
    np.testing.assert_array_equal(found.embeddings, rows)
    few = data.Faces(images[:2], names[:2], ())
    with pytest.raises(InputError, match="--data: 1 of 2 faces are labelled 1"):
        attribute_training.labelled(few, labels, crop=128, flag="--data")


def test_the_released_classifier_is_right_about_the_portrait():
    from inpaint_jax.images import framing
    from inpaint_jax.io import files, picture_files

    pytest.importorskip("dlib")
    photo = picture_files.read(files.ASSETS / "portrait.png")
    face = framing.frame(photo, crop=128, size=64)
    row = attribute_training.embedding.embed(face[None], crop=128)
    classifier = attribute_classifier.load("release", "male")
    assert attributes.probability(classifier, row)[0] < 0.1
