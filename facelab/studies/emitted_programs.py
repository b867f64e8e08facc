"""Emitted programs, built and run for notebook 10: each times itself by its own CPU clock."""

from __future__ import annotations

import functools
import os
import re
import runpy
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from facelab.core import lifetime
from facelab.core.errors import FacelabError
from facelab.preprocess import PreprocessSpec, apply
from facelab.preprocess.emit import Frame, emit, write
from facelab.preprocess.ops import Crop
from facelab.studies.handwritten_preprocessing import BY_HAND

FLAGS = ("-std=c99", "-O3", "-march=native")
NODE = """import { readFileSync } from "node:fs";
import { Preprocessor } from "./preprocess.mjs";
const n = readFileSync("testdata/cases.txt", "utf8").trim().split(" ").slice(1).map(Number);
const input = {
  width: n[0], height: n[1], orientation: n[2], box: n.slice(3, 7), landmarks: n.slice(7, 17),
};
const frame = new Uint8Array(readFileSync(`testdata/frame.frame`));
const pre = new Preprocessor();
const { data } = pre.run(frame, input);
const warm = process.hrtime.bigint();
while (process.hrtime.bigint() - warm < 100000000n) pre.run(frame, input, data);
const start = process.cpuUsage();
const times = Number(process.argv[2]);
for (let i = 0; i < times; i++) pre.run(frame, input, data);
const used = process.cpuUsage(start);
console.log(`cpu ${(used.user + used.system) / 1e6 / times}`);
"""
GO = """package preprocess

import (
	"flag"
	"fmt"
	"syscall"
	"testing"
)

var frames = flag.Int("cpu-frames", 0, "frames to time")

func cpu() float64 {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6
}

func TestCPU(t *testing.T) {
	var p Preprocessor
	c := readGolden(t)[0]
	in := INPUT
	tensor := append(c.tensor[:0:0], c.tensor...)
	for i := 0; i < 3; i++ {
		if err := p.Run(in, c.frame, tensor); err != nil {
			t.Fatal(err)
		}
	}
	start := cpu()
	for i := 0; i < *frames; i++ {
		p.Run(in, c.frame, tensor)
	}
	if *frames > 0 {
		fmt.Printf("cpu %.9f\\n", (cpu()-start)/float64(*frames))
	}
}
"""


def _wanted(spec: PreprocessSpec, frame: Frame) -> np.ndarray:
    return apply(spec, _pixels(spec, frame), face=frame.face)


def _pixels(spec: PreprocessSpec, frame: Frame) -> np.ndarray:
    flat = np.frombuffer(frame.data, np.uint8)
    return flat.reshape(frame.size[1], frame.size[0], -1)


def _off(spec: PreprocessSpec, frame: Frame, got: np.ndarray) -> float:
    """Return the largest difference of a tensor from the reference's."""
    wanted = _wanted(spec, frame)
    return float(np.abs(wanted.astype(np.float64) - got.reshape(wanted.shape)).max())


def _printed(text: str) -> float:
    """Return the largest difference that an emitted check prints."""
    found = re.search(r"at most ([\d.e+-]+) off", text)
    if found is None:
        raise FacelabError("a check printed no difference", got=text[:200], fix="run it by hand")
    return float(found[1])


Program = tuple[Callable[[], object], float]
"""What is timed, and the largest difference from the reference's tensor."""


def programs(
    spec: PreprocessSpec, frame: Frame, folder: Path, missing: dict[str, str]
) -> dict[str, Program]:
    """Return each program; what is missing is noted with the reason."""
    found: dict[str, Program] = {}
    makers: dict[str, Callable[..., Program]] = {
        "C": _c,
        "Go": _go,
        "JavaScript": _javascript,
        "Python": _python,
        "ONNX": _onnx,
    }
    for name, maker in makers.items():
        try:
            found[name] = maker(spec, frame, folder / name)
        except FacelabError as e:
            missing.setdefault(name, e.what)
    if peer := _by_hand(spec, frame):
        found[peer[0]] = peer[1]
    return found


class _Clocked:
    """A program that prints its own CPU time: `seconds(times)` runs it and reads the mean of this many frames."""

    def __init__(self, command: Callable[[int], list[str]], folder: Path) -> None:
        self.command, self.folder = command, folder

    def seconds(self, times: int) -> float:
        """Return the mean CPU seconds of this many frames."""
        text = output_of(self.command(max(times, 3)), self.folder)
        found = re.search(r"^(?:cpu|frame) ([\d.e-]+)", text, re.M)
        if found is None:
            raise FacelabError(
                "a program did not print its time", got=text[:200], fix="run it by hand"
            )
        return float(found[1])

    def __call__(self) -> float:
        return self.seconds(3)


