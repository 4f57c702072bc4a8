"""A release takes the place of one of the same networks, and of nothing else."""

import jax.numpy as jnp
import pytest

from inpaint_jax.errors import InputError, OutputError
from inpaint_jax.pretrained import release_folders, releases


@pytest.fixture
def release(tmp_path):
    networks = {name: {"params": {"x": jnp.ones(2)}} for name in ("small", "large")}
    releases.export(tmp_path / "toy", networks, description={})
    return tmp_path / "toy"


def test_an_empty_folder_or_a_release_of_these_networks_is_replaceable(
    release, tmp_path
):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / ".hidden").touch()
    (release / "beside.txt").write_text("mine")
    for folder in (tmp_path / "new" / "er", tmp_path / "empty", release):
        release_folders.check_replaceable(folder, ["large", "small"])
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["photograph.png", "model.json"])
def test_other_files_are_not_replaceable(tmp_path, name):
    (tmp_path / name).write_text('{"mine": 1}')
    with pytest.raises(InputError, match=f"no release, as {name}; give a new"):
        release_folders.check_replaceable(tmp_path, ["net"])


@pytest.mark.parametrize("networks", [["net"], ["small"], ["small", "large", "net"]])
def test_a_release_of_other_networks_is_not_replaceable(release, networks):
    with pytest.raises(InputError, match="holds a release of large, small, which"):
        release_folders.check_replaceable(release, networks)


def test_a_folder_that_cannot_be_written_to_is_not_replaceable(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        release_folders.check_replaceable(tmp_path / "file" / "new", ["net"])
