"""What a run stores is compared with what it is asked to go on with."""

import jax.numpy as jnp
import pytest

from experiments.training import keeping
from inpaint_jax.errors import InputError
from inpaint_jax.io import checkpoints

STATE = {"x": jnp.arange(3.0)}


def stored(folder, **settings):
    with checkpoints.opened(folder) as store:
        store.save(4, state=STATE, model=STATE, meta={"settings": settings})


def resumed(folder, **settings):
    with checkpoints.opened(folder) as store:
        return keeping.resume(store, STATE, meta={"settings": settings}, steps=9)


def test_a_run_goes_on_though_an_option_has_another_name_now(tmp_path):
    stored(tmp_path, start_from="runs/first", seed=3)
    assert resumed(tmp_path, pretrained="runs/first", seed=3).first == 4
    with pytest.raises(InputError, match="--pretrained=runs/other: .* runs/first"):
        resumed(tmp_path, pretrained="runs/other", seed=3)


def test_a_run_of_other_settings_is_refused(tmp_path):
    stored(tmp_path, seed=3)
    with pytest.raises(InputError, match="--seed=4: .* has 3"):
        resumed(tmp_path, seed=4)
