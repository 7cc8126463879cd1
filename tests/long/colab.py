"""Rehearse what Colab does: one notebook in an empty folder, on a machine with what Colab preinstalls.

    python tests/long/colab.py 02 05 … | all  [--model story] [--venv FOLDER] [--python python3.13] [--torch 2.11.0]

The working tree is stamped with a made-up address and laid down as the repository that git finds there; a virtual
environment gets Colab's versions and a stand-in for `google.colab`. Then each notebook must run from its first cell to
its last, may install what is missing, and may not move any package that was there. An unstamped copy and the versions
of an older runtime must end in a message. Needs git, and a compiler unless pip has llama-cpp-python's wheel.

Colab has Python 3.13, its older runtimes 3.12; --python names the one for the environment. torch is Colab's own version
where PyTorch's CPU index can be reached, else the course's; --torch insists, if need be on a build of several GB.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from helpers import artifacts, install
from helpers.errors import CourseError
from helpers.setup import packages, pip, places
from tools.execute import find

REPO = "course/from-bits-to-gguf"  # made up: git is told that this repository is the one on this machine
VERSION = "v9.9.9"  # made up, too: the release that is rehearsed, behind which main has moved on
SECONDS = 2700  # for the longest cell; building llama-cpp-python takes six minutes, and thrice that beside neighbours
TORCH = "2.11.0"  # Colab's

# From Colab's own list of 19 August 2026 (googlecolab/backend-info, pip-freeze.txt): what the notebooks, the programs
# that run them and the packages they add depend on. torch is apart, as the list has a build of its own.
PREINSTALLED = """
annotated-doc==0.0.5 annotated-types==0.8.0 anyio==4.14.2 certifi==2026.7.22 click==8.4.2 contourpy==1.3.3
cycler==0.12.1 distro==1.9.0 fastapi==0.141.1 filelock==3.32.3 fonttools==4.63.0 fsspec==2025.3.0 h11==0.16.0
hf-xet==1.6.0 httpcore==1.0.9 httpx==0.28.1 huggingface_hub==1.27.0 idna==3.18 importlib_metadata==9.0.0
ipykernel==6.17.1 ipython==7.34.0 ipywidgets==7.7.1 jiter==0.16.0 Jinja2==3.1.6 joblib==1.5.3 jupyter_client==7.4.9
jupyter_core==5.9.1 jupyterlab_widgets==3.0.16 kiwisolver==1.5.0 markdown-it-py==4.2.0 MarkupSafe==3.0.3
matplotlib-inline==0.2.2 matplotlib==3.10.0 mdurl==0.1.2 ml_dtypes==0.6.0 mpmath==1.3.0 nbclient==0.10.4
nbformat==5.11.1 networkx==3.6.1 numpy==2.1.3 openai==2.54.0 packaging==26.3 pandas==2.2.3 pillow==11.3.0
protobuf==5.29.6 psutil==5.9.5 pydantic==2.13.4 pydantic_core==2.46.4 Pygments==2.21.0 pyparsing==3.3.2
python-dateutil==2.9.0.post0 python-dotenv==1.2.3 pytz==2025.2 PyYAML==6.0.3 pyzmq==26.2.1 regex==2025.11.3
requests==2.32.4 rich==13.9.4 safetensors==0.8.0 scipy==1.16.3 sentencepiece==0.2.2 shellingham==1.5.4 six==1.17.0
sniffio==1.3.1 starlette==1.6.0 sympy==1.14.0 tokenizers==0.22.2 tornado==6.5.7 tqdm==4.67.3 traitlets==5.7.1
transformers==5.15.0 typer==0.27.1 typing-inspection==0.4.4 typing_extensions==4.16.0 tzdata==2026.3 urllib3==2.5.0
uvicorn==0.52.3 widgetsnbextension==3.6.10 zipp==4.1.0
""".split()

# What a runtime of June 2026 has instead; a reader may choose it, and Kaggle's image is as old.
OLDER = ["huggingface_hub==1.23.0", "transformers==5.13.1"]

# Colab's Python also sees the packages of Ubuntu's own Python (apt-list.txt of the same place), last on its path:
# older versions, in the shadow of those above. They are there, they are listed, and they are not used.
SHADOWED = {
    "MarkupSafe": "2.0.1",
    "importlib-metadata": "4.6.4",
    "pyparsing": "2.4.7",
    "six": "1.16.0",
    "zipp": "1.0.0",
}

# The stand-in for google.colab: a notebook without secrets. Colab loads the module before the first cell.
COLAB = {
    "google/colab/__init__.py": "from google.colab import userdata\n",
    "google/colab/userdata.py": '''
class SecretNotFoundError(Exception):
    def __init__(self, key):
        super().__init__(f"Secret {key} does not exist.")


def get(key):
    """What Colab does when no secret of that name was set."""
    raise SecretNotFoundError(key)
''',
}

# Runs inside the environment, which has nbclient as Colab's has. Its ipykernel (6.17) was once seen asleep over a
# request that had arrived, with both sides waiting; another message wakes it.
EXECUTE = """
import asyncio, sys, nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellTimeoutError
notebook = nbformat.read(sys.argv[1], as_version=4)
client = NotebookClient(notebook, timeout=int(sys.argv[2]), kernel_name="python3")

