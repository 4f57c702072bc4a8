"""A judge says what it scores by: the faces, their landmarks, the networks it reads."""

import dataclasses

import numpy as np

from experiments.training import release_scores
from inpaint_jax.io import data
from inpaint_jax.models import dcgan, landmark_net
from inpaint_jax.pretrained import networks, weights
from tests import drawn

SIZE = 16
NET = landmark_net.Architecture(SIZE, features=2, hidden=4)


def faces(*, seed, names="ab"):
    images = drawn.noise(len(names), SIZE, SIZE, 3, seed=seed)
    return data.Faces(images, tuple(names), ())


def seen(judged_by):
    """What a judge sees of some faces, the same ones elsewhere, and of others."""
    elsewhere = faces(seed=0, names="cd")
    return [judged_by(each).sees for each in (faces(seed=0), elsewhere, faces(seed=1))]


def model():
    architecture = dcgan.Architecture(image_size=SIZE, features=2, z_dim=8)
    variables = drawn.variables(weights.templates(architecture))
    return weights.Model(architecture, 128, **variables, source={})


def test_other_faces_make_another_judge():
    points = np.ones((2, 68, 2), np.float32)
    for judged_by in (
        release_scores.of_completion,
        lambda faces: release_scores.of_guesses(faces, model(), window=3),
        lambda faces: release_scores.of_landmarks(faces, points, NET),
    ):
        first, moved, other = seen(judged_by)
        assert first == moved != other


def test_other_landmarks_or_another_net_make_another_judge():
    known = faces(seed=0)
    points = np.ones((2, 68, 2), np.float32)
    points[:, ::2] += 3.0
    one, two = (
        release_scores.of_landmarks(known, each, NET).sees
        for each in (points, points + 1.0)
    )
    assert one != two
    net = networks.Pretrained(NET, 128, drawn.variables(networks.template(NET)), {})
    one, two = (
        release_scores.of_samples(known, z_dim=8, predictor=each).sees
        for each in (net, dataclasses.replace(net, source={"sha256": {"net": "0b"}}))
    )
    assert one != two
