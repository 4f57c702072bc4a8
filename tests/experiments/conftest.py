"""What the tests of all applications share."""

import os

import pytest

from tests.experiments import launcher


@pytest.fixture(scope="session")
def environment(tmp_path_factory):
    """Each process compiles the same programs; the first one does it for all."""
    return {
        **os.environ,
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path_factory.mktemp("compiled")),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        "JAX_PLATFORMS": "cpu",
    }


@pytest.fixture(scope="session")
def launched(environment):
    """Runs a module in a process of its own that starts at once."""
    with launcher.started(environment) as run:
        yield run
