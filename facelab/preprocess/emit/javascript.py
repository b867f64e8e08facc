"""JavaScript with TypeScript declarations: one ES module for browsers and Node."""

from __future__ import annotations

import ast

from facelab.preprocess.emit._files import Emitted, banner, origin, template
from facelab.preprocess.emit.lowering import BOX, ERRORS, MARKS, Program, lower
from facelab.preprocess.emit.printing._printer import Printer, camel
from facelab.preprocess.spec import PreprocessSpec

OUT = {
    "uint8": "Uint8Array",
    "int8": "Int8Array",
    "int16": "Int16Array",
    "int32": "Int32Array",
    "float32": "Float32Array",
    "float64": "Float64Array",
}
ARRAYS = {"Bytes": "Uint8Array", "Ints": "Int32Array", "Reals": "Float64Array"}


class JsPrinter(Printer):
    """Writes JavaScript; every number is a float64, and typed arrays round as the stages say."""

    comment = "// {}"
    indent = "  "

    def name(self, name: str) -> str:
        return camel(name)

    def status(self, name: str) -> str:
        return str(ERRORS[name][0])

    def head(self, node: ast.FunctionDef) -> str:
        parts = [camel(a.arg) for a in node.args.args]
        return self.wrapped(f"function {camel(node.name)}(", parts, ") {")

    def declare(self, kind: str, name: str, value: str) -> str:
        return f"let {name} = {value};"

    def loop(self, name: str, start: str, stop: str) -> str:
        return f"for (let {name} = {start}; {name} < {stop}; {name}++)"

    def floor_division(self, left: str, right: str) -> str | None:
        return f"Math.floor({left} / {right})"

    def call(self, name: str, args: list[ast.expr]) -> str:
        arg = self.expr(args[0])
        if name == "product":
            return f"{arg} * {self.expr(args[1], 6)}"
        if name in ("real", "narrow", "long", "out"):
            return (
                arg if isinstance(args[0], (ast.Name, ast.Subscript, ast.Attribute)) else f"({arg})"
            )
        if name == "single":
            return f"Math.fround({arg})"
        if name in ("whole", "byte"):
            return f"({arg})" if self.is_whole(args[0]) else f"Math.trunc({arg})"
        return {"floor": "Math.floor", "ceil": "Math.ceil", "fabs": "Math.abs"}.get(
            name, name
        ) + f"({arg})"

    def _binary(self, e: ast.BinOp, outer: int) -> str:
        text = super()._binary(e, outer)
        return f"({text})" if isinstance(e.op, ast.Mod) and not text.startswith("(") else text


def emit(spec: PreprocessSpec, name: str) -> Emitted:
    """Return the module of a spec and its declarations."""
    program = lower(spec, "JavaScript")
    return Emitted(
        "javascript",
        {
            f"{name}.mjs": _source(program, JsPrinter(program)),
            f"{name}.d.mts": _declarations(program),
            f"{name}.check.mjs": template("check.mjs", ORIGIN=origin(spec), NAME=name),
        },
    )


def _source(program: Program, printer: JsPrinter) -> str:
    tables = [
        f"const {camel(key)} = {ARRAYS[kind]}.of({', '.join(map(repr, v))});"
        for key, (kind, v) in program.constants.items()
    ]
    body = printer.all()
    rint = _RINT if "rint(" in body else []
    return "\n".join(
        [*banner(program.spec, "JavaScript", "", "// ", ""), *tables, *rint, body, *_api(program)]
    )


_RINT = [
    "// Round to the nearest whole number, ties to even.",
    "function rint(x) {",
    "  const low = Math.floor(x);",
    "  const rest = x - low;",
    "  if (rest !== 0.5) return rest < 0.5 ? low : low + 1;",
    "  return low % 2 === 0 ? low : low + 1;",
    "}",
    "",
]


def _api(program: Program) -> list[str]:
    messages = ", ".join(f'"{text}"' for _, text in ERRORS.values())
    return [
        f'export const SPEC_HASH = "{program.spec.hash}";',
        f"export const MESSAGES = [{messages}];",
        "",
        "// What is wrong with an input; `code` is its place in MESSAGES.",
        "export class PreprocessError extends Error {",
        "  constructor(code) {",
        "    super(MESSAGES[code]);",
        "    this.code = code;",
        "  }",
        "}",
        "",
        "function fail(code) {",
        "  throw new PreprocessError(code);",
        "}",
        "",
        "// Keeps its buffers between frames.",
        "export class Preprocessor {",
        "  constructor() {",
        "    this.geometry = {};",
        "    this.memory = {};",
        "    this.points = new Float64Array(10);",
        "    this.transform = new Float64Array(6);",
        "  }",
        "",
        "  grow(name, kind, length) {",
        "    const held = this.memory[name];",
        "    if (held === undefined || held.length < length) this.memory[name] = new kind(length);",
        "    return this.memory[name];",
        "  }",
        "",
        *_run_method(program),
        "}",
        "",
        *_from_image_data(program),
    ]


