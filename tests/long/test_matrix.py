"""The parts of the matrix of versions (tests/long/matrix.py), without its environments."""

import subprocess
import types

import matrix
import pytest


def test_pip_and_uv_keep_to_the_same_limits(monkeypatch, tmp_path):
    """uv chooses and pip installs: what pip's configuration forbids, uv must not choose."""
    asked = []

    def run(command, **options):
        asked.append([str(part) for part in command])
        said = (
            "global.constraint='/etc/limits.txt'\nglobal.cert='x'\n"
            if "config" in command
            else "a[server]==1.0\nb==2\n"
        )
        return types.SimpleNamespace(stdout=said)

    monkeypatch.setattr(subprocess, "run", run)
    assert matrix.versions(tmp_path, "oldest", tmp_path / "uv") == "a==1.0\nb==2\n", "pip wants no extras there"
    assert asked[-1][-2:] == ["--constraint", "/etc/limits.txt"] and "lowest-direct" in asked[-1]


def test_the_report_names_what_the_course_requires(tmp_path):
    (tmp_path / "requirements.txt").write_text("# comment\nnumpy>=2\nllama-cpp-python[server]==0.3\n")
    (tmp_path / "constraints.txt").write_text("numpy==2.0\nllama_cpp_python==0.3\nother==1\n")
    assert matrix.direct(tmp_path) == ["numpy==2.0", "llama_cpp_python==0.3"]


@pytest.mark.parametrize("given, expected", [([], ["oldest", "newest"]), (["newest"], ["newest"])])
def test_both_ends_or_one(monkeypatch, tmp_path, given, expected, capsys):
    monkeypatch.setattr("sys.argv", ["matrix", *given, "--venvs", str(tmp_path)])
    monkeypatch.setattr(matrix, "lay_down", lambda folder: folder.mkdir(parents=True) or folder)
    monkeypatch.setattr(matrix, "versions", lambda *a: "")
    monkeypatch.setattr(matrix, "direct", lambda course: [])
    codes = {"newest": 1, "oldest": 0}
    ran = []

    def run(command, **options):
        ran.append(str(command[0]))
        return types.SimpleNamespace(returncode=codes["newest" if "newest" in str(command[0]) else "oldest"])

    monkeypatch.setattr(subprocess, "run", run)
    assert matrix.main() == 1, "an end that fails is a failure"
    printed = capsys.readouterr().out
    assert [end for end in matrix.RESOLUTION if f"{end}: " in printed] == expected
    assert "newest: FAILED" in printed and ("oldest: ok" in printed) == ("oldest" in expected)
