"""All tests and examples: those that name files are left to `tests/docs`, which runs them where these files are."""

import pytest
from examples_with_files import IN_A_PREPARED_FOLDER, NOT_RUN
from garbage import pytest_collection_finish, pytest_runtest_protocol
from order_of_files import in_order, pytest_xdist_make_scheduler

__all__ = [
    "pytest_collection_finish",
    "pytest_runtest_protocol",
    "pytest_xdist_make_scheduler",
]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take those examples out of what runs here, and order the rest."""
    elsewhere = IN_A_PREPARED_FOLDER | NOT_RUN.keys()
    left = [i for i in items if isinstance(i, pytest.DoctestItem) and i.name in elsewhere]
    config.hook.pytest_deselected(items=left)
    items[:] = [i for i in items if i not in left]
    in_order(items)
