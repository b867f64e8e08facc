"""Shared fixtures: the folder of real test assets, and a home that tests cannot litter."""

import gc
import os
import sys
from pathlib import Path

import array_shapes
import hypothesis
import line_coverage
import pytest

gc.disable()  # until all is collected: imports leave nothing that has to be found
# tests make many objects and few circles: looking for these after each 700 objects took a quarter of the time
gc.set_threshold(50_000, 20, 50)
# jsonschema's optional checker of addresses compiles a grammar for a second, in each process, and nobody asks it
sys.modules.setdefault("rfc3987_syntax", None)
COVERAGE = line_coverage.plugin()
array_shapes.install()

# A loaded machine is not a failure, so no example has a deadline; CI draws the same examples each time.
hypothesis.settings.register_profile(
    "facelab", deadline=None, derandomize=bool(os.environ.get("CI"))
)
hypothesis.settings.load_profile("facelab")

# conftest files share one name: they are set-up, not modules whose doctests could be imported
collect_ignore_glob = ["*/conftest.py"]

REPOSITORY = Path(__file__).resolve().parents[1]


def find_assets() -> Path | None:
    """Return the folder of real models and images (a mirror with MANIFEST.csv), or None."""
    for name in ("FACELAB_TEST_ASSETS", "FACELAB_MIRROR"):
        if value := os.environ.get(name):
            return Path(value) if (Path(value) / "MANIFEST.csv").is_file() else None
    default = REPOSITORY.parent / "shared" / "assets"
    return default if (default / "MANIFEST.csv").is_file() else None


def pytest_configure(config):
    """Measure which lines run, where `make test` asks for it."""
    if COVERAGE is not None:
        config.pluginmanager.register(COVERAGE, "lines of facelab that ran")


@pytest.fixture(scope="session", autouse=True)
def record_of_trust(tmp_path_factory):
    """Keep what tests trust and convert out of this checkout's own record."""
    with pytest.MonkeyPatch.context() as patch:
        # one more process for each of a thousand small models; tests of that process remove the variable
        patch.setenv("FACELAB_OPEN_DIRECTLY", "1")
        patch.setenv("FACELAB_TRUST", str(tmp_path_factory.mktemp("trust") / "trust.jsonl"))
        yield


@pytest.fixture(scope="session")
def assets() -> Path:
    """Return the folder of real test assets, or skip: the product must work without it."""
    folder = find_assets()
    if folder is None:
        pytest.skip("no test assets: set FACELAB_TEST_ASSETS to a folder with a MANIFEST.csv")
    return folder


@pytest.fixture(scope="session")
def mirror(assets) -> Path:
    """Make the folder of assets the mirror for the rest of the test session, and return it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACELAB_MIRROR", str(assets))
        yield assets


@pytest.fixture(scope="session")
def repository() -> Path:
    """Return the root of the checkout."""
    return REPOSITORY
