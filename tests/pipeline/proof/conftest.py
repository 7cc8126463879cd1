"""All cases are built and converted once, in one process that has imported what the converter needs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cases import CASES

from helpers.pipeline import llama_tools


@pytest.fixture(scope="session")
def workshop(tmp_path_factory) -> dict[str, tuple[Path, Path]]:
    """Return folder and GGUF of every case."""
    base = tmp_path_factory.mktemp("proof")
    made, jobs = {}, []
    for name, (build, outtype) in CASES.items():
        folder = build(base / name)
        made[name] = (folder, base / f"{name}-{outtype.upper()}.gguf")
        jobs.append([str(folder), str(made[name][1]), outtype])
    (base / "jobs.json").write_text(json.dumps(jobs))
    script = Path(__file__).with_name("convert_many.py")
    environment = os.environ | {"TOOLS": str(llama_tools.tools()), "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, script, base / "jobs.json"], check=True, env=environment, capture_output=True)
    for name, (_, gguf) in made.items():
        assert gguf.exists(), f"{name}: " + Path(f"{gguf}.log").read_text()[-2000:]
    return made
