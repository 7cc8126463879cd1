"""docs/TROUBLESHOOTING.md is complete and current: `make troubleshooting` writes it."""

import re

import failure_matrix

PAGE = failure_matrix.PAGE.read_text()
# Rows without a test's name: made in other processes, or their tests were left out when the page was last written.
UNWATCHED = 24


def test_every_error_stands_on_the_page_as_it_is_raised():
    for site in failure_matrix.sites():
        happened, why, remedy = (failure_matrix.cell(part) for part in site.parts)
        assert f"| {happened} | {why} | {remedy} |" in PAGE, f"{site.module}:{site.first}. Run make troubleshooting"


def test_the_page_holds_nothing_else():
    rows = re.findall(r"^\| (?!you see|---)", PAGE, re.M)
    assert len(rows) == len({(site.error, site.message) for site in failure_matrix.sites()})


def test_nearly_every_row_names_a_test_that_exists():
    names = re.findall(r"\| `([\w/]+): ([^`]+)` \|$", PAGE, re.M)
    without = re.findall(r"\| – \|$", PAGE, re.M)
    assert len(names) + len(without) == len(re.findall(r"^\| (?!you see|---)", PAGE, re.M))
    assert len(without) <= UNWATCHED
    for module, path in names:
        source = (failure_matrix.PAGE.parents[1] / "tests" / f"{module}.py").read_text()
        assert f"def {path.split(', ')[-1]}(" in source, (module, path)


def test_sentences_are_split_into_what_why_and_what_to_do():
    site = failure_matrix.Site("m", 1, 1, "InputError", "… is odd. Halves are needed. It stops. Use an even number.")
    assert site.parts == ("… is odd.", "Halves are needed. It stops.", "Use an even number.")
    assert failure_matrix.Site("m", 1, 1, "InputError", "A. Use 0.5 or 1.").parts == ("A.", "", "Use 0.5 or 1.")
