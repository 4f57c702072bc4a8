"""Whatever ends an application is one sentence, and its exit code says whose fault."""

import re

import jax
import pytest

from experiments.common import failures
from inpaint_jax.errors import InputError


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (InputError("--mask=x: no such mask."), 2, "--mask=x: no such mask."),
        (InputError("restarts=9: too many."), 2, "^--restarts=9: too many"),
        (MemoryError(), 2, "memory is exhausted.* fewer restarts"),
        (
            jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory\nmore"),
            2,
            "memory is exhausted",
        ),
        (OSError(28, "No space left on device"), 2, "^the standard output: No space"),
        (PermissionError(13, "Permission denied", "a\nb"), 2, r"^a\\nb: Permission"),
        (
            jax.errors.JaxRuntimeError("INTERNAL: why\nmore"),
            70,
            "INTERNAL: why;.*--debug",
        ),
        (KeyError("x"), 70, "^internal error: KeyError: 'x'; run again with --debug"),
        (ZeroDivisionError(), 70, "ZeroDivisionError"),
    ],
)
def test_every_error_is_one_sentence_and_a_code(error, code, words):
    found = failures.of(error)
    assert found.code == code and "\n" not in found.sentence
    assert re.search(words, found.sentence)
