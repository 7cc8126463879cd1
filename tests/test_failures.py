"""docs/TROUBLESHOOTING.md is complete and current: `make troubleshooting` writes it."""

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


def test_every_row_names_a_test_that_exists():
    names = re.findall(r"\| `([\w/]+): ([^`]+)` \|$", ERRORS, re.M)
    assert len(names) == len(re.findall(r"^\| (?!you see|---)", ERRORS, re.M))
    for module, path in [*names, *(test.split(": ") for *_, test in failure_matrix.ELSEWHERE)]:
        source = (failure_matrix.PAGE.parents[1] / "tests" / f"{module}.py").read_text()
        assert f"def {path.split(', ')[-1]}(" in source, (module, path)


def test_the_page_has_what_others_stumble_over():
    assert all(f"| {row[0]} | {row[1]} | `{row[2]}` |" in ELSEWHERE for row in failure_matrix.ELSEWHERE)


def test_every_known_pitfall_is_covered():
    """The project's own list of pitfalls lies beside the repository where it is developed."""
    known = failure_matrix.PAGE.parents[2] / "shared" / "PITFALLS.md"
    if not known.exists():
        pytest.skip("the list of pitfalls is not here")
    symptoms = re.findall(r"^\| (?!symptom|---)(.+?) \|", known.read_text(), re.M)
    assert len(symptoms) == len(failure_matrix.ELSEWHERE)
    for symptom, (ours, *_) in zip(symptoms, failure_matrix.ELSEWHERE, strict=True):
        assert symptom.split()[0].strip('`",:') in ours, symptom


def test_sentences_are_split_into_what_why_and_what_to_do():
    site = failure_matrix.Site("m", 1, 1, "InputError", "… is odd. Halves are needed. It stops. Use an even number.")
    assert site.parts == ("… is odd.", "Halves are needed. It stops.", "Use an even number.")
    assert failure_matrix.Site("m", 1, 1, "InputError", "A. Use 0.5 or 1.").parts == ("A.", "", "Use 0.5 or 1.")
