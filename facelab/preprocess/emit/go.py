"""Go: one package, standard library only."""

from __future__ import annotations

import ast
import re

from facelab.preprocess.emit._files import Emitted, banner, origin, template
from facelab.preprocess.emit.lowering import BOX, ERRORS, MARKS, Program, lower
from facelab.preprocess.emit.printing import _gofmt
from facelab.preprocess.emit.printing._printer import Printer, camel
from facelab.preprocess.spec import PreprocessSpec

TYPES = {
    "Int": "int",
    "Long": "int64",
    "Real": "float64",
    "Single": "float32",
    "Byte": "byte",
    "bool": "bool",
}
OUT = {
    "uint8": "byte",
    "int8": "int8",
    "int16": "int16",
    "int32": "int32",
    "float32": "float32",
    "float64": "float64",
}
_FUNCTIONS = {
    "floor": "math.Floor",
    "ceil": "math.Ceil",
    "rint": "math.RoundToEven",
    "fabs": "math.Abs",
}
_KEYWORDS = {"range": "spread", "len": "length", "copy": "copied"}


class GoPrinter(Printer):
    """Writes Go; products are rounded before they are added, so that no processor fuses the two."""

    indent = "\t"
    end = ""
    comment = "// {}"

    def __init__(self, program: Program) -> None:
        super().__init__(program)
        self.out = OUT[program.out]

    def name(self, name: str) -> str:
        return _KEYWORDS.get(name, camel(name))

    def status(self, name: str) -> str:
        return "0" if name == "OK" else f"int({_error(name)})"

    def element(self, kind: str) -> str:
        """Return the element type of an array."""
        return {"Bytes": "byte", "Ints": "int", "Reals": "float64", "Out": self.out}[kind]

    def head(self, node: ast.FunctionDef) -> str:
        parts: list[str] = []
        for a in node.args.args:
            kind = getattr(a.annotation, "id", "")
            shown = (
                "*geometry" if kind == "Geometry" else TYPES.get(kind) or f"[]{self.element(kind)}"
            )
            parts.append(f"{self.name(a.arg)} {shown}")
        answer = getattr(node.returns, "id", None)
        tail = f") {TYPES[answer]} {{" if answer else ") {"
        return f"func {self.name(node.name)}({', '.join(parts)}{tail}"

    def declare(self, kind: str, name: str, value: str) -> str:
        short = kind in ("Int", "Real", "bool") or re.search(r"[a-z]\w*", value)
        return f"{name} := {value}" if short else f"var {name} {TYPES[kind]} = {value}"

    def loop(self, name: str, start: str, stop: str) -> str:
        return f"for {name} := {start}; {name} < {stop}; {name}++"

    def test(self, text: str) -> str:
        return text

    def choose(self, target: str, node: ast.IfExp, pad: str, declared: str | None) -> list[str]:
        test, body, other = (self.expr(e) for e in (node.test, node.body, node.orelse))
        if declared:
            first = [pad + self.declare(declared, target, other)]
            return [*first, f"{pad}if {test} {{", f"{pad}\t{target} = {body}", f"{pad}}}"]
        if other == target:
            return [f"{pad}if {test} {{", f"{pad}\t{target} = {body}", f"{pad}}}"]
        if body == target:
            return [f"{pad}if !({test}) {{", f"{pad}\t{target} = {other}", f"{pad}}}"]
        first = [f"{pad}if {test} {{", f"{pad}\t{target} = {body}", f"{pad}}} else {{"]
        return [*first, f"{pad}\t{target} = {other}", f"{pad}}}"]

    def call(self, name: str, args: list[ast.expr]) -> str:
        arg = self.expr(args[0])
        if name == "product":
            return f"int({arg}) * {self.expr(args[1], 6)}"
        if name == "single":
            return f"float64(float32({arg}))"
        cast = {
            "real": "float64",
            "narrow": "float32",
            "whole": "int",
            "long": "int64",
            "byte": "byte",
            "out": self.out,
        }
        return f"{cast.get(name) or _FUNCTIONS[name]}({arg})"

    def _binary(self, e: ast.BinOp, outer: int) -> str:
        if isinstance(e.op, (ast.Add, ast.Sub)) and not self.is_whole(e):
            left, right = (self._product(x) for x in (e.left, e.right))
            sign = "+" if isinstance(e.op, ast.Add) else "-"
            text = f"{left} {sign} {right}"
            return f"({text})" if outer > 4 else text
        return super()._binary(e, outer)

    def statement(self, s: ast.stmt, pad: str) -> list[str]:
        """Round a product before it is stored: Go may fuse it with a sum of a later statement too."""
        stores = isinstance(s, (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.Return, ast.Expr))
        binary = s.value if stores and isinstance(s.value, ast.BinOp) else None
        if stores and binary and isinstance(binary.op, ast.Mult) and not self.is_whole(binary):
            names = {n.id for n in ast.walk(binary) if isinstance(n, ast.Name)}
            kind = "narrow" if "narrow" in names else "real"
            s.value = ast.Call(ast.Name(kind), [binary], [])
        return super().statement(s, pad)

    def _product(self, e: ast.expr) -> str:
        if isinstance(e, ast.UnaryOp) and isinstance(e.op, ast.USub):
            return f"-{self._product(e.operand)}"
        if isinstance(e, ast.BinOp) and isinstance(e.op, ast.Mult) and not self.is_whole(e):
            return f"float64({self.expr(e)})"
        return (
            self.expr(e, 5)
            if isinstance(e, ast.BinOp) and not isinstance(e.op, ast.Div)
            else self.expr(e, 4)
        )

    def wrapped(self, start: str, parts: list[str], tail: str) -> str:
        return start + ", ".join(parts) + tail

    def function(self, node: ast.FunctionDef) -> str:
        return "\n".join(_gofmt.line(text) for text in super().function(node).split("\n"))


