"""Whatever may skip says why, and CONTRIBUTING lists the reasons: "all passed" must not hide a test that never ran."""

import ast
import re

import pytest

from helpers import artifacts

ROOT = artifacts.ROOT
SKIPPING = ("skip", "skipif", "importorskip", "xfail")


def skips(source: str) -> list[tuple[int, str]]:
    """Return line and reason of everything that can skip a test ("" where the reason is missing or no plain text)."""
    tree = ast.parse(source)
    calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    named = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in SKIPPING]
    ours = [node for node in named if ast.unparse(node.value) in ("pytest", "pytest.mark")]
    return [(node.lineno, reason(calls.get(id(node)))) for node in ours]


def reason(call: ast.Call | None) -> str:
    if call is None:  # a bare @pytest.mark.skip
        return ""
    texts = [word.value for word in call.keywords if word.arg == "reason"]
    texts += call.args[:1] if call.func.attr == "skip" else []
    return texts[0].value if texts and isinstance(texts[0], ast.Constant) else ""


def everywhere() -> dict[str, str]:
    """Return the reason of each place, as "file:line"."""
    found = {}
    for path in sorted((ROOT / "tests").rglob("*.py")):
        found |= {f"{path.relative_to(ROOT)}:{line}": text for line, text in skips(path.read_text())}
    return found


def listed() -> set[str]:
    section = (ROOT / "CONTRIBUTING.md").read_text().split("## What is skipped")[1].split("\n## ")[0]
    return set(re.findall(r"^\| (?!pytest says)([^-|][^|]*?) \|", section, re.M))


def test_every_skip_has_a_reason_that_contributing_lists():
    for place, text in everywhere().items():
        assert text in listed(), f"{place}: {text or 'no reason'}. Give it a row in CONTRIBUTING, What is skipped"


def test_contributing_lists_nothing_that_is_gone():
    assert listed() == set(everywhere().values())


@pytest.mark.parametrize(
    "source, expected",
    [
        ("pytest.skip('no disk')", ["no disk"]),
        ("pytest.skip(reason='no disk')", ["no disk"]),
        ("pytest.mark.skipif(True, reason='no disk')", ["no disk"]),
        ("@pytest.mark.skip\ndef test(): ...", [""]),
        ("pytest.mark.skipif(True)", [""]),
        ("pytest.importorskip('torch')", [""]),
        ("pytest.skip(f'no {disk}')", [""]),
        ("pytest.param(1, marks=pytest.mark.xfail(reason='known'))", ["known"]),
        ("text.skip(3); pytest.mark.parametrize('x', [1])", []),
    ],
)
def test_skips_are_found(source, expected):
    assert [text for _, text in skips(source)] == expected


def test_notebooks_skip_no_cell():
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        assert "nbval-skip" not in path.read_text(), path.name
