"""C99 (and C++17): one header and one source, no dependency, no allocation."""

from __future__ import annotations

import ast

from facelab.preprocess.emit._files import Emitted, banner, origin, template
from facelab.preprocess.emit.lowering import BOX, ERRORS, MARKS, Program, lower
from facelab.preprocess.emit.printing._printer import BITS, Printer
from facelab.preprocess.spec import PreprocessSpec

TYPES = {
    "Int": "int32_t",
    "Long": "int64_t",
    "Real": "double",
    "Single": "float",
    "Byte": "uint8_t",
    "bool": "int",
    "None": "void",
}
OUT = {
    "uint8": "uint8_t",
    "int8": "int8_t",
    "int16": "int16_t",
    "int32": "int32_t",
    "float32": "float",
    "float64": "double",
}
CODES = ERRORS | {
    "OVERLAP": (9, "the frame, the workspace and the tensor share memory"),
    "ARITHMETIC": (10, "compiled or run so that numbers are rounded otherwise than IEEE 754 says"),
}
"""What emitted C answers: name → (code, meaning)."""


class CPrinter(Printer):
    """Writes C99 that is C++17 too."""

    def __init__(self, program: Program, prefix: str) -> None:
        super().__init__(program)
        self.prefix, self.out = prefix, OUT[program.out]

    def status(self, name: str) -> str:
        return f"{self.prefix.upper()}_{name}"

    def element(self, kind: str) -> str:
        """Return the element type of an array."""
        return {"Bytes": "uint8_t", "Ints": "int32_t", "Reals": "double", "Out": self.out}[kind]

    def head(self, node: ast.FunctionDef) -> str:
        arrays = ("Bytes", "Ints", "Reals", "Out")
        parts: list[str] = []
        for i, a in enumerate(node.args.args):
            kind = getattr(a.annotation, "id", "")
            if kind == "Geometry":
                parts.append(f"{self.prefix}_geometry *g")
            elif kind in arrays:
                const = "" if i in self.mutated[node.name] else "const "
                parts.append(f"{const}{self.element(kind)} *RESTRICT {a.arg}")
            else:
                parts.append(f"{TYPES[kind]} {a.arg}")
        answer = getattr(node.returns, "id", None) or "None"
        return self.wrapped(f"static {TYPES[answer]} {node.name}(", parts, ") {")

    def declare(self, kind: str, name: str, value: str) -> str:
        return f"{TYPES[kind]} {name} = {value};"

    def loop(self, name: str, start: str, stop: str) -> str:
        return f"for (int32_t {name} = {start}; {name} < {stop}; {name}++)"

    def member(self, base: str, name: str) -> str:
        return f"{base}->{name}"

    def literal(self, value: object) -> str:
        if isinstance(value, bool):
            return "1" if value else "0"
        if isinstance(value, int) and abs(value) >= 2**31:
            return f"INT64_C({value})"
        return super().literal(value)

    def call(self, name: str, args: list[ast.expr]) -> str:
        arg = self.expr(args[0])
        if name == "out" and self.out == "float" and self._single(args[0]):
            return arg
        if name == "product":
            return f"(int16_t){self.expr(args[0], 6)} * (int16_t){self.expr(args[1], 6)}"
        cast = {
            "real": "double",
            "narrow": "float",
            "whole": "int32_t",
            "long": "int64_t",
            "byte": "uint8_t",
            "out": self.out,
        }
        if name == "single":
            return f"(double)(float)({arg})"
        if name == "narrow" and isinstance(args[0], ast.Constant):
            return f"{float(str(args[0].value))!r}f"
        if name in cast:
            return f"({cast[name]}){arg if self._atom(args[0]) else f'({arg})'}"
        return f"{name}({arg})"

    def _single(self, e: ast.expr) -> bool:
        """Return whether an expression is a float32 already."""
        if not (isinstance(e, ast.Call) and isinstance(e.func, ast.Name)):
            return False
        done = self.functions.done.get(e.func.id)
        return (
            e.func.id == "narrow" or getattr(getattr(done, "returns", None), "id", "") == "Single"
        )

    @staticmethod
    def _atom(e: ast.expr) -> bool:
        if isinstance(e, ast.Call) and isinstance(e.func, ast.Name) and e.func.id in BITS:
            return False
        return isinstance(e, (ast.Name, ast.Subscript, ast.Attribute, ast.Call, ast.Constant))


def emit(spec: PreprocessSpec, name: str) -> Emitted:
    """Return the C files of a spec; `name` is the prefix of everything in them."""
    program = lower(spec, "C", vectors=True)
    printer = CPrinter(program, name)
    return Emitted(
        "c",
        {
            f"{name}.h": _header(program, name),
            f"{name}.c": _source(program, printer, name),
            f"{name}_check.c": _check(program, name),
        },
    )


def _inputs(program: Program) -> list[str]:
    lines = [
        "    int32_t width; /* of the frame, in pixels */",
        "    int32_t height;",
    ]
    if "orientation" in program.needs:
        lines.append("    int32_t orientation; /* EXIF orientation, 1 to 8; 1 where unknown */")
    if "box" in program.needs:
        lines += [f"    /* {BOX} */", "    const double *box;"]
    if "marks" in program.needs:
        lines += [f"    /* {MARKS} */", "    const double *landmarks;"]
    return lines


