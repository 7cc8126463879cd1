"""Build llama-cpp-python's wheel for a release of the course: `python -m tools.wheel [folder]`.

It runs on every processor of this kind, and it holds what `import llama_cpp` loads. What is printed, name and SHA-256,
belongs into wheels.txt: `helpers.setup.llama_wheel` takes the file from the release `wheels-<version>` if it is there.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from helpers import artifacts
from helpers.errors import InstallError
from helpers.setup import llama_wheel


def main() -> int:
    parser = argparse.ArgumentParser(description="Build llama-cpp-python's wheel for a release of the course.")
    parser.add_argument("folder", nargs="?", type=Path, default=Path("dist"))
    folder = parser.parse_args().folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        llama_wheel.build(folder)
    except InstallError as error:
        print(error, file=sys.stderr)
        return 1
    for path in sorted(folder.glob(f"{llama_wheel.NAME}-*.whl")):
        print(f"{artifacts.sha256(path)}  {path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
