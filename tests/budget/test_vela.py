"""Vela as a peer: its summary is read as it writes it; a missing or refusing Vela is an error that says so."""

import shutil
import sys

import pytest

from facelab.budget.internals import vela_estimate
from facelab.core.errors import BadInputError, UnsupportedError

HEAD = "experiment,network,accelerator_configuration,inference_time,sram_memory_used,nn_macs\n"


def stand_in(tmp_path, body):
    """Write a program that takes Vela's place and does `body` with the output folder `out`."""
    program = tmp_path / "vela"
    program.write_text(
        f"#!{sys.executable}\nimport pathlib, sys\n"
        f"out = pathlib.Path(sys.argv[sys.argv.index('--output-dir') + 1])\n{body}\n"
    )
    program.chmod(0o755)
    return str(program)


def test_the_summary_is_read_as_vela_writes_it(tmp_path):
    row = "default,e,Ethos_U55_128,0.000653104,128.421875,12628265\n"
    program = stand_in(tmp_path, f"(out / 'e_summary_X.csv').write_text({HEAD + row!r})")
    found = vela_estimate(tmp_path / "e.tflite", command=program)
    assert (found.latency_s, found.macs, found.sram_bytes) == (0.000653104, 12628265, 131504)
    assert found.to_dict()["method"] == "model" and found.accelerator == "Ethos_U55_128"


@pytest.mark.parametrize(
    "body",
    [
        "sys.exit('Error: Invalid tflite file')",
        "(out / 'e_summary.csv').write_text('a,b\\n1,2\\n')",
        f"(out / 'e_summary.csv').write_text({HEAD!r})",
    ],
)
def test_a_vela_that_refuses_is_an_error_with_its_words(tmp_path, body):
    with pytest.raises(BadInputError, match="no estimate") as e:
        vela_estimate(tmp_path / "e.tflite", command=stand_in(tmp_path, body))
    assert e.value.fix and e.value.got


def test_a_missing_vela_is_named(tmp_path):
    with pytest.raises(UnsupportedError, match="not installed") as e:
        vela_estimate(tmp_path / "e.tflite", command="no-such-vela")
    assert "ethos-u-vela" in e.value.fix


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("vela") is None, reason="needs Vela's command on the PATH")
def test_a_real_vela_refuses_what_is_not_a_model(tmp_path):
    (tmp_path / "e.tflite").write_bytes(b"not a model")
    with pytest.raises(BadInputError, match="no estimate"):
        vela_estimate(tmp_path / "e.tflite")