class _Here:
    """A function of this process, timed by its thread's CPU clock as the programs are by theirs."""

    def __init__(self, run: Callable[[], object]) -> None:
        self.run = run

    def seconds(self, times: int) -> float:
        """Return the mean CPU seconds of this many calls."""
        start = time.thread_time()
        for _ in range(times):
            self.run()
        return (time.thread_time() - start) / times

    def __call__(self) -> object:
        return self.run()


def output_of(command: list[str], folder: Path) -> str:
    environment = {**os.environ, "GOMAXPROCS": "1", "GOFLAGS": "-mod=mod"}
    done = lifetime.run(
        command,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
    )
    if done.returncode != 0:
        raise FacelabError(
            "an emitted program failed",
            where=command[0],
            got=(done.stdout + done.stderr)[-300:],
            fix="emit it and run its check by hand",
        )
    return done.stdout


def _tool(name: str, what: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise FacelabError(f"{what} is not installed", fix=f"install {name}")
    return found


def _c(spec: PreprocessSpec, frame: Frame, folder: Path) -> Program:
    compiler = _tool("gcc", "a C compiler")
    write(spec, "c", folder, frames=[frame])
    output_of(
        [compiler, *FLAGS, "preprocess.c", "preprocess_check.c", "-lm", "-o", "check"], folder
    )
    off = _printed(output_of(["./check", "testdata"], folder))
    timed = _Clocked(lambda n: ["./check", "testdata", str(n)], folder)
    return timed, off


def _go(spec: PreprocessSpec, frame: Frame, folder: Path) -> Program:
    go = _tool("go", "the Go tool chain")
    write(spec, "go", folder, frames=[frame])
    (folder / "cpu_test.go").write_text(_go_clock(folder))
    output_of([go, "test", "-c", "-o", "bench"], folder)
    off = _printed(output_of(["./bench", "-test.run", "Golden", "-test.v"], folder))
    timed = _Clocked(lambda n: ["./bench", "-test.run", "CPU", "-cpu-frames", str(n)], folder)
    return timed, off


def _go_clock(folder: Path) -> str:
    """Return the timing test, with the input as the emitted test writes it."""
    found = re.search(r"Input\{[^}]*\}", (folder / "preprocess_test.go").read_text())
    assert found is not None
    return GO.replace("INPUT", found[0])


def _javascript(spec: PreprocessSpec, frame: Frame, folder: Path) -> Program:
    node = _tool("node", "Node")
    write(spec, "javascript", folder, frames=[frame])
    off = _printed(output_of([node, "preprocess.check.mjs", "testdata"], folder))
    (folder / "time.mjs").write_text(NODE)
    timed = _Clocked(lambda n: [node, "time.mjs", str(n)], folder)
    return timed, off


def _python(spec: PreprocessSpec, frame: Frame, folder: Path) -> Program:
    source = emit(spec, "python").files["preprocess.py"]
    folder.mkdir(parents=True)
    (folder / "preprocess.py").write_text(str(source))
    module = runpy.run_path(str(folder / "preprocess.py"))
    given = _arguments(spec, frame)

    def run() -> np.ndarray:
        return module["preprocess"](frame.data, **given)

    return _Here(run), _off(spec, frame, run())


def _arguments(spec: PreprocessSpec, frame: Frame) -> dict[str, Any]:
    face = frame.face
    given: dict[str, Any] = {"width": frame.size[0], "height": frame.size[1]}
    if any(isinstance(s, Crop) and s.region == "face" for s in spec.stages):
        given["box"] = face["box"]
    if spec.find("align"):
        given["landmarks"] = face["landmarks"]
    return given


def _onnx(spec: PreprocessSpec, frame: Frame, folder: Path) -> Program:
    import onnxruntime as ort

    del folder
    boxed = any(s.op == "crop" for s in spec.stages)
    face = frame.face if boxed else None
    data = emit(spec, "onnx", size=frame.size, face=face).files["preprocess.onnx"]
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    fed: dict[str, np.ndarray] = {"image": _pixels(spec, frame)}
    if any(i.name == "landmarks" for i in session.get_inputs()):
        fed["landmarks"] = np.asarray(frame.face["landmarks"], np.float64)

    def run() -> np.ndarray:
        return np.asarray(session.run(None, fed)[0])

    return _Here(run), _off(spec, frame, run())


def _by_hand(spec: PreprocessSpec, frame: Frame) -> tuple[str, Program] | None:
    """A library for the pixels, numpy for normalise and transpose: how such code is written by hand."""
    if spec.name not in BY_HAND:
        return None
    library, function = BY_HAND[spec.name]
    pixels = _pixels(spec, frame)
    run = functools.partial(function, np.ascontiguousarray(pixels), frame.face)
    return library, (_Here(run), _off(spec, frame, run()))