def _error(name: str) -> str:
    return "Err" + camel(name.lower()).capitalize()


def emit(spec: PreprocessSpec, name: str) -> Emitted:
    """Return the Go package of a spec, called `name`."""
    program = lower(spec, "Go")
    printer = GoPrinter(program)
    package = name.replace("_", "")
    return Emitted(
        "go",
        {
            "go.mod": f"// {origin(program.spec)}\nmodule {package}\n\ngo 1.18\n",
            f"{package}.go": _source(program, printer, package),
            f"{package}_test.go": _test(program, package),
        },
    )


def _source(program: Program, printer: GoPrinter, package: str) -> str:
    fields = _gofmt.columns([(camel(f), TYPES[kind]) for f, kind in program.fields.items()])
    tables = [
        f"var {camel(key)} = [{len(v)}]{printer.element(kind)}{{{', '.join(map(repr, v))}}}"
        for key, (kind, v) in program.constants.items()
    ]
    body = printer.all()
    maths = ['import "math"', ""] if "math." in body else []
    return "\n".join(
        [
            *banner(program.spec, "Go", "", "// ", ""),
            f"// Package {package} prepares frames as the specification says.",
            f"package {package}",
            "",
            *maths,
            *_api(program, printer),
            "type geometry struct {",
            *fields,
            "}",
            "",
            *([*tables, ""] if tables else []),
            body.rstrip("\n") + "\n",
        ]
    )


def _api(program: Program, printer: GoPrinter) -> list[str]:
    codes = _gofmt.columns(
        [(_error(k), f"Error = {code} // {text}") for k, (code, text) in ERRORS.items() if code]
    )
    texts = [
        f'\tcase {_error(k)}:\n\t\treturn "{text}"' for k, (code, text) in ERRORS.items() if code
    ]
    return [
        "// SpecHash is the SHA-256 of the specification that this package carries out.",
        f'const SpecHash = "{program.spec.hash}"',
        "",
        "// Error says what is wrong with an input.",
        "type Error int",
        "",
        "const (",
        *codes,
        ")",
        "",
        "func (e Error) Error() string {",
        "\tswitch e {",
        *texts,
        "\t}",
        '\treturn "unknown error"',
        "}",
        "",
        *_types(program, printer),
        *_methods(program, printer),
        *(GROW if program.buffers else []),
    ]


GROW = [
    "func grow[T any](s []T, n int64) []T {",
    "\tif int64(cap(s)) < n {",
    "\t\treturn make([]T, n)",
    "\t}",
    "\treturn s[:n]",
    "}",
    "",
]


def _types(program: Program, printer: GoPrinter) -> list[str]:
    """Return the types of an input and of the preprocessor."""
    needs = program.needs
    inputs = [("Width, Height", "int", "// of the frame, in pixels")]
    if "orientation" in needs:
        inputs.append(("Orientation", "int", "// EXIF orientation, 1 to 8; 1 where unknown"))
    if "box" in needs:
        inputs.append(("Box", "[]float64", f"// {BOX}"))
    if "marks" in needs:
        inputs.append(("Landmarks", "[]float64", f"// {MARKS}"))
    memory = [("g", "geometry")]
    memory += [(camel(b.name), f"[]{printer.element(b.kind)}") for b in program.buffers]
    memory += [("points", "[10]float64"), ("transform", "[6]float64")] if "marks" in needs else []
    return [
        "// Input is what is known of a frame besides its bytes.",
        "type Input struct {",
        *_gofmt.columns(inputs),
        "}",
        "",
        "// Preprocessor keeps its buffers between frames; use one for each goroutine.",
        "type Preprocessor struct {",
        *_gofmt.columns(memory),
        "}",
        "",
    ]


