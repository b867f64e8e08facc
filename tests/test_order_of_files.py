"""The files that are named for the order of a run are there, and those that are said to import TensorFlow do."""

import pytest
from order_of_files import FIRST, TENSORFLOW, scope_of


@pytest.mark.parametrize("name", [*FIRST, *TENSORFLOW])
def test_a_named_file_is_there(name, repository):
    text = (repository / name).read_text()
    assert name not in TENSORFLOW or "tensorflow" in text
    assert (scope_of(f"{name}::test_a") == name) == (name in FIRST)
