"""What a run stores is compared with what it is asked to go on with."""

import jax.numpy as jnp
import pytest

from experiments.training import keeping
from inpaint_jax.errors import InputError
from inpaint_jax.io import checkpoints

STATE = {"x": jnp.arange(3.0)}


def stored(folder, materials=None, **settings):
    meta = {"settings": settings, "materials": materials or {}}
    with checkpoints.opened(folder) as store:
        store.save(4, state=STATE, model=STATE, meta=meta)


def resumed(folder, materials=None, **settings):
    meta = {"settings": settings, "materials": materials or {}}
    with checkpoints.opened(folder) as store:
        return keeping.resume(store, STATE, meta=meta, steps=9)


def read(flag, given, sha256):
    return {flag: {"given": given, "sha256": sha256}}


def test_a_run_goes_on_though_an_option_has_another_name_now(tmp_path):
    stored(tmp_path, start_from="runs/first", seed=3)
    assert resumed(tmp_path, pretrained="runs/first", seed=3).first == 4
    with pytest.raises(InputError, match="--pretrained=runs/other: .* runs/first"):
        resumed(tmp_path, pretrained="runs/other", seed=3)


def test_a_run_of_other_settings_is_refused(tmp_path):
    stored(tmp_path, seed=3)
    with pytest.raises(InputError, match="--seed=4: .* has 3"):
        resumed(tmp_path, seed=4)


def test_a_material_may_have_moved_but_not_changed(tmp_path):
    stored(tmp_path, read("parser", "a", "01"), parser="a")
    assert resumed(tmp_path, read("parser", "b", "01"), parser="b").first == 4
    with pytest.raises(InputError) as caught:
        resumed(tmp_path, read("parser", "a", "02"), parser="a")
    assert str(caught.value) == (
        "--parser=a: is another network than the run in --run_dir was begun with; give "
        "the same or another folder."
    )


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("pretrained", "is another network"),
        ("labels", "has other landmarks"),
        ("landmark_model", "gives other landmarks"),
        ("run_dir", "gets other landmarks from dlib's model"),
    ],
)
def test_another_material_is_named_by_its_flag(tmp_path, flag, words):
    stored(tmp_path, read(flag, "a", "01"))
    with pytest.raises(InputError, match=f"^--{flag}=b: {words} than the run in"):
        resumed(tmp_path, read(flag, "b", "02"))


def test_a_material_that_was_not_there_is_refused(tmp_path):
    stored(tmp_path)
    with pytest.raises(InputError, match="^--labels=a: the run .* begun without it"):
        resumed(tmp_path, read("labels", "a", "01"))
