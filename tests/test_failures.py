"""docs/TROUBLESHOOTING.md is complete and current: `make troubleshooting` writes it."""

import ast
import re

import failure_matrix
import pytest

PAGE = failure_matrix.PAGE.read_text()
ERRORS, ELSEWHERE = PAGE.split("\n## What others stumble over")


def test_every_error_stands_on_the_page_as_it_is_raised():
    for site in failure_matrix.sites():
        happened, why, remedy = (failure_matrix.cell(part) for part in site.parts)
        assert f"| {happened} | {why} | {remedy} |" in PAGE, f"{site.module}:{site.first}. Run make troubleshooting"


def test_the_page_holds_nothing_else():
    rows = re.findall(r"^\| (?!you see|---)", ERRORS, re.M)
    assert len(rows) == len({(site.error, site.message) for site in failure_matrix.sites()})


def names_in(module: str) -> set[str]:
    """The tests of a module, written as the page writes them: `test_x`, or `TestClass, test_x`."""
    (path,) = (failure_matrix.PAGE.parents[1] / "tests").rglob(f"{module}.py")
    found = set()
    for node in ast.parse(path.read_text()).body:
        inside = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}, " if isinstance(node, ast.ClassDef) else ""
        found |= {prefix + part.name for part in inside if isinstance(part, ast.FunctionDef)}
    return {name for name in found if re.search(r"(^|, )test_", name)}


def test_every_row_names_a_test_that_exists():
    names = re.findall(r"\| `([\w/]+): ([^`]+)` \|$", ERRORS, re.M)
    assert len(names) == len(re.findall(r"^\| (?!you see|---)", ERRORS, re.M))
    for module, test in names:
        assert test in names_in(module), (module, test)


@pytest.mark.parametrize("symptom, here, test", failure_matrix.ELSEWHERE, ids=lambda value: value[:30])
def test_what_others_stumble_over_is_tested(symptom, here, test):
    module, name = test.split(": ")
    assert symptom and here and name in names_in(module)


def test_the_page_has_what_others_stumble_over():
    rows = [f"| {symptom} | {here} | `{test}` |" for symptom, here, test in failure_matrix.ELSEWHERE]
    assert ELSEWHERE.splitlines()[4:] == rows, "Run make troubleshooting"
    assert len({symptom for symptom, *_ in failure_matrix.ELSEWHERE}) == len(rows)


def test_sentences_are_split_into_what_why_and_what_to_do():
    site = failure_matrix.Site("m", 1, 1, "InputError", "… is odd. Halves are needed. It stops. Use an even number.")
    assert site.parts == ("… is odd.", "Halves are needed. It stops.", "Use an even number.")
    assert failure_matrix.Site("m", 1, 1, "InputError", "A. Use 0.5 or 1.").parts == ("A.", "", "Use 0.5 or 1.")
