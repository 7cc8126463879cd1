"""The package as a whole: instant import, one direction of dependencies, errors that help, a true README."""

import ast
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import artifacts, install
from helpers.setup import places

ROOT = artifacts.ROOT
MODULES = sorted((ROOT / "helpers").rglob("*.py"))
ROOMS = "setup numbers pipeline quality training compression experiments figures checks".split()
# Rooms that are about PyTorch or its models load them where they are imported; everything else loads them when needed.
ABOUT_TORCH = ("training", "compression", "experiments")
# The endpoints of the rehearsal Hub are written in Starlette; RehearsalHub loads them when it starts.
ENDPOINTS = "about access app branches repos transfers".split()
HEAVY = "torch transformers llama_cpp matplotlib pandas gguf huggingface_hub sentencepiece starlette uvicorn".split()
ids = pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT / "helpers").as_posix())


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def outside(path: Path) -> set[str]:
    """Return the packages of others that a module imports at its top level."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.split(".")[0])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
    return found - {"helpers"}


def test_import_is_instant():
    """No heavy package is loaded, which is what makes it slow; the time itself is measured by make bench."""
    light = [
        name_of(path)
        for path in MODULES
        if room_of(path) not in ABOUT_TORCH and path.stem != "__main__" and not is_endpoint(path)
    ]
    code = f"import {', '.join(light)}; import sys; print([m for m in sys.modules if m in {HEAVY!r}])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def room_of(path: Path) -> str:
    return path.relative_to(ROOT / "helpers").parts[0].removesuffix(".py")


def is_endpoint(path: Path) -> bool:
    return path.parent.name == "rehearsal" and path.stem in ENDPOINTS


@ids
def test_what_a_room_loads(path):
    light = set(sys.stdlib_module_names) | {"numpy"}
    if room_of(path) in ABOUT_TORCH:
        light |= {"torch", "transformers", "safetensors", "sentencepiece", "scipy"}
    if is_endpoint(path):
        light |= {"starlette", "uvicorn", "yaml", "safetensors"}
    assert outside(path) <= light, "other heavy packages are imported inside functions"


def lint_imports(folder: Path) -> subprocess.CompletedProcess:
    return subprocess.run([LINTER, "--no-cache"], cwd=folder, capture_output=True, text=True)


LINTER = str(Path(sys.executable).with_name("lint-imports"))


def test_rooms_import_downwards_only_and_never_in_a_circle():
    done = lint_imports(ROOT)
    assert done.returncode == 0 and "2 kept, 0 broken" in done.stdout, done.stdout[-2000:]


@pytest.mark.parametrize(
    "module, line",
    [
        ("numbers/integers.py", "def late():\n    from helpers.pipeline import convert\n"),  # upwards, in a function
        ("training/fit.py", "from helpers.pipeline import runtime\n"),  # to a neighbour
        ("compression/prune.py", "def late():\n    from helpers.compression import compress\n"),  # a circle in a room
        ("errors.py", "from tools import execute\n"),  # from the lessons to the authors' tools
    ],
)
def test_the_linter_sees_a_wrong_import(tmp_path, module, line):
    for name in ("helpers", "tools"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    path = tmp_path / "helpers" / module
    path.write_text(path.read_text() + "\n\n" + line)
    done = lint_imports(tmp_path)
    assert done.returncode == 1 and "BROKEN" in done.stdout


def test_the_map_names_every_room():
    """`helpers/__init__.py` says which folder belongs to which notebooks, and CONTRIBUTING shows it."""
    rooms = {path.parent.name for path in (ROOT / "helpers").glob("*/__init__.py")}
    assert rooms == set(ROOMS)
    for page in ((ROOT / "helpers" / "__init__.py"), ROOT / "CONTRIBUTING.md"):
        lines = page.read_text().splitlines()
        assert all(any(re.match(rf"[| `]*(helpers/)?{room}\b", line) for line in lines) for room in rooms), page.name


def test_tests_mirror_the_rooms():
    for room in ROOMS:
        assert list((ROOT / "tests" / room).glob("test_*.py")), room


@pytest.mark.parametrize(
    "path", [*MODULES, *(ROOT / "tools").glob("*.py")], ids=lambda p: p.relative_to(ROOT).as_posix()
)
def test_a_module_is_one_idea(path):
    assert path.read_text().count("\n") <= 300


@ids
def test_public_functions_are_documented(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            short = isinstance(node, ast.FunctionDef) and len(node.body) == 1 and node.returns is not None
            assert ast.get_docstring(node) or short or node.name == "main", f"{path.name}: {node.name}"


@ids
def test_helpers_do_not_print(path):
    """Only notebooks print, and command-line programs."""
    printing = ("install", "setup.pip", "training.shipped", "experiments.__main__")
    if name_of(path).removeprefix("helpers.") in printing:
        return
    assert not re.search(r"^\s*print\(", path.read_text(), re.M)


def test_error_messages_have_three_parts():
    """What happened, why, what to do: every message is at least two sentences."""
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "").endswith("Error") and node.args:
                if node.func.id == "ConnectionError":
                    continue
                text = "".join(
                    part.value if isinstance(part, ast.Constant) else "…"
                    for part in (node.args[0].values if isinstance(node.args[0], ast.JoinedStr) else [node.args[0]])
                    if not isinstance(part, ast.Constant) or isinstance(part.value, str)
                )
                if len(text) > 3 and not text.startswith("… ("):  # a whole message with its source appended
                    assert len(re.findall(r"[.!?](\s|$|…)", text)) >= 2, f"{path.name}: {text}"


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_trace_of_a_machine_in_any_file():
    for path in tracked():
        if path.suffix in (".py", ".md", ".ipynb", ".txt", ".toml", ".cff", ".yml") or path.name in ("Makefile", "run"):
            text = path.read_text(errors="replace")
            assert not re.search("/wor" + r"k/(main|steering)|/ro" + "ot/", text), path
            assert not re.search("TO" + r"DO\b|FIX" + "ME", text), path


def test_nothing_runs_code_of_a_repository():
    """Pickles and trust_remote_code run whatever a stranger wrote; old llama-cpp-python ran it in chat templates."""
    forbidden = re.compile(r"trust_remote_code\s*=\s*True|torch\.load\(|pickle\.loads?\(|weights_only\s*=\s*False")
    for path in (*MODULES, *(ROOT / "tools").glob("*.py"), *(ROOT / "benchmarks").glob("*.py")):
        assert not forbidden.search(path.read_text()), path.name
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        code = ["".join(c["source"]) for c in json.loads(path.read_text())["cells"] if c["cell_type"] == "code"]
        assert not forbidden.search("\n".join(code)), path.name
    pin = re.search(r"llama-cpp-python\[?\w*\]?==(\d+)\.(\d+)\.(\d+)", (ROOT / "requirements.txt").read_text())
    assert tuple(map(int, pin.groups())) >= (0, 2, 72), "the first with sandboxed templates"


def test_no_file_is_large():
    assert all(path.stat().st_size <= 16 * 2**20 for path in tracked())


README = (ROOT / "README.md").read_text() if (ROOT / "README.md").exists() else ""


def test_readme_names_real_targets_and_files():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    for target in re.findall(r"\bmake ([a-z]+)", README):
        assert target in targets, target
    for link in re.findall(r"\]\(((?!http|#)[^)]+)\)", README):
        assert (ROOT / link).exists(), link


def test_readme_lists_every_notebook_with_its_badge():
    for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")):
        assert f"](notebooks/{path.name})" in README and f"blob/{places.VERSION}/notebooks/{path.name}" in README


def test_the_container_of_codespaces_runs_what_the_readme_does():
    settings = json.loads((ROOT / ".devcontainer" / "devcontainer.json").read_text())
    makefile = (ROOT / "Makefile").read_text()
    commands = [value for name, value in settings.items() if name.endswith("Command")]
    assert [command.split()[0] for command in commands] == ["make", "make"]
    for command in commands:
        assert f"\n{command.split()[1].replace('.venv', '$(VENV)')}:" in makefile, command
    assert f"make run MODEL={settings['postCreateCommand'].split('=')[1]}" in README
    python = re.search(r"python:(\d+)\.(\d+)$", settings["image"])
    assert install.PYTHONS[0] <= tuple(map(int, python.groups())) <= install.PYTHONS[1]
    assert f"https://codespaces.new/{places.REPO})" in README


def test_readme_documents_every_switch():
    used = set()
    for path in [*MODULES, *(ROOT / "notebooks").glob("*.ipynb")]:
        used |= set(re.findall(r"\b(COURSE_[A-Z]+|LLAMA_CPP_DIR)\b", path.read_text()))
    for switch in used:
        assert switch in README, switch


def test_plain_commands_of_the_readme_work(tmp_path):
    """The commands without make differ from the Makefile's in nothing but the path of Python."""
    makefile = (ROOT / "Makefile").read_text()
    for command in re.findall(r"^\.venv/bin/python (-m .+)$", README, re.M):
        fixed = command.split(" --model")[0].split(" #")[0].strip()
        assert fixed.split(" ")[1] in makefile, command