async def keep_awake():
    while True:
        await asyncio.sleep(10)
        if client.kc is not None:
            client.kc.kernel_info()

async def main():
    waker = asyncio.create_task(keep_awake())
    try:
        await client.async_execute(cwd=".")
    finally:
        waker.cancel()

try:
    asyncio.run(main())
except CellTimeoutError as late:
    sys.exit(f"TOO SLOW {late}")
finally:
    nbformat.write(notebook, sys.argv[1])
"""


def lay_down(folder: Path) -> Path:
    """Lay the working tree down as it would be on GitHub: stamped, released, and main has moved everything since."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=artifacts.ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (artifacts.ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(artifacts.ROOT / name, folder / name)
    name = REPO if places.REPO.startswith("OWNER/") else places.REPO
    command = [sys.executable, "-m", "tools.stamp", name, "--version", VERSION]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    git = ["git", "-C", str(folder), "-c", "user.name=course", "-c", "user.email=course@example.org"]
    commit = ["commit", "--quiet", "--all", "-m"]
    released = [["init", "--quiet", "-b", "main"], ["add", "--all"], [*commit, "as it is"], ["tag", VERSION]]
    moved_on = [["rm", "--quiet", "-r", "helpers"], [*commit, "all is elsewhere now"]]
    for arguments in (*released, *moved_on):
        subprocess.run([*git, *arguments], check=True)
    subprocess.run([*git, "checkout", "--quiet", VERSION], check=True)
    return folder


def address() -> str:
    """Return the address that the stamped notebooks clone."""
    return f"https://github.com/{REPO if places.REPO.startswith('OWNER/') else places.REPO}"


def environment(repository: Path, home: Path, model: str = "story") -> dict[str, str]:
    """Return the environment of the rehearsed machine: no tokens, no switches of ours but two, and git's mapping."""
    foreign = ("HF_", "COURSE_", "LLAMA_", "GIT_", "JUPYTER", "IPYTHON", "PYTHON", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    return kept | {
        "COLAB_RELEASE_TAG": "rehearsal",
        "COURSE_MODEL": model,
        "COURSE_HUB": "rehearsal",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.file://{repository}.insteadOf",
        "GIT_CONFIG_VALUE_0": address(),
        "HF_HOME": str(home / "hf"),
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    }


def stand_in(packages: Path, home: Path) -> None:
    """Put the stand-in for google.colab into a folder of packages, and have every kernel load it."""
    for name, text in COLAB.items():
        (packages / name).parent.mkdir(parents=True, exist_ok=True)
        (packages / name).write_text(text)
    startup = home / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True, exist_ok=True)
    (startup / "colab.py").write_text("import google.colab\n")


