"""What is asked of the machine before the work: its memory, and optional packages."""

import sys
import types

import jax
import jax.numpy as jnp
import pytest

from inpaint_jax import runtime
from inpaint_jax.errors import InputError

MEGABYTE = jax.ShapeDtypeStruct((1 << 18,), jnp.float32)


def peak(function, *shapes):
    return runtime.peak_memory(jax.jit(function).trace(*shapes).jaxpr.jaxpr) >> 20


def test_an_array_counts_until_it_was_used_last():
    assert peak(lambda x: jnp.sin(jnp.cos(jnp.tan(x))), MEGABYTE) == 3  # and x itself
    assert peak(lambda x: jnp.sin(x) * jnp.cos(x), MEGABYTE) == 4
    assert peak(lambda x: [x + 1.0, x + 2.0, x + 3.0], MEGABYTE) == 4


def test_what_is_inside_a_loop_or_a_function_counts():
    def inside(x):
        outer = jnp.tile(x, 8)
        return outer.reshape(8, -1).sum(axis=0)

    assert peak(inside, MEGABYTE) == peak(jax.jit(inside), MEGABYTE) >= 9
    loop = lambda x: jax.lax.fori_loop(0, 3, lambda _, y: inside(y), x)
    assert peak(loop, MEGABYTE) >= 9


def test_more_than_there_is_is_refused_with_both_numbers():
    free = runtime.free_memory()
    runtime.check_memory(free // 2, what="--batch_size=2: a step", give="give less")
    with pytest.raises(InputError, match=r"^--batch_size=9: a step needs about .* GB"):
        runtime.check_memory(4 * free, what="--batch_size=9: a step", give="give less")


def test_a_package_is_missing_or_fails_to_import(monkeypatch, tmp_path):
    with pytest.raises(InputError, match=r"^nowhere_x is not installed; .*\[plots\]"):
        runtime.optional("nowhere_x.deep", extra="plots")
    (tmp_path / "broken_x.py").write_text("raise OSError('no such library')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=r"^broken_x fails to import \(no such lib"):
        runtime.optional("broken_x", extra="plots")
    monkeypatch.setitem(sys.modules, "there_x", there := types.ModuleType("there_x"))
    assert runtime.optional("there_x", extra="plots") is there
