"""The package as a whole: instant import, one direction of dependencies, errors that help, a true README."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import artifacts

ROOT = artifacts.ROOT
MODULES = sorted((ROOT / "helpers").glob("*.py"))
# A module may import those of its own line and of lines above, never below.
ROOMS = [
    ["errors", "story_grammar", "formats", "quantize", "blocks_simple", "ggml", "plots_style", "prune"],
    ["kronecker", "lowrank"],
    ["blocks_k"],
    ["blocks"],
    ["artifacts", "rehearsal_hub", "rehearsal_protocol", "checks", "stories", "install"],
    [
        "gguf_file",
        "hub",
        "llama_tools",
        "plots",
        "plots_blocks",
        "plots_formats",
        "plots_quality",
        "plots_compress",
        "plots_quantize",
        "rebuild",
        "train",
    ],
    ["distill", "sweep"],
    ["compress"],
    ["sweep_small"],
    ["models"],
    ["runtime"],
    ["evaluate"],
    ["convert"],
    ["notebooks", "classroom"],
]


def imports_of(path: Path) -> tuple[set[str], set[str]]:
    """Return (helpers modules, outside packages) imported at the top level of a module."""
    inside, outside = set(), set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module == "helpers":
            inside |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("helpers."):
            inside.add(node.module.split(".")[1])
        elif isinstance(node, ast.ImportFrom) and node.module:
            outside.add(node.module.split(".")[0])
        elif isinstance(node, ast.Import):
            outside |= {alias.name.split(".")[0] for alias in node.names}
    return inside, outside


def test_import_is_instant():
    """No heavy package is loaded, which is what makes it slow; the time itself is measured by make bench."""
    names = ", ".join(path.stem for path in MODULES if path.stem != "__init__")
    code = f"from helpers import {names}; import sys; print([m for m in sys.modules if m in {HEAVY!r}])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


HEAVY = ("torch", "transformers", "llama_cpp", "matplotlib", "pandas", "gguf", "huggingface_hub", "sentencepiece")


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.stem)
def test_dependencies_go_one_way(path):
    level = {name: i for i, names in enumerate(ROOMS) for name in names}
    if path.stem == "__init__":
        return
    inside, outside = imports_of(path)
    assert all(level[name] <= level[path.stem] for name in inside), inside
    assert outside <= set(sys.stdlib_module_names) | {"numpy"}, "heavy packages are imported inside functions"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.stem)
def test_public_functions_are_documented(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            short = isinstance(node, ast.FunctionDef) and len(node.body) == 1 and node.returns is not None
            assert ast.get_docstring(node) or short or node.name == "main", f"{path.name}: {node.name}"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.stem)
def test_helpers_do_not_print(path):
    """Only notebooks print; install and notebooks are command-line programs."""
    if path.stem in ("install", "notebooks", "train", "classroom"):
        return
    assert not re.search(r"^\s*print\(", path.read_text(), re.M)


def test_error_messages_have_three_parts():
    """What happened, why, what to do: every message is at least two sentences."""
    for path in MODULES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "").endswith("Error") and node.args:
                if node.func.id in ("RefusedError", "ConnectionError", "ValueError", "RuntimeError"):
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
    for path in (*(ROOT / "helpers").glob("*.py"), *(ROOT / "benchmarks").glob("*.py")):
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
        assert f"](notebooks/{path.name})" in README and f"blob/main/notebooks/{path.name}" in README


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


def test_command_line_errors_are_one_sentence_not_a_traceback():
    done = subprocess.run(
        [sys.executable, "-m", "helpers.notebooks", "run", "77"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ,
    )
    assert done.returncode == 1 and "no notebook 77" in done.stderr and "Traceback" not in done.stderr
