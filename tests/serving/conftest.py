"""Servers for the contract tests: the real ones where they can be started, else a skip with the reason."""

import pytest

from facelab.core.errors import UnsupportedError
from facelab.serving.pools import _local


@pytest.fixture(scope="session")
def postgres():
    yield from started(_local.local_postgres)


@pytest.fixture(scope="session")
def valkey():
    yield from started(_local.local_valkey)


def started(server):
    manager = server()
    try:
        address = manager.__enter__()
    except UnsupportedError as e:
        pytest.skip(str(e))
    yield address
    manager.__exit__(None, None, None)
