"""Every error we raise, with the test that provokes it: the generator of docs/TROUBLESHOOTING.md.

    make troubleshooting     # runs all tests, notes who raised what, and writes the page

The errors are found in the source, the tests by watching: while they run, the constructor of CourseError notes
its caller.
"""

from __future__ import annotations

import ast
import collections
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from helpers import artifacts, errors

PAGE = artifacts.ROOT / "docs" / "TROUBLESHOOTING.md"
OURS = {
    name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, errors.CourseError)
}
HEADINGS = {
    "InputError": "Something that was given cannot be used",
    "CheckpointError": "A model folder is not as it should be",
    "ConversionError": "Converting or quantizing stopped",
    "ResourceError": "Too little memory or disk",
    "HubError": "The Hub",
    "InstallError": "Installing",
}
INTRODUCTION = """# Troubleshooting

Every error that the course raises, what it means and what to do. The page is generated (`make troubleshooting`): the
messages are taken from the source, and each row names a test that provokes it. An ellipsis (…) stands for a value.
Search the page for a few words of your message.
"""


@dataclass(frozen=True)
class Site:
    """One place that makes an error of ours."""

    module: str
    first: int
    last: int
    error: str
    message: str

    @property
    def parts(self) -> tuple[str, str, str]:
        """What happened, why, what to do."""
        sentences = re.split(r"(?<=[.!?])\s+(?=[A-Z0-9`…(])", self.message)
        if len(sentences) == 1:
            return sentences[0], "", ""
        if len(sentences) == 2:
            return sentences[0], "", sentences[1]
        return sentences[0], " ".join(sentences[1:-1]), sentences[-1]


def sites() -> list[Site]:
    """Return every place in helpers/ that makes an error with a message of its own."""
    found = []
    for path in sorted((artifacts.ROOT / "helpers").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") in OURS and node.args):
                continue
            text = _text(node.args[0])
            if re.search(r"[A-Za-z]{3}", text.replace("…", "")) and not text.startswith("… ("):
                found.append(Site(path.stem, node.lineno, node.end_lineno, node.func.id, text))
    return found


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.BinOp):
        return _text(node.left) + _text(node.right)
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
    return str(node.value) if isinstance(node, ast.Constant) else "…"


class Watch:
    """Notes which test was running when an error was made, by module and line."""

    def __init__(self):
        self.seen: dict[tuple[str, int], str] = {}
        original = errors.CourseError.__init__

        def noting(error, *given):
            original(error, *given)
            frame = sys._getframe(1)
            test = os.environ.get("PYTEST_CURRENT_TEST", "").split(" ")[0]
            name = frame.f_globals.get("__name__", "")
            if test and name.startswith("helpers."):
                self.seen.setdefault((name.removeprefix("helpers."), frame.f_lineno), test)

        errors.CourseError.__init__ = noting

    def test_of(self, site: Site) -> str | None:
        lines = range(site.first, site.last + 1)
        return next((self.seen[site.module, line] for line in lines if (site.module, line) in self.seen), None)


def write(watch: Watch, page: Path = PAGE) -> list[Site]:
    """Write the page; return the errors that no test provoked."""
    groups, unprovoked = collections.defaultdict(dict), []
    for site in sites():
        test = watch.test_of(site)
        if test is None:
            unprovoked.append(site)
        groups[site.error].setdefault(site.message, (site, test))
    lines = [INTRODUCTION]
    for error, heading in HEADINGS.items():
        lines += [f"\n## {heading} (`{error}`)\n", "| you see | because | do this | tested by |", "|---|---|---|---|"]
        for site, test in sorted(groups[error].values(), key=lambda pair: pair[0].message):
            happened, why, remedy = (cell(part) for part in site.parts)
            lines.append(f"| {happened} | {why} | {remedy} | {name_of(test)} |")
    page.write_text("\n".join(lines) + "\n")
    return unprovoked


def cell(text: str) -> str:
    """Make a sentence safe for a table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;").replace("{", "&#123;")


def name_of(test: str | None) -> str:
    return f"`{test.removeprefix('tests/').split('[')[0].replace('.py::', ': ').replace('::', ', ')}`" if test else "–"