PLANNED = {
    "g": "g",
    "width": "input.width",
    "height": "input.height",
    "p": "this.points",
    "t": "this.transform",
    "orientation": "input.orientation ?? 1",
    "box": "input.box",
    "marks": "input.landmarks",
}
"""What `run` passes to `plan`."""


def _processed(program: Program) -> str:
    """Return what `run` passes to `process`: buffers grow to the length that the plan says."""
    known = {"g": "g", "frame": "frame", "tensor": "data"}
    kinds = {b.name: b for b in program.buffers}
    process: list[str] = []
    for n in program.functions.parameters("process"):
        if n in known:
            process.append(known[n])
        else:
            b = kinds[n]
            kind = ARRAYS.get(b.kind) or OUT[program.out]
            process.append(
                f"\n      this.grow({camel(n)!r}, {kind}, {_member(b.length)})".replace("'", '"')
            )
    return ", ".join(process)


def _run_method(program: Program) -> list[str]:
    checks: list[str] = []
    if "box" in program.needs:
        checks.append("    if (input.box?.length !== 4) fail(4);")
    if "marks" in program.needs:
        checks.append("    if (input.landmarks?.length !== 10) fail(5);")
    plan = ", ".join(PLANNED[n] for n in program.functions.parameters("plan"))
    shape = ", ".join(s if s.isdigit() else _member(s) for s in program.shape)
    return [
        "  // Preprocess one frame of bytes; `tensor` may be given to be filled (it shares no memory with the frame).",
        "  run(frame, input, tensor) {",
        "    const g = this.geometry;",
        "    if (!Number.isInteger(input?.width) || !Number.isInteger(input.height)) fail(1);",
        *checks,
        f"    const code = plan({plan});",
        "    if (code !== 0) fail(code);",
        "    if (!(frame instanceof Uint8Array || frame instanceof Uint8ClampedArray)) fail(2);",
        "    if (frame.length !== g.frameLength) fail(2);",
        f"    const data = tensor ?? new {OUT[program.out]}(g.tensorLength);",
        f"    if (!(data instanceof {OUT[program.out]}) || data.length !== g.tensorLength) fail(8);",
        "    if (data.buffer === frame.buffer && data.byteOffset < frame.byteOffset + frame.byteLength",
        "        && frame.byteOffset < data.byteOffset + data.byteLength) fail(8);",
        f"    process({_processed(program)});",
        f"    return {{ data, shape: [{shape}] }};",
        "  }",
    ]


def _member(text: str) -> str:
    base, _, name = text.partition(".")
    return f"{base}.{camel(name)}"


def _from_image_data(program: Program) -> list[str]:
    order = program.spec.input_order
    if order not in ("rgb", "bgr"):
        return []
    red, blue = (0, 2) if order == "rgb" else (2, 0)
    return [
        f"// Return a canvas's ImageData as a frame in {order.upper()}; alpha is dropped.",
        "export function fromImageData(image, frame) {",
        "  const count = image.width * image.height;",
        "  const bytes = frame ?? new Uint8Array(3 * count);",
        "  if (image.data.length !== 4 * count || bytes.length !== 3 * count) fail(2);",
        "  for (let i = 0; i < count; i++) {",
        f"    bytes[3 * i + {red}] = image.data[4 * i];",
        "    bytes[3 * i + 1] = image.data[4 * i + 1];",
        f"    bytes[3 * i + {blue}] = image.data[4 * i + 2];",
        "  }",
        "  return bytes;",
        "}",
        "",
    ]


def _declarations(program: Program) -> str:
    needs = program.needs
    given = ["  width: number;", "  height: number;"]
    if "orientation" in needs:
        given.append("  /** EXIF orientation, 1 to 8 (default 1). */\n  orientation?: number;")
    if "box" in needs:
        given.append(f"  /** {BOX}. */\n  box: ArrayLike<number>;")
    if "marks" in needs:
        given.append(f"  /** {MARKS}. */\n  landmarks: ArrayLike<number>;")
    kind = OUT[program.out]
    lines = [
        *banner(program.spec, "TypeScript", "", "// ", ""),
        "export interface Input {",
        *given,
        "}",
        "export interface Tensor {",
        f"  /** {program.out_doc}. */",
        f"  data: {kind};",
        "  shape: number[];",
        "}",
        "export declare const SPEC_HASH: string;",
        "export declare const MESSAGES: string[];",
        "export declare class PreprocessError extends Error {",
        "  constructor(code: number);",
        "  code: number;",
        "}",
        "export declare class Preprocessor {",
        f"  run(frame: Uint8Array | Uint8ClampedArray, input: Input, tensor?: {kind}): Tensor;",
        "}",
    ]
    if program.spec.input_order in ("rgb", "bgr"):
        lines += [
            "export declare function fromImageData(",
            "  image: { data: ArrayLike<number>; width: number; height: number },",
            "  frame?: Uint8Array,",
            "): Uint8Array;",
        ]
    return "\n".join([*lines, ""])
