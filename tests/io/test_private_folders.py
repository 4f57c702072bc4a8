"""What others may write to is not trusted."""

import os

import pytest

from inpaint_jax.errors import InputError
from inpaint_jax.io import private_folders


def refusal(check, path):
    with pytest.raises(InputError) as caught:
        check(path)
    return str(caught.value)


def test_a_private_folder_is_closed_to_others(tmp_path):
    made = private_folders.make_private(tmp_path / "a" / "b")
    assert made.stat().st_mode & 0o777 == 0o700
    made.chmod(0o755)
    assert private_folders.make_private(made) == made


@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_a_private_folder_that_others_may_write_to_is_refused(tmp_path, mode):
    tmp_path.chmod(mode)
    message = refusal(private_folders.make_private, tmp_path)
    assert "chmod go-w" in message


def test_what_is_another_users_is_refused(tmp_path, monkeypatch):
    private_folders.check(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 4321)
    for check in (private_folders.check, private_folders.make_private):
        assert "you are 4321" in refusal(check, tmp_path)
