"""Stricter than users run: shapes checked, no silent promotion, warnings are errors."""

import atexit
import gc
import os
import pathlib
import shutil
import tempfile

# What one process has compiled no other process of the same run compiles again: none of
# pytest's workers and no application that a test starts. JAX reads this when imported.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    _PROGRAMS = tempfile.mkdtemp(prefix="programs")
    atexit.register(shutil.rmtree, _PROGRAMS, ignore_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _PROGRAMS
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

# Most programs run for a moment: to optimise their machine code, or to generate it by
# XLA's fusion emitters, would take longer. `.ci/run` tests once more, as users compile
# it, what depends on the compiler's arithmetic: with 0 and no flags in the environment.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1",
)

import jax
import pytest
from jaxtyping import install_import_hook

install_import_hook("inpaint_jax", "beartype.beartype")

from inpaint_jax import runtime  # noqa: E402
from inpaint_jax.io import picture_files  # noqa: E402
from tests import drawn  # noqa: E402

runtime.allow_callbacks()
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")

_ROOT = pathlib.Path(__file__).parents[1]
# Aligned CelebA pictures at half size, in the checkout (git ignores it) or beside it.
_FACES = [folder / "data" / "celeba_half" for folder in (_ROOT, _ROOT / "../shared")]


# These files take 20 s and more. They come first, so that both workers end together.
_LONG = {
    *("test_release.py", "test_train.py", "test_inpaint.py", "test_health.py"),
    *("test_stablehlo.py", "test_evaluate.py", "test_landmark_options.py"),
    *("test_train_gan.py", "test_train_completers.py", "test_train_landmarks.py"),
    *("test_completion.py", "test_strided.py", "test_golden.py", "test_examples.py"),
}


def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.path.name not in _LONG)


def pytest_collection_finish():
    # Tracing allocates much and leaves few cycles; collecting them often costs a tenth.
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 20, 100)


@pytest.fixture(scope="session")
def faces_folder() -> pathlib.Path:
    """Folder of real aligned faces; tests that use it carry the marker `faces`."""
    for folder in _FACES:
        if folder.is_dir():
            return folder
    pytest.skip("needs aligned CelebA pictures in data/celeba_half")


@pytest.fixture
def key():
    return jax.random.key(0)


@pytest.fixture(scope="module")
def optimised():
    """Optimised programs, as users run them.

    For modules whose programs take longer to run than to optimise, and for those that
    compare bits, which depend on what the compiler makes of a product and its sum.
    """
    usual = jax.config.values["jax_disable_most_optimizations"]
    jax.clear_caches()
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.clear_caches()
    jax.config.update("jax_disable_most_optimizations", usual)


@pytest.fixture
def standard_promotion():
    """For tests that go through optax or flax, which mix dtypes."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture
def folder(tmp_path):
    """Six small pictures with a subfolder, and things that are no pictures."""
    root = tmp_path / "faces"
    (root / "b").mkdir(parents=True)
    for i, name in enumerate(("a.png", "b/1.png", "b/2.png", "c.png", "z.PNG")):
        picture_files.write(root / name, drawn.noise(12, 12, 3, seed=i))
    (root / "notes.txt").write_text("no picture")
    (root / "d.png").mkdir()
    return root
