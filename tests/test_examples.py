"""The examples in the docstrings and the README do what they say."""

import doctest
import pathlib

import pytest

from inpaint_jax.io import picture_files
from inpaint_jax.search import completion, one_image

README = pathlib.Path(__file__).parents[1] / "README.md"

pytestmark = pytest.mark.usefixtures("standard_promotion")


@pytest.mark.parametrize("module", [completion, one_image], ids=lambda m: m.__name__)
def test_examples(module):
    found = doctest.testmod(module)
    assert found.attempted > 5 and found.failed == 0


def test_the_readmes_python(tmp_path, monkeypatch):
    _, block = README.read_text(encoding="utf-8").split("```python\n")
    monkeypatch.chdir(tmp_path)
    exec(block.split("```")[0], {})
    assert picture_files.read(tmp_path / "completed.png").shape == (64, 64, 3)