PLANNED = {
    "width": "in.Width",
    "height": "in.Height",
    "g": "&p.g",
    "orientation": "in.Orientation",
    "box": "in.Box",
    "marks": "in.Landmarks",
    "p": "p.points[:]",
    "t": "p.transform[:]",
}
"""What the method `plan` passes to the function."""


def _methods(program: Program, printer: GoPrinter) -> list[str]:
    """Return the preprocessor's methods: plan, Shape and Run."""
    checks: list[str] = []
    if "box" in program.needs:
        checks += ["\tif len(in.Box) != 4 {", "\t\treturn ErrFace", "\t}"]
    if "marks" in program.needs:
        checks += ["\tif len(in.Landmarks) != 10 {", "\t\treturn ErrLandmarks", "\t}"]
    plan = ", ".join(PLANNED[n] for n in program.functions.parameters("plan"))
    shape = ", ".join(s if s.isdigit() else f"p.{camel_field(s)}" for s in program.shape)
    return [
        "func (p *Preprocessor) plan(in Input) error {",
        "\tif in.Width > 65535 || in.Height > 65535 {",
        "\t\treturn ErrSize",
        "\t}",
        *checks,
        f"\tif code := plan({plan}); code != 0 {{",
        "\t\treturn Error(code)",
        "\t}",
        "\treturn nil",
        "}",
        "",
        "// Shape returns the tensor's axes for an input.",
        "func (p *Preprocessor) Shape(in Input) ([]int, error) {",
        "\tif err := p.plan(in); err != nil {",
        "\t\treturn nil, err",
        "\t}",
        f"\treturn []int{{{shape}}}, nil",
        "}",
        "",
        *_run_method(program, printer),
    ]


def _run_method(program: Program, printer: GoPrinter) -> list[str]:
    grow = [
        f"\tp.{camel(b.name)} = grow(p.{camel(b.name)}, p.{camel_field(b.length)})"
        for b in program.buffers
    ]
    names = program.functions.parameters("process")
    known = {"g": "&p.g", "frame": "frame", "tensor": "tensor"}
    process = ", ".join(known.get(n) or f"p.{camel(n)}" for n in names)
    return [
        f"// Run preprocesses one frame into tensor ({program.out_doc}), as long as Shape says.",
        f"func (p *Preprocessor) Run(in Input, frame []byte, tensor []{printer.out}) error {{",
        "\tif err := p.plan(in); err != nil {",
        "\t\treturn err",
        "\t}",
        "\tif int64(len(frame)) != p.g.frameLength {",
        "\t\treturn ErrFrame",
        "\t}",
        "\tif int64(len(tensor)) != p.g.tensorLength {",
        "\t\treturn ErrOutput",
        "\t}",
        *grow,
        f"\tprocess({process})",
        "\treturn nil",
        "}",
        "",
    ]


def camel_field(text: str) -> str:
    """Return `g.x_first3_length` as Go writes it.

    >>> camel_field("g.x_first3_length")
    'g.xFirst3Length'
    """
    base, _, name = text.partition(".")
    return f"{base}.{camel(name)}"


def _test(program: Program, package: str) -> str:
    needs = program.needs
    given = ["Width: c.width", "Height: c.height"]
    given += ["Orientation: c.orientation"] if "orientation" in needs else []
    given += ["Box: c.box"] if "box" in needs else []
    given += ["Landmarks: c.landmarks"] if "marks" in needs else []
    out = OUT[program.out]
    size, read = {
        "byte": (1, "b[0]"),
        "int8": (1, "int8(b[0])"),
        "int16": (2, "int16(binary.LittleEndian.Uint16(b))"),
        "int32": (4, "int32(binary.LittleEndian.Uint32(b))"),
        "float32": (4, "math.Float32frombits(binary.LittleEndian.Uint32(b))"),
        "float64": (8, "math.Float64frombits(binary.LittleEndian.Uint64(b))"),
    }[out]
    names = ["bufio", "fmt", "math", "os", "path/filepath", "testing"]
    names += ["encoding/binary"] if size > 1 else []
    words = {
        "ORIGIN": origin(program.spec),
        "PACKAGE_": package,
        "IMPORTS_": "\n".join(f'\t"{n}"' for n in sorted(names)),
        "GIVEN_": ", ".join(given),
        "OUT_": out,
        "SIZE_": str(size),
        "READ_": read,
        "BOUND_": "1e-6 * span" if out.startswith("float") else "0.0",
    }
    return template("golden_test.go", **words)
