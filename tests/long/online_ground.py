"""The ground on which a reader with internet is rehearsed: a stand-in for the real Hub, and runs against it.

    with Ground(folder) as ground:
        done = ground.run(["-m", "tools.run", "main"])

The stand-in serves a small BF16 LLaMA as TinyLlama, at TinyLlama's revision; HF_ENDPOINT leads there. Everything else
is as a reader has it: no switch of the course is set. A `sitecustomize` writes the stand-in's checksums over those that
the catalogue pins, and measures with `coverage` which lines ran, in kernels too.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import coverage
import nbformat
import online_model
from ipykernel.compiler import get_tmp_hash_seed, murmur2_x86

from helpers import artifacts
from helpers.pipeline import catalogue, llama_tools
from helpers.pipeline.rehearsal import RehearsalHub
from tools.execute import find

TOKENS = {"hf_mayWriteOnTheStandIn": "write", "hf_mayReadOnTheStandIn": "read"}
WRITE, READ = TOKENS
# Switches and addresses of this machine that a reader's does not have.
FOREIGN = ("HF_", "COURSE_", "HUGGING", "COVERAGE", "PYTHON", "IPYTHON", "JUPYTER", "COLAB", "LLAMA_CPP_DIR")
STARTUP = """
import coverage
coverage.process_startup()
import dataclasses
from helpers.pipeline import catalogue
llama = catalogue.CATALOGUE["tinyllama"]
catalogue.CATALOGUE["tinyllama"] = dataclasses.replace(llama, parameters={parameters}, weights_sha256={llama!r})
catalogue.GPT2 = dataclasses.replace(catalogue.GPT2, weights_sha256={gpt2!r})
"""
# A mirror that knows neither sizes nor checksums, read on a machine with little memory.
MIRROR = """
import types
import psutil
from huggingface_hub import HfApi
def model_info(*given, original=HfApi.model_info, **named):
    info = original(*given, **named)
    for file in info.siblings:
        file.size = file.lfs = file.blob_id = None
    return info
def list_repo_tree(*given, original=HfApi.list_repo_tree, **named):
    for item in original(*given, **named):
        item.lfs = None
        yield item
