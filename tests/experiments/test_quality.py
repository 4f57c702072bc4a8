"""The application that follows searches through time reads its flags and its inputs."""

import pytest

from inpaint_jax.io import files, picture_files
from tests import drawn


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--images=missing"], "missing: "),
        (["--images={faces}", "--checkpoint=nowhere"], "nowhere: "),
        (["--images={faces}", "--restarts=0"], "--restarts=0: "),
        (["--seconds=0.5"], "--seconds=0.5: "),
    ],
)
def test_wrong_input_is_refused_in_one_sentence(flags, message, launched, tmp_path):
    faces = files.make_directory(tmp_path / "faces")
    picture_files.write(faces / "0.png", drawn.noise(64, 64, 3))
    given = [flag.format(faces=faces) for flag in flags]
    done = launched("experiments.quality", f"--output_dir={tmp_path / 'out'}", *given)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert message in done.stderr
