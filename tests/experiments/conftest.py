"""What the tests of all applications share."""

import os

import pytest

from tests.experiments import launcher


@pytest.fixture(scope="session")
def environment():
    """Of every application that a test starts."""
    return {**os.environ, "JAX_PLATFORMS": "cpu"}


@pytest.fixture(scope="session")
def launched(environment):
    """Runs a module in a process of its own that starts at once."""
    with launcher.started(environment) as run:
        yield run
