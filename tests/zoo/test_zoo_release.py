"""A closed model's memory returns to the system; a NodeArg that somebody holds keeps it (the planted contrast)."""

import json
import subprocess
import sys

import numpy as np
import pytest

from facelab.core import allocator, events
from facelab.core.errors import BadInputError

SIDE = 2400  # float32 weights of 23 MB
MB = 2**20
ROUNDS = 4

CHILD = """
import gc, json, sys, numpy as np
from facelab.core import allocator, machine
from facelab.zoo.runtimes import open_model
path, hold, pin, rounds = sys.argv[1], sys.argv[2] == "hold", sys.argv[3] == "pin", int(sys.argv[4])
if pin:
    allocator.pin_mmap_threshold()
x = np.ones((1, 2400), np.float32)
with open_model(path, threads=1) as model:  # what the first session of a process allocates for good
    model.run(x)
del model
gc.collect()
before, held, after = machine.rss_bytes(), [], []
for _ in range(rounds):
    model = open_model(path, threads=1)
    out = model.run(x)
    if hold:
        held.append(model.handle.get_inputs()[0])
    model.close()
    del model
    after.append(machine.rss_bytes() - before)
print(json.dumps({"after": after, "answer": float(out[0][0, 0])}))
"""


@pytest.fixture(scope="module")
def heavy(tmp_path_factory):
    """Return an ONNX file with 23 MB of weights: one matrix product."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    weights = np.full((SIDE, SIDE), 1 / SIDE, np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "heavy",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, SIDE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, SIDE])],
        [numpy_helper.from_array(weights, "w")],
    )
    path = tmp_path_factory.mktemp("heavy") / "heavy.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 9
    onnx.save(model, path)
    return path


def swaps(path, *, hold=False, pin=True):
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            CHILD,
            str(path),
            "hold" if hold else "-",
            "pin" if pin else "-",
            str(ROUNDS),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.skipif(allocator.in_use_bytes() is None, reason="the C library is not glibc")
@pytest.mark.parametrize("pin", [True, False], ids=["threshold pinned", "glibc's own threshold"])
def test_rss_returns_after_close(heavy, pin):
    found = swaps(heavy, pin=pin)
    assert found["answer"] == pytest.approx(1, rel=1e-4)  # 2400 float32 additions
    assert max(found["after"]) < 8 * MB, found  # a third of one model


@pytest.mark.skipif(allocator.in_use_bytes() is None, reason="the C library is not glibc")
def test_a_held_node_arg_keeps_each_session(heavy):
    found = swaps(heavy, hold=True)
    assert found["after"][-1] > (ROUNDS - 1) * 20 * MB, found


def test_a_closed_model_says_so(heavy):
    from facelab.zoo.runtimes import open_model

    model = open_model(heavy, threads=1)
    out = model.run(np.ones((1, SIDE), np.float32))[0]
    model.close()
    model.close()
    assert out[0, 0] == pytest.approx(1, rel=1e-4)
    with pytest.raises(BadInputError, match="closed") as caught:
        model.run(np.ones((1, SIDE), np.float32))
    assert caught.value.fix


def test_a_load_is_marked(heavy):
    from facelab.zoo.runtimes import open_model

    seen = []
    stop = events.listen(seen.append)
    try:
        open_model(heavy, threads=1).close()
    finally:
        stop()
    assert [(e.kind, e.what) for e in seen] == [("model_load", "heavy.onnx")]
    assert seen[0].end_ns > seen[0].start_ns


def test_what_the_allocator_tells():
    """A block of 8 MB is seen while it is held, and no longer afterwards."""
    if (before := allocator.in_use_bytes()) is None:
        pytest.skip("the C library is not glibc")
    block = np.ones(8 * MB, np.uint8)
    assert allocator.in_use_bytes() - before >= 8 * MB
    del block
    assert allocator.in_use_bytes() - before < MB
    assert allocator.trim() in (True, False)
