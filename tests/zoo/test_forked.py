"""A forked program behaves as a started one does, as far as the course looks."""

import os
import subprocess
import sys

import pytest

from tests.zoo import forked

SCRIPT = """import os, sys
print("out", os.environ.get("GIVEN"), flush=True)
print("err", sys.argv[1:], file=sys.stderr)
if "die" in sys.argv:
    os.kill(os.getpid(), 9)
if "raise" in sys.argv:
    raise ValueError("no")
sys.exit(3 if "three" in sys.argv else None)
"""
RUN = """import json, os, subprocess, sys
from tests.zoo import forked
start = forked.popen(("script.py",)) if sys.argv[1] == "forked" else subprocess.Popen
env = dict(os.environ, GIVEN="this")
ended = start([sys.executable, *sys.argv[2:]], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
out, err = ended.communicate()
print(json.dumps([out, err.strip().splitlines()[0], err.strip().splitlines()[-1], ended.returncode]))
"""


@pytest.mark.parametrize("word", ["a word", "die", "raise", "three"])
def test_as_a_new_process(tmp_path, word):
    (tmp_path / "script.py").write_text(SCRIPT)
    said = [
        subprocess.run(
            [sys.executable, "-c", RUN, way, str(tmp_path / "script.py"), word],
            capture_output=True,
            text=True,
        ).stdout
        for way in ("forked", "started")
    ]
    assert said[0] == said[1] and said[0].strip(), said


def test_other_programs_are_started_as_ever():
    start = forked.popen(("script.py",))
    with start([sys.executable, "-c", "print(1)"], stdout=subprocess.PIPE, text=True) as process:
        assert isinstance(process, subprocess.Popen) and process.communicate()[0] == "1\n"


def test_exit_codes():
    for work, code in (
        (lambda: None, 0),
        (lambda: sys.exit(3), 3),
        (lambda: os.kill(os.getpid(), 15), -15),
    ):
        assert forked.exit_code(os.waitpid(forked.child(work), 0)[1]) == code
