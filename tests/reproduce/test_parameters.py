"""Parameters are read from a cell without running it, and nothing bends silently."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from facelab.core.errors import BadInputError
from facelab.reproduce import _parameters as parameters

CELL = """n: int = 3  # how many
rate: float = 0.5  # per second
name: str = 'a # b'  # hash in a string
on: bool = True  # whether
limit: int | None = None  # None: no limit
mode: Literal['fast', 'exact', 3] = 'fast'  # how
sizes: list[float] = [1.0, 2.0]  # pixels
pair: tuple[int, int] = (112, 112)  # (width, height)
table: dict[str, float] = {'a': 1.0}  # weights
folder: Path = Path('data')  # where
note: 'str | None' = None  # quoted type"""


@pytest.fixture
def declared():
    return parameters.parse(CELL, where="cell parameters", strict=True)


def test_a_cell_is_read_with_types_defaults_and_help(declared):
    assert [(p.name, p.type_text, p.default) for p in declared.values()][:5] == [
        ("n", "int", 3),
        ("rate", "float", 0.5),
        ("name", "str", "a # b"),
        ("on", "bool", True),
        ("limit", "int | None", None),
    ]
    assert declared["name"].help == "hash in a string" and declared["folder"].default == Path(
        "data"
    )


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("n", "12", 12),
        ("n", "-1", -1),
        ("rate", "2", 2.0),
        ("rate", "1e-3", 1e-3),
        ("name", "12", "12"),
        ("name", "", ""),
        ("on", "false", False),
        ("on", "True", True),
        ("on", "no", False),
        ("limit", "none", None),
        ("limit", "7", 7),
        ("mode", "exact", "exact"),
        ("mode", "3", 3),
        ("sizes", "1,2.5", [1.0, 2.5]),
        ("sizes", "[4]", [4.0]),
        ("sizes", "3", [3.0]),
        ("pair", "64,32", (64, 32)),
        ("pair", "(64, 32)", (64, 32)),
        ("table", "{'b': 2}", {"b": 2.0}),
        ("table", '{"b": 2}', {"b": 2.0}),
        ("folder", "a b/c", Path("a b/c")),
        ("note", "null", None),
        ("note", "nothing", "nothing"),
    ],
)
def test_text_from_a_command_line_becomes_the_declared_type(declared, name, text, value):
    got = parameters.from_text(declared[name], text, where="-p")
    assert got == value and type(got) is type(value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n", 1.0),
        ("n", True),
        ("n", "3"),
        ("rate", "x"),
        ("rate", math.inf),
        ("rate", math.nan),
        ("name", 3),
        ("on", 1),
        ("limit", 1.5),
        ("mode", "slow"),
        ("mode", 3.0),
        ("mode", True),
        ("sizes", [1.0, "x"]),
        ("sizes", (1.0,)),
        ("sizes", [math.nan]),
        ("pair", (1, 2, 3)),
        ("table", {1: 1.0}),
        ("folder", 3),
    ],
)
def test_a_value_of_another_type_is_refused_with_name_type_and_value(declared, name, value):
    with pytest.raises(BadInputError) as caught:
        parameters.check(declared[name], value, where="the plan")
    assert repr(name) in caught.value.what and caught.value.got == repr(value)
    assert caught.value.expected.startswith(declared[name].type_text)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("n: int = '3'  # x", "cannot take this value"),
        ("n: int = f()  # x", "not a literal"),
        ("n: int  # x", "typed literal"),
        ("n: Tensor = 3  # x", "type is not known"),
        ("n, m = 1, 2", "typed literal"),
        ("n: int = 3", "has no help"),
        ("n: int = 3  # x\nn: int = 4  # y", "declared twice"),
        ("n: int = ", "not Python"),
        ("print(1)", "typed literal"),
        ("n: list[Tensor] = []  # x", "type is not known"),
    ],
)
def test_a_bad_line_is_named(line, says):
    with pytest.raises(BadInputError, match=says) as caught:
        parameters.parse(line, where="cell parameters", strict=True)
    assert "cell parameters, line" in caught.value.where


def test_untyped_cells_of_other_peoples_notebooks_are_read_too():
    found = parameters.parse("import os\nalpha = 0.1\nname = None\n", where="cell")
    assert parameters.from_text(found["alpha"], "2", where="-p") == 2.0
    assert parameters.from_text(found["name"], "x", where="-p") == "x"
    with pytest.raises(BadInputError):
        parameters.from_text(found["alpha"], "x", where="-p")


plain = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | (
        st.text(st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1).map(
            Path
        )
    )
)


@given(
    st.recursive(
        plain,
        lambda inner: (
            st.lists(inner) | st.dictionaries(st.text(), inner) | st.lists(inner).map(tuple)
        ),
        max_leaves=8,
    )
)
def test_literals_come_back_as_they_went(value):
    assert parameters.of_literal(parameters.to_literal(value)) == value