def _header(program: Program, name: str) -> str:
    up = name.upper()
    codes = [f"    {up}_{key} = {code}, /* {text} */" for key, (code, text) in CODES.items()]
    rank = len(program.shape)
    return "\n".join(
        [
            *banner(program.spec, "C99 and C++17", "/*", " * ", " */"),
            f"#ifndef {up}_H",
            f"#define {up}_H",
            "",
            "#include <stddef.h>",
            "#include <stdint.h>",
            "",
            "#ifdef __cplusplus",
            'extern "C" {',
            "#endif",
            "",
            f'#define {up}_SPEC_HASH "{program.spec.hash}"',
            f"#define {up}_RANK {rank} /* axes of the tensor */",
            f"typedef {OUT[program.out]} {name}_value; /* {program.out_doc} */",
            "",
            f"typedef enum {name}_status {{",
            *codes,
            f"}} {name}_status;",
            "",
            "/* What is known of a frame besides its bytes. */",
            f"typedef struct {name}_input {{",
            *_inputs(program),
            f"}} {name}_input;",
            "",
            "/* Say how large a workspace (bytes, any alignment) and tensor (values, axes) are needed. */",
            f"{name}_status {name}_measure(const {name}_input *in, size_t *workspace_bytes,",
            f"        size_t *tensor_values, int32_t shape[{up}_RANK]);",
            "",
            "/* Preprocess one frame. Nothing is allocated; the workspace's contents need not be kept. */",
            f"{name}_status {name}_run(const {name}_input *in, const uint8_t *frame, size_t frame_bytes,",
            f"        void *workspace, size_t workspace_bytes, {name}_value *tensor, size_t tensor_values);",
            "",
            f"const char *{name}_message({name}_status status);",
            "",
            "#ifdef __cplusplus",
            "}",
            "#endif",
            f"#endif /* {up}_H */",
            "",
        ]
    )


def _source(program: Program, printer: CPrinter, name: str) -> str:
    fields = [f"    {TYPES[kind]} {field};" for field, kind in program.fields.items()]
    tables = [
        printer.wrapped(
            f"static const {printer.element(kind)} {key}[{len(values)}] = {{",
            [repr(v) for v in values],
            "};",
        )
        for key, (kind, values) in program.constants.items()
    ]
    parts = [
        *banner(program.spec, "C99 and C++17", "/*", " * ", " */"),
        template("start.c", NAME=name),
        "/* Sizes and places, found once per frame. */",
        f"typedef struct {name}_geometry {{",
        *fields,
        f"}} {name}_geometry;",
        "",
        *tables,
        *([""] if tables else []),
        printer.all(),
        _api(program, printer, name),
    ]
    return "\n".join(parts)


def _api(program: Program, printer: CPrinter, name: str) -> str:
    """Return the functions that the header names."""
    up = name.upper()
    calls = {"width": "in->width", "height": "in->height", "orientation": "in->orientation"}
    calls |= {"g": "g", "box": "in->box", "marks": "in->landmarks", "p": "points", "t": "transform"}
    plan = ", ".join(calls[n] for n in program.functions.parameters("plan"))
    checks: list[str] = []
    if "box" in program.needs:
        checks.append(f"    if (in->box == NULL) return {up}_FACE;")
    if "marks" in program.needs:
        checks.append(f"    if (in->landmarks == NULL) return {up}_LANDMARKS;")
        checks.append("    double points[10], transform[6];")
    lengths = [_bytes(printer, b.kind, b.length) for b in program.buffers]
    total = [f"    total += {n.replace('g.', 'g->')};" for n in lengths]
    carve = [_FIRST] if program.buffers else []
    for b, length in zip(program.buffers, lengths):
        kind = printer.element(b.kind)
        carve.append(f"    {kind} *{b.name} = ({kind} *)(void *)at;")
        carve.append(f"    at += {length};")
    call = ["&g" if a == "g" else a for a in program.functions.parameters("process")]
    blocks = {
        "ALIGNED": _ALIGNED if program.buffers else [],
        "CHECKS": checks,
        "TOTAL": total,
        "SHAPE": [f"    shape[{i}] = {s};" for i, s in enumerate(program.shape)],
        "CARVE": carve[:-1],
        "PROCESS": [printer.wrapped("    process(", call, ");")],
        "MESSAGES": [f'        case {up}_{key}: return "{t}";' for key, (_, t) in CODES.items()],
    }
    text = template("run.c", NAME=name, UPPER=up, PLAN=plan)
    for word, lines in blocks.items():
        text = text.replace(f"    {word}\n", "".join(f"{line}\n" for line in lines))
    return text


_FIRST = "    uint8_t *at = (uint8_t *)workspace + (8 - (uintptr_t)workspace % 8) % 8;"
_ALIGNED = [
    "/* Sizes rounded up, so that every array of the workspace is aligned. */",
    "static int64_t aligned(int64_t bytes) {",
    "    return (bytes + 7) / 8 * 8;",
    "}",
    "",
]


def _bytes(printer: CPrinter, kind: str, length: str) -> str:
    return f"aligned({length} * (int64_t)sizeof({printer.element(kind)}))"


def _check(program: Program, name: str) -> str:
    up = name.upper()
    given = ["    in.width = width;", "    in.height = height;"]
    given += ["    in.orientation = orientation;"] if "orientation" in program.needs else []
    given += ["    in.box = face;"] if "box" in program.needs else []
    given += ["    in.landmarks = face + 4;"] if "marks" in program.needs else []
    bound = "1e-6 * span" if program.out.startswith("float") else "0.0"
    text = template("check.c", ORIGIN=origin(program.spec), NAME=name, UPPER=up, BOUND=bound)
    if "box" not in program.needs and "marks" not in program.needs:
        dropped = ("face[", "numbers", "used")
        rows = [r for r in text.splitlines() if not any(d in r for d in dropped)]
        text = "\n".join([*rows, ""])
    if "orientation" not in program.needs:
        given.append("    (void)orientation;")
    return text.replace("    GIVEN\n", "\n".join(given) + "\n")
