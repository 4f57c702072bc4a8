"""Small models, trained by dlib in a moment; they are no good at faces."""

import functools

import numpy as np
import pytest


@pytest.fixture(scope="session")
def train_toy(tmp_path_factory):
    """`train_toy(points, depth, levels, trees)`: path of a model of that size.

    Each size is trained once a session, on noise with random points.
    """
    dlib = pytest.importorskip("dlib")
    folder = tmp_path_factory.mktemp("toy_models")

    @functools.cache
    def train(points, depth, levels, trees):
        rng = np.random.default_rng(points)
        images = list(rng.integers(0, 256, (4, 64, 64, 3), dtype=np.uint8))
        box = dlib.rectangle(9, 23, 54, 68)
        shapes = []
        for _ in images:
            places = rng.integers(10, 60, (points, 2)).tolist()
            parts = [dlib.point(*place) for place in places]
            shapes.append([dlib.full_object_detection(box, parts)])
        options = dlib.shape_predictor_training_options()
        options.tree_depth = depth
        options.cascade_depth = levels
        options.num_trees_per_cascade_level = trees
        options.oversampling_amount = 2
        options.num_threads = 1  # another number gives another model
        path = folder / f"{points}_{depth}_{levels}_{trees}.dat"
        dlib.train_shape_predictor(images, shapes, options).save(str(path))
        return path

    return train


@pytest.fixture(scope="session")
def toy_model(train_toy):
    """Path of a model of 68 points."""
    return train_toy(68, 3, 3, 20)
