"""A search that calls dlib on the host finds what dlib's cascade in the graph finds."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import inpaint_jax
from inpaint_jax.landmarks.cascade import model_file
from inpaint_jax.landmarks.cascade.shape_model import ShapeModel

pytest.importorskip("dlib")

# Both searches, in a process that may hang: the watchdog ends it. SPSA asks dlib in
# each step, for pairs of points around each restart; images share a program.
SEARCH = """
import concurrent.futures, faulthandler, os, sys
faulthandler.dump_traceback_later(280, exit=True)
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
from inpaint_jax import runtime
runtime.allow_callbacks()
import jax
import jax.numpy as jnp
import numpy as np
from inpaint_jax import Problem, Settings
from inpaint_jax.landmarks import dlib_host
from inpaint_jax.search import driver, landmark_term, program
from inpaint_jax.search.problem import WeightedTerm

SIZE, COUNT = 32, 2
predictor = dlib_host.Predictor(sys.argv[1])
cascade = jax.tree.map(jnp.asarray, predictor.model)
slow = jax.random.normal(jax.random.key(1), (4, 4, 4, 3))

def generate(z):
    small = jnp.einsum("bz,zyxc->byxc", z, slow)
    return jnp.tanh(jax.image.resize(small, (len(z), SIZE, SIZE, 3), "bilinear"))

settings = Settings(restarts=3, iterations=4, chunk=2, init="random", patience=0,
                    lambda_prior=0.0)
mask = jnp.ones((1, SIZE, SIZE, 1)).at[:, 8:24, 8:24].set(0.0)
box = jnp.array([[4, 6, 27, 29]])

@jax.jit
def problem(key):
    image = generate(jax.random.uniform(key, (1, 4), minval=-1.0)) * mask
    target = landmark_term.target_of_cascade(cascade, image, box)
    return Problem(image, mask, {"landmark": target})

def found(detector, key):
    options = landmark_term.Settings(term="step", gradient="spsa", pairs=2,
                                     detector=detector, threshold=0.5)
    called = predictor if detector == "dlib" else None
    term = landmark_term.LandmarkTerm(options, cascade, None, called)
    compiled = program.prepare(generate, None, z_dim=4, settings=settings,
                               terms={"landmark": WeightedTerm(0.01, term)})
    keys = list(jax.random.split(key, COUNT))
    *_, last = driver.search_together(keys, list(map(problem, keys)), compiled=compiled)
    value = compiled.evaluate(
        jnp.stack([each.state.best_z for each in last]),
        program.stacked(list(map(problem, keys))),
    )[2]["landmark"]
    return [np.asarray(each.state.z) for each in last], np.asarray(value)

keys = jax.random.split(jax.random.key(0), 8)
first = found("dlib", keys[0])  # compiles
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    by_dlib = list(pool.map(lambda key: found("dlib", key), keys))
jax.tree.map(np.testing.assert_array_equal, first, by_dlib[0])
in_graph = [found("cascade", key) for key in keys[:4]]
jax.tree.map(np.testing.assert_array_equal, by_dlib[:4], in_graph)
print("equal", sum(float(value.sum()) > 0 for _, value in by_dlib))
"""


@pytest.fixture
def toy_model(tmp_path):
    rng = np.random.default_rng(0)
    points, splits, forest, features = 68, 3, (2, 6), 20
    initial = rng.uniform(0.1, 0.9, (points, 2)).astype(np.float32)
    cascade = ShapeModel(
        initial=initial,
        first=rng.integers(0, features, (*forest, splits), dtype=np.int32),
        second=rng.integers(0, features, (*forest, splits), dtype=np.int32),
        threshold=rng.normal(0, 20, (*forest, splits)).astype(np.float32),
        leaves=rng.normal(0, 0.05, (*forest, splits + 1, points, 2)).astype(np.float32),
        anchor=rng.integers(0, points, (2, features), dtype=np.int32),
        offset=rng.normal(0, 0.1, (2, features, 2)).astype(np.float32),
    )
    path = tmp_path / "toy.dat"
    path.write_bytes(model_file.serialise(cascade))
    return path


@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="needs control over its cores"
)
def test_eight_searches_on_one_core_call_dlib_and_end_where_the_cascade_does(toy_model):
    result = subprocess.run(
        [sys.executable, "-c", SEARCH, str(toy_model)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=pathlib.Path(inpaint_jax.__file__).parents[1],
        env=os.environ | {"JAX_PLATFORMS": "cpu"},
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == "equal 8"
