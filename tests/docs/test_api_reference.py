"""The API reference is what the docstrings say."""

import ast

from conftest_docs import REPOSITORY

from facelab.report import api_docs


def test_it_is_up_to_date():
    made = api_docs.reference(REPOSITORY / "facelab")
    assert (REPOSITORY / "docs" / "api.md").read_text() == made, (
        "stale: run python -m facelab.report.api_docs"
    )


def test_it_names_what_people_call_and_hides_what_they_do_not():
    text = api_docs.reference(REPOSITORY / "facelab")
    for name in (
        "class PreprocessSpec",
        "compare(train: Fingerprint, infer: Fingerprint",
        "judge(bundle:",
        "tar_at_far(distance",
    ):
        assert name in text
    assert "`_fill" not in text and "`__init__" not in text


def test_every_public_function_and_class_has_a_docstring():
    bare = []
    for room in api_docs.ROOMS:
        for path in (REPOSITORY / "facelab" / room).rglob("*.py"):
            if (
                path.name.endswith("_job.py") or path.name == "planted.py"
            ):  # scripts, and code as found in the field
                continue
            bare += [
                f"{path.relative_to(REPOSITORY)}:{n.lineno} {n.name}"
                for n in ast.parse(path.read_text()).body
                if isinstance(n, (ast.FunctionDef, ast.ClassDef))
                and not n.name.startswith("_")
                and not ast.get_docstring(n)
            ]
    assert not bare, "\n".join(bare)