HfApi.model_info, HfApi.list_repo_tree = model_info, list_repo_tree
psutil.virtual_memory = lambda: types.SimpleNamespace(available=20_000_000, total=8_000_000_000)
"""


class Ground:
    """A stand-in for the Hub, an empty `artifacts/`, and the environment of the reader's programs."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.artifacts = folder / "artifacts"
        self.notebooks: dict[str, nbformat.NotebookNode] = {}  # as executed, by name of the run

    def __enter__(self) -> Ground:
        offered = self.folder / "offered"
        parameters = online_model.write_llama(offered / "llama")
        online_model.write_gpt2(offered / "gpt2")
        sums = {name: artifacts.sha256(offered / name / "model.safetensors") for name in ("llama", "gpt2")}
        self.hub = RehearsalHub(self.folder).start()
        self.hub.roles.update(TOKENS)
        for model, name in ((catalogue.CATALOGUE["tinyllama"], "llama"), (catalogue.GPT2, "gpt2")):
            self.hub.host(model.repo, offered / name)
            self.hub.repos[model.repo].commits[-1].oid = model.revision
        self._write_startup("reader", STARTUP.format(parameters=parameters, **sums))
        self._write_startup("mirror", STARTUP.format(parameters=parameters, **sums) + MIRROR)
        (self.folder / "coverage.ini").write_text(
            f"[run]\nparallel = true\ndata_file = {self.folder}/lines/of\ndisable_warnings = no-data-collected\n"
            f"include =\n    {artifacts.ROOT}/helpers/*\n    {artifacts.ROOT}/tools/*\n    */ipykernel_*/*\n"
        )
        (self.folder / "lines").mkdir()
        return self

    def __exit__(self, *_) -> None:
        self.hub.stop()

    def _write_startup(self, kind: str, text: str) -> None:
        (self.folder / kind).mkdir()
        (self.folder / kind / "sitecustomize.py").write_text(text)

    def environment(self, kind: str = "reader", token: str | None = WRITE, **more: str) -> dict[str, str]:
        """Return the environment of a reader's program. Only the converter's tools are taken from this machine."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
        return kept | {
            "HF_ENDPOINT": self.hub.endpoint,
            "HF_HOME": str(self.folder / "home"),  # where `hf auth login` would have left a token
            "COURSE_ARTIFACTS": str(self.artifacts),
            "LLAMA_CPP_DIR": str(llama_tools.tools()),
            "PYTHONPATH": os.pathsep.join([str(self.folder / kind), str(artifacts.ROOT)]),
            "COVERAGE_PROCESS_START": str(self.folder / "coverage.ini"),
            **({"HF_TOKEN": token} if token else {}),
            **more,
        }

    def run(self, arguments: list[str], environment: dict[str, str] | None = None) -> subprocess.CompletedProcess:
        """Run this Python with arguments as a reader would, and return what it printed."""
        command = [sys.executable, *arguments]
        options = {"cwd": artifacts.ROOT, "capture_output": True, "text": True}
        return subprocess.run(command, env=environment or self.environment(), **options)

    def run_notebooks(self, names: list[str], run: str, environment: dict[str, str] | None = None) -> str:
        """Do what `make run NOTEBOOKS=…` does, with the pages in a folder of its own; return what it printed."""
        build = self.folder / "build" / run
        build.parent.mkdir(exist_ok=True)
        code = "import os, pathlib, sys; from tools import run; run.BUILD = pathlib.Path(os.environ['PAGES'])"
        done = self.run(
            ["-c", f"{code}; sys.exit(run.main())", *names], (environment or self.environment()) | {"PAGES": str(build)}
        )
        assert done.returncode == 0, done.stdout + done.stderr
        for path in sorted(build.glob("*.ipynb")):
            self.notebooks[f"{run} {path.name[:2]}"] = nbformat.read(path, as_version=4)
        return done.stdout

    def run_cells(self, number: str, cells: tuple[str, ...], run: str) -> str:
        """Run some cells of a notebook, named by their ids, and keep it as executed; return what they printed."""
        notebook = nbformat.read(find([number])[0], as_version=4)
        notebook.cells = [cell for cell in notebook.cells if cell.id in cells]
        assert len(notebook.cells) == len(cells)
        path = self.folder / f"{run}.ipynb"
        nbformat.write(notebook, path)
        code = "import pathlib, sys; from tools.execute import execute; path = pathlib.Path(sys.argv[1])\n"
        code += "import nbformat; notebook, error = execute(path, {}); nbformat.write(notebook, path); sys.exit(error)"
        done = self.run(["-c", code, str(path)])
        assert done.returncode == 0, done.stdout + done.stderr
        self.notebooks[f"{run} {number}"] = nbformat.read(path, as_version=4)
        return printed(self.notebooks[f"{run} {number}"])

    def lines(self) -> dict[str, set[int]]:
        """Return which lines ran so far: by path below the repository, and by "cell <hash>" in notebooks."""
        found: dict[str, set[int]] = {}
        for part in (self.folder / "lines").glob("of.*"):
            data = coverage.CoverageData(str(part))
            data.read()
            for name in data.measured_files():
                path = Path(name)
                inside = path.is_relative_to(artifacts.ROOT)
                key = path.relative_to(artifacts.ROOT).as_posix() if inside else f"cell {path.stem}"
                found.setdefault(key, set()).update(data.lines(name) or ())
        return found


def cell_key(source: str) -> str:
    """Return what `Ground.lines` calls a notebook's cell: ipykernel compiles it as a file named by its hash."""
    return f"cell {murmur2_x86(source, get_tmp_hash_seed())}"


def printed(notebook: nbformat.NotebookNode) -> str:
    """Return everything an executed notebook printed or showed as text."""
    said = []
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            said.append(output.get("text", "") + output.get("data", {}).get("text/plain", ""))
    return "\n".join(said)
