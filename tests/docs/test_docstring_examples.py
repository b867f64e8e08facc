"""Examples in docstrings that name files run here, in the folder in which documented commands run."""

import doctest
import importlib

import pytest
from examples_with_files import IN_A_PREPARED_FOLDER, NOT_RUN


def examples(name):
    """Return the examples in the docstring of `module.object`."""
    module, _, short = name.rpartition(".")
    here = importlib.import_module(module)
    return doctest.DocTestParser().get_doctest(
        getattr(here, short).__doc__, dict(vars(here)), name, here.__file__, 0
    )


@pytest.mark.parametrize("name", sorted(IN_A_PREPARED_FOLDER))
def test_an_example_that_names_files_is_true(name, inside):
    said = []
    found = doctest.DocTestRunner(verbose=False).run(examples(name), out=said.append)
    assert found.attempted and not found.failed, "".join(said)


@pytest.mark.parametrize("name", sorted(NOT_RUN))
def test_an_example_that_is_not_run_is_there_and_can_be_parsed(name):
    """A name that moved would otherwise leave its example without any test."""
    found = examples(name).examples
    assert found
    for example in found:
        compile(example.source, name, "exec")
