"""A model that there is becomes programs that need only JAX, or a sentence."""

import functools
import importlib.util
import subprocess
import sys

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

from inpaint_jax.models import dcgan
from inpaint_jax.pretrained import weights
from tests import drawn
from tests.experiments import launcher

TINY = dcgan.Architecture(image_size=16, features=4, z_dim=3, kernel_size=4)

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("flatbuffers") is None, reason="needs flatbuffers"
)


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "release"
    variables = drawn.variables(weights.templates(TINY, encoder=True))
    model = weights.Model(TINY, 128, **variables, source={}, encodes="damaged faces")
    weights.export(folder, model, provenance={})
    return folder


def interrupted(flags):
    """Runs the application, and interrupts it when it has made one program."""
    script = (
        "import sys\n"
        "from experiments import export\n"
        "from experiments.common import application, stopping\n"
        "from inpaint_jax.pretrained import stablehlo\n"
        "made = stablehlo._serialised\n"
        "def make(*given):\n"
        "    stopping.asked.append(2)\n"
        "    return made(*given)\n"
        "stablehlo._serialised = make\n"
        "application.name = lambda: 'experiments.export'\n"
        "application.run(export.main)\n"
    )
    command = [sys.executable, "-c", script, *flags]
    return functools.partial(
        subprocess.run, command, cwd=launcher.ROOT, capture_output=True, text=True
    )


@pytest.fixture(scope="module")
def exported(release, launched, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "programs"
    flags = (f"--checkpoint={release}", f"--output={folder}")
    done = launched("experiments.export", *flags)
    assert (done.returncode, done.stderr) == (0, "")
    return done, folder


def test_it_says_what_it_wrote_and_what_that_takes(exported):
    done, folder = exported
    *wrote, how = launcher.told(done.stdout)
    wrote = [line for line in wrote if not line.startswith("exporting: ")]
    written = [line.removeprefix("wrote ").partition(": ") for line in wrote]
    assert sorted(path for path, *_ in written) == sorted(map(str, folder.iterdir()))
    takes = {path.rpartition("/")[2]: text for path, _, text in written}
    assert takes["generator.stablehlo"].startswith("z [batch, 3]")
    assert takes["discriminator.stablehlo"].startswith("images [batch, 16, 16, 3]")
    assert "masks [batch, 16, 16, 1]" in takes["encoder.stablehlo"]
    assert 'jax.export.deserialize(bytearray(open(FILE, "rb").read())).call' in how


def test_the_printed_way_loads_the_models_networks(exported, release):
    def load(name):
        file = exported[1] / f"{name}.stablehlo"
        return jax.export.deserialize(bytearray(file.read_bytes())).call

    model = weights.load(release)
    image, mask = jnp.full((3, 16, 16, 3), 0.3), jnp.ones((3, 16, 16, 1))
    z = load("encoder")(image, mask)
    np.testing.assert_allclose(z, jax.jit(model.encode)(image, mask), atol=1e-5)
    drawn_again = load("generator")(z)
    np.testing.assert_allclose(drawn_again, jax.jit(model.generate)(z), atol=1e-5)


def test_interrupted_it_ends_after_a_program_and_says_what_to_do(
    release, environment, tmp_path
):
    flags = f"--checkpoint={release}", f"--output={tmp_path}/programs"
    done = interrupted(flags)(env=environment)
    assert done.returncode == 130 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: interrupted; ")
    assert done.stderr.endswith("the same command begins anew.\n")
    assert list((tmp_path / "programs").iterdir()) == []


def test_a_file_that_is_no_program_is_not_replaced(release, launched, tmp_path):
    (tmp_path / "encoder.stablehlo").write_text("of another program")
    done = launched(
        "experiments.export", f"--checkpoint={release}", f"--output={tmp_path}"
    )
    assert done.returncode == 2 and done.stderr.count("\n") == 1
    assert f"--output={tmp_path}: encoder.stablehlo is there" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["encoder.stablehlo"]


# name -> (further flags, words of the sentence)
REFUSED = {
    "no output": (["--output="], ["--output: missing"]),
    "output is a file": (["--output=README.md"], ["README.md", "folder"]),
    "no model": (["--checkpoint=tests"], ["tests", "neither", "release"]),
    "unknown flag": (["--features=3"], ["features"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_wrong_flags_give_a_sentence_and_exit_code_2(release, launched, tmp_path, name):
    flags, words = REFUSED[name]
    usual = (f"--checkpoint={release}", f"--output={tmp_path}/programs")
    done = launched("experiments.export", *usual, *flags)
    assert done.returncode == 2 and launcher.told(done.stdout) == []
    assert done.stderr.startswith("error: ") and "Traceback" not in done.stderr
    assert all(word in done.stderr for word in words), done.stderr
    assert not (tmp_path / "programs").exists()
