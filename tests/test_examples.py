"""The examples in the docstrings do what they say."""

import doctest

import pytest

from inpaint_jax.search import completion, steps

pytestmark = pytest.mark.usefixtures("standard_promotion")


@pytest.mark.parametrize("module", [completion, steps], ids=lambda m: m.__name__)
def test_examples(module):
    found = doctest.testmod(module)
    assert found.attempted > 5 and found.failed == 0
