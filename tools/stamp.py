"""Write the repository's address everywhere: `python -m tools.stamp owner/name`."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from helpers import artifacts
from helpers.errors import InputError
from helpers.setup import places

ROOT = artifacts.ROOT


def stamp(repo: str) -> list[Path]:
    """Write the repository's address into every file that names it; return the changed files."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", repo):
        raise InputError(f"{repo!r} is not the address of a repository. Write it as owner/name.")
    documents = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob(".github/**/*.md"))]
    naming = [*sorted(ROOT.glob("notebooks/*.ipynb")), *documents, ROOT / "CITATION.cff"]
    naming.append(Path(places.__file__))
    changed = []
    for path in naming:
        text = path.read_text()
        if places.REPO in text:
            path.write_text(text.replace(places.REPO, repo))
            changed.append(path)
    return changed


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the repository's address into every file that names it.")
    parser.add_argument("repo", help="owner/name")
    try:
        for path in stamp(parser.parse_args().repo):
            print(f"stamped {path.relative_to(ROOT)}")
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