class Machine:
    """A virtual environment with Colab's packages, restored after every notebook."""

    def __init__(self, folder: Path, home: Path, python: str = sys.executable, torch: str | None = None):
        self.python = folder / "bin" / "python"
        shadow = folder / "dist-packages"
        shutil.rmtree(shadow, ignore_errors=True)
        if not self.python.exists():
            subprocess.run([python, "-m", "venv", str(folder)], check=True)
            try:  # the package index has builds of several GB
                self.pip("install", "--index-url", install.TORCH_WHEELS, *pip.FAIL_FAST, f"torch=={torch or TORCH}")
            except subprocess.CalledProcessError:
                self.pip("install", f"torch=={torch}" if torch else packages.pin("torch"))
        self.pip("install", *PREINSTALLED)
        library = Path(self.run("-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
        stand_in(library, home)
        for name, version in SHADOWED.items():
            record = shadow / f"{name}-{version}.dist-info" / "METADATA"
            record.parent.mkdir(parents=True)
            record.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (library / "shadow.pth").write_text(f"{shadow}\n")
        self.before = self.freeze()

    def run(self, *arguments: str, **options) -> str:
        """Run the environment's Python and return what it printed; CalledProcessError has it, too."""
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True, "check": True} | options
        return subprocess.run([self.python, *arguments], **options).stdout

    def pip(self, *arguments: str) -> str:
        """Run the environment's pip and return what it printed."""
        return self.run("-m", "pip", *arguments, "--disable-pip-version-check")

    def freeze(self) -> set[str]:
        """Return what is installed, as `name==version`."""
        return {line for line in self.pip("freeze", "--all").splitlines() if "==" in line or " @ " in line}

    def restore(self) -> None:
        """Take off what a notebook installed, and put back what it moved."""
        added, moved = differences(self.before, self.freeze())
        if added:
            self.pip("uninstall", "--yes", *map(name_of, added))
        if moved:
            self.pip("install", "--no-deps", "--ignore-installed", *moved)


def name_of(line: str) -> str:
    """Return the name of the package in a line of pip freeze, as the index spells it."""
    return re.sub(r"[-_.]+", "-", re.split(r"==| @ ", line)[0]).lower()


def differences(before: set[str], after: set[str]) -> tuple[list[str], list[str]]:
    """Compare two lists of pip freeze: what was added, and what was there and is there no longer."""
    names = {name_of(line) for line in before}
    return sorted(line for line in after if name_of(line) not in names), sorted(before - after)


def first_cell(path: Path) -> str:
    """Return the setup cell of a notebook."""
    return next("".join(c["source"]) for c in json.loads(path.read_text())["cells"] if c["cell_type"] == "code")


def unstamped_says_so(machine: Machine, folder: Path, surroundings: dict[str, str]) -> bool:
    """Tell whether an unstamped copy ends in the sentence about its repository (true for a stamped tree, too)."""
    if not places.REPO.startswith("OWNER/"):
        return True
    code = first_cell(find(["all"])[0])
    said = machine.run("-c", code, cwd=folder, env=surroundings, check=False)
    return "RuntimeError: The course's files are not here" in said and not any(folder.iterdir())


def older_runtime_says_so(machine: Machine, repository: Path, folder: Path, surroundings: dict[str, str]) -> bool:
    """Tell whether the setup cell ends in the sentence about the runtime, and installs nothing before it."""
    name = find(["all"])[0].name
    machine.pip("install", "--no-deps", *OLDER)
    before = machine.freeze()
    said = machine.run("-c", first_cell(repository / "notebooks" / name), cwd=folder, env=surroundings, check=False)
    unmoved = machine.freeze() == before
    machine.restore()
    named = all(version.replace("==", " ").replace("_", "-") in said for version in OLDER)
    return named and unmoved and "Runtime version: Latest" in said


def rehearse(path: Path, machine: Machine, folder: Path, surroundings: dict[str, str]) -> tuple[bool, str]:
    """Run one notebook as Colab would; return whether all is well, and what there is to say."""
    shutil.copy(path, folder)
    try:
        machine.run("-c", EXECUTE, path.name, str(SECONDS), cwd=folder, env=surroundings)
    except subprocess.CalledProcessError as error:
        return False, last_words(error) + why_slow(error.stdout)
    added, moved = differences(machine.before, machine.freeze())
    with contextlib.suppress(subprocess.CalledProcessError):
        machine.restore()
    return not moved, f"added {' '.join(added) or 'nothing'}; moved {' '.join(moved) or 'nothing'}"


def why_slow(said: str) -> str:
    """Return what to think of a cell that took too long; nothing if none did."""
    if "TOO SLOW" not in said:
        return ""
    return (
        f"\nNo cell failed: one was not finished after {SECONDS // 60} minutes; {os.getloadavg()[0]:.1f} programs "
        f"wanted {os.cpu_count()} cores. Try again on an idle machine."
    )


def last_words(error: subprocess.CalledProcessError) -> str:
    return "\n".join(error.stdout.strip().splitlines()[-12:])


def main() -> int:
    parser = argparse.ArgumentParser(description="Run notebooks as Colab would.")
    parser.add_argument("names", nargs="+", help="numbers of notebooks, main, or all")
    parser.add_argument("--model", default="story", help="story or smollm2")
    parser.add_argument("--venv", type=Path, help="keep the environment in this folder and use it again")
    parser.add_argument("--python", default=sys.executable, help="the Python of the environment, as python3.13")
    parser.add_argument("--torch", help=f"this version of torch, from whichever index has it; Colab has {TORCH}")
    given = parser.parse_args()
    try:
        wanted = find(given.names)
    except CourseError as error:
        print(error)
        return 1
    with tempfile.TemporaryDirectory(prefix="colab-") as temporary:
        home = Path(temporary)
        started = time.monotonic()
        try:
            machine = Machine((given.venv or home / "venv").resolve(), home, given.python, given.torch)
        except subprocess.CalledProcessError as error:
            print(f"Colab's packages could not be installed:\n{last_words(error)}")
            return 1
        code = "import sys, torch; print('Python', sys.version.split()[0], 'torch', torch.__version__)"
        version = machine.run("-c", code)
        print(f"{version.strip()}, {len(machine.before)} packages in {time.monotonic() - started:.0f} s", flush=True)
        repository = lay_down(home / "repository")
        surroundings = environment(repository, home, given.model)
        (home / "empty").mkdir()
        failures = 0
        for what, good in (
            ("an unstamped copy", unstamped_says_so(machine, home / "empty", surroundings)),
            ("an older runtime", older_runtime_says_so(machine, repository, home / "empty", surroundings)),
        ):
            failures += not good
            print(f"{what} {'says what is wrong' if good else 'FAILED'}", flush=True)
        shutil.rmtree(home / "empty")
        for path in wanted:
            started, folder = time.monotonic(), home / path.stem
            folder.mkdir()
            good, words = rehearse(repository / "notebooks" / path.name, machine, folder, surroundings)
            failures += not good
            seconds = time.monotonic() - started
            print(f"{path.stem:38s}{'ok' if good else 'FAILED':7s}{seconds:5.0f} s  {words}", flush=True)
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