def test_the_changelog_begins_with_the_version_that_is_cited():
    versions = re.findall(r"^## (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    released = [version for version in versions if version != "Unreleased"]
    assert f"\nversion: {released[0]}\n" in (ROOT / "CITATION.cff").read_text()
    assert released == sorted(released, reverse=True) and "Unreleased" not in versions[1:]


def named(text: str) -> set[str]:
    """Return the files of ours and the modules after `python -m` that a text names."""
    files = re.findall(r"\b(?:helpers|tools|tests|benchmarks)/[\w/]+\.(?:py|toml)\b", text)
    return {*files, *re.findall(r"python -m ((?:helpers|tools|benchmarks)[\w.]*\w)", text)}


def test_files_and_commands_that_texts_name_exist():
    """In documents, notebooks and docstrings: a reader who looks one up finds it."""
    for path in tracked():
        if path.suffix in (".md", ".ipynb", ".py") and path not in (Path(__file__), ROOT / "CHANGELOG.md"):
            for name in named(path.read_text()):
                place = ROOT / (name if "/" in name else name.replace(".", "/"))
                runs = place.with_suffix(".py") if "/" not in name else place
                assert place.is_file() or runs.is_file() or (place / "__main__.py").is_file(), f"{path.name}: {name}"


def test_names_are_found_in_texts():
    assert named("see `helpers/sweep.py`, made by `python -m helpers.sweep_small`.") == {
        "helpers/sweep.py",
        "helpers.sweep_small",
    }


def test_every_experiment_that_a_text_names_can_be_asked_for():
    from helpers.experiments.__main__ import EXPERIMENTS

    asked = set()
    for path in tracked():
        if path.suffix in (".md", ".ipynb", ".py"):
            asked |= set(re.findall(r"python -m helpers\.experiments ([a-z]+)\b", path.read_text()))
    assert asked == set(EXPERIMENTS)
