"""The boxes "Take it home" of notebooks 05 and 07: what they show works as it stands there, with public tools alone."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from helpers import artifacts, machine
from helpers.pipeline import convert, gguf_file, llama_tools


def box(number: str) -> list[str]:
    """Return the lines of a notebook's box."""
    (path,) = (artifacts.ROOT / "notebooks").glob(f"{number}_*.ipynb")
    text = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown")
    return re.search(r"## Take it home\n.*?```bash\n(.*?)```", text, re.S)[1].strip().splitlines()


def shell(lines: list[str], where: Path, **environment: str) -> str:
    """Run lines as a terminal does, with the programs of this environment first; stop at the first that fails."""
    paths = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    inherited = machine.child_environment(PATH=paths, HF_HOME=str(where / "home"), **environment)
    done = subprocess.run(["bash", "-ec", "\n".join(lines)], cwd=where, env=inherited, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("number", ["05", "07"])
def test_a_box_is_short_and_has_nothing_of_ours(number):
    lines = box(number)
    commands = [line for line in lines if re.match(r"[a-z]", line) and ":" not in line.split()[0]]
    assert 6 <= len(commands) <= 12 and not re.search("helpers|tools\\.", "\n".join(lines))


def test_the_converter_takes_the_line_of_notebook_05_and_writes_the_same_weights(tmp_path, story_f16):
    shutil.copytree(artifacts.ROOT / "data" / "story", tmp_path / "model")
    (line,) = [line for line in box("05") if "convert_hf_to_gguf.py" in line and line.startswith("python ")]
    script = llama_tools.tools() / "convert_hf_to_gguf.py"
    shell([line.replace("llama.cpp/convert_hf_to_gguf.py", f"'{script}'")], tmp_path)
    (made,) = tmp_path.glob("*.gguf")
    assert gguf_file.summary(made).tensor_bytes == gguf_file.summary(story_f16).tensor_bytes
    assert f" {made.name} " in next(line for line in box("05") if "/llama-quantize " in line)


def test_the_tree_and_the_type_of_notebook_05_are_ours():
    text = "\n".join(box("05"))
    assert llama_tools.COMMIT.startswith(re.search(r"checkout ([0-9a-f]{7,})", text)[1])
    source, made, kind = re.search(r"/llama-quantize (\S+) (\S+) (\S+)$", text, re.M).groups()
    assert kind in convert.TYPES and made == source.replace("F16", kind)


def test_hf_takes_the_download_of_notebook_05(tmp_path):
    (line,) = [line for line in box("05") if line.startswith("hf ")]
    helped = shell(["hf download --help"], tmp_path)
    assert all(option in helped for option in re.findall(r"--[\w-]+", line))


def test_the_box_of_notebook_07_publishes_and_comes_back(tmp_path, server, story_f16):
    shutil.copy(convert.requantize(story_f16, "Q4_K_M"), tmp_path / "model-Q4_K_M.gguf")
    lines = [line.replace("YOU/", "rehearsal/") for line in box("07") if line != "hf auth login"]
    said = shell(lines, tmp_path, HF_ENDPOINT=server.endpoint, HF_TOKEN=server.token, HF_HUB_DISABLE_XET="1")
    sums = re.findall(r"\b[0-9a-f]{64}\b", said)
    assert len(sums) == 2 and sums[0] == sums[1]
    assert (tmp_path / "again" / "README.md").read_text() == (tmp_path / "upload" / "README.md").read_text()
    (repo,) = [repo for name, repo in server.repos.items() if name.startswith("rehearsal/")]
    assert repo.private
