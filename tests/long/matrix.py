"""Run the tests with the oldest and with the newest versions that requirements.txt allows.

    python tests/long/matrix.py [oldest] [newest] [--venvs FOLDER] [--notebooks 05] [--pytest ARGUMENTS]

uv chooses the versions: for `oldest` the lowest of each direct requirement, for `newest` the highest of all. They
take the place of constraints.txt in a copy of the working tree, which is then installed and tested as the course
itself is. Each environment needs up to 7 GB of disk, as old versions of torch are builds for CUDA; --venvs keeps them.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from colab import lay_down

RESOLUTION = {"oldest": "lowest-direct", "newest": "highest"}


def versions(course: Path, end: str, uv: Path) -> str:
    """Return the exact versions at one end of the ranges, as the text of a constraints.txt."""
    command = [uv, "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--resolution", RESOLUTION[end]]
    command += ["--python-version", "{}.{}".format(*sys.version_info), "requirements.txt"]
    said = subprocess.run([uv.parent / "pip", "config", "list"], capture_output=True, text=True, check=True).stdout
    for path in re.findall(r"constraint='(.+)'", said):  # pip, which installs, keeps to its own, and uv knows none
        command += ["--constraint", path]
    listed = subprocess.run(command, cwd=course, check=True, stdout=subprocess.PIPE, text=True).stdout
    # Extras belong to requirements; pip does not accept them in constraints.
    return re.sub(r"^([\w.-]+)\[[^\]]*\]", r"\1", listed, flags=re.MULTILINE)


def direct(course: Path) -> list[str]:
    """Return the pins of what requirements.txt names, for the report."""
    names = re.findall(r"^([\w-]+)", (course / "requirements.txt").read_text(), flags=re.MULTILINE)
    wanted = {name.lower().replace("_", "-") for name in names}
    pins = (course / "constraints.txt").read_text().split()
    return [pin for pin in pins if pin.split("==")[0].lower().replace("_", "-") in wanted]


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the tests at both ends of the allowed versions.")
    parser.add_argument("ends", nargs="*", metavar="end", help=f"{' or '.join(RESOLUTION)}; without, both")
    parser.add_argument("--venvs", type=Path, help="keep the environments in this folder and use them again")
    parser.add_argument("--notebooks", nargs="*", default=["05"], help="notebooks to run, too")
    parser.add_argument("--pytest", nargs=argparse.REMAINDER, default=[], help="arguments for pytest; stands last")
    given = parser.parse_args()
    if unknown := set(given.ends) - set(RESOLUTION):
        parser.error(f"there is no {', '.join(unknown)}; choose from {', '.join(RESOLUTION)}")
    failed = []
    for end in given.ends or RESOLUTION:
        started = time.monotonic()
        with tempfile.TemporaryDirectory(prefix=f"{end}-") as temporary:
            course = lay_down(Path(temporary) / "course")
            venv = (given.venvs.resolve() if given.venvs else Path(temporary)) / end
            python = venv / "bin" / "python"
            if not python.exists():
                subprocess.run([sys.executable, "-m", "venv", venv], check=True)
            subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "uv"], check=True)
            (course / "constraints.txt").write_text(versions(course, end, venv / "bin" / "uv"))
            print(f"{end}: {' '.join(direct(course))}", flush=True)
            surroundings = {k: v for k, v in os.environ.items() if not k.startswith(("COURSE_", "HF_", "PYTHON"))}
            options = {"cwd": course, "env": surroundings | {"COURSE_HUB": "rehearsal"}}
            steps = [["helpers.install"], ["pytest", *given.pytest]]
            if given.notebooks:
                steps.append(["tools.run", *given.notebooks, "--model", "story"])
            codes = []
            for step in steps:
                codes.append(subprocess.run([python, "-m", *step], **options).returncode)
                print(f"{end}: {step[0]} after {(time.monotonic() - started) / 60:.1f} minutes", flush=True)
                if step[0] == "helpers.install" and codes[0]:
                    break
        print(f"{end}: {'FAILED' if any(codes) else 'ok'} after {(time.monotonic() - started) / 60:.1f} minutes\n")
        failed += [end] * any(codes)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
