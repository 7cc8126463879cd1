"""Write the repository's address and the version everywhere: `python -m tools.stamp owner/name [--version v2.0.0]`."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from helpers import artifacts
from helpers.errors import InputError
from helpers.setup import places

ROOT = artifacts.ROOT


def stamp(repo: str, version: str | None = None) -> list[Path]:
    """Write the repository's address and a version (a tag, or main) into all that names them; return those files.

    version: None leaves it as it is. Raises InputError for what is neither.
    """
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[\w.-]+", repo):
        raise InputError(f"{repo!r} is not the address of a repository. Write it as owner/name.")
    version = version or places.VERSION
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", version):
        raise InputError(f"{version!r} is no version. Write a tag, as v2.0.0, or the branch main.")
    documents = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob(".github/**/*.md"))]
    naming = [*sorted(ROOT.glob("notebooks/*.ipynb")), *documents, ROOT / "CITATION.cff"]
    naming.append(Path(places.__file__))
    changed = []
    for path in naming:
        text = path.read_text()
        stamped = text.replace(places.REPO, repo)
        stamped = stamped.replace(f"{repo}/blob/{places.VERSION}/", f"{repo}/blob/{version}/")
        stamped = re.sub(rf'(REPO, VERSION = \\?"{re.escape(repo)}\\?", \\?")[^"\\]+', rf"\g<1>{version}", stamped)
        if stamped != text:
            path.write_text(stamped)
            changed.append(path)
    return changed


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the repository's address into every file that names it.")
    parser.add_argument("repo", help="owner/name")
    parser.add_argument("--version", help="the tag of a release, or main; by default what it is now")
    given = parser.parse_args()
    try:
        for path in stamp(given.repo, given.version):
            print(f"stamped {path.relative_to(ROOT)}")
    except InputError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
