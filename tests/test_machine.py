"""Disk, memory, cores, child processes without tokens, and threads that wait politely: also inside libgomp itself."""

import os
import re
import subprocess
import sys
import types

import pytest

from helpers import artifacts, machine
from helpers.errors import ResourceError


@pytest.fixture
def undecided(monkeypatch):
    """An environment in which nobody has said how threads wait, and a process that has loaded no library yet."""
    for name in machine.CHOICES:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name in ("torch", "llama_cpp"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def test_too_little_disk_and_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: types.SimpleNamespace(free=1_000_000))
    monkeypatch.setattr("psutil.virtual_memory", lambda: types.SimpleNamespace(available=1_000_000))
    machine.require_disk(900_000, tmp_path / "not" / "there", "a little")
    machine.require_memory(900_000, "a little")
    with pytest.raises(ResourceError, match=r"Not enough disk for a lot: it needs 1\.0 MB, 1\.0 MB are free"):
        machine.require_disk(1_000_000, tmp_path, "a lot")
    with pytest.raises(ResourceError, match=r"Not enough memory for a lot: it needs about 1\.1 MB"):
        machine.require_memory(1_100_000, "a lot")


def test_cores_are_those_that_this_process_may_use(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {3, 5}, raising=False)
    assert machine.cores() == 2
    monkeypatch.delattr("os.sched_getaffinity")
    monkeypatch.setattr("os.cpu_count", lambda: None)
    assert machine.cores() == 1


def test_child_processes_get_no_token_and_everything_else(monkeypatch):
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "gh_token"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    environment = machine.child_environment(HF_HUB_OFFLINE="1")
    assert "secret" not in environment.values() and "PATH" in environment
    assert (environment["HF_HUB_OFFLINE"], environment["GOMP_SPINCOUNT"]) == ("1", "7")


def test_this_machine_is_reached_past_a_proxy(monkeypatch):
    import urllib.request

    monkeypatch.setenv("no_proxy", "example.org")
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    assert not urllib.request.proxy_bypass("127.0.0.1:8000")
    machine.no_proxy_for_this_machine()
    machine.no_proxy_for_this_machine()
    assert urllib.request.proxy_bypass("127.0.0.1:8000") and urllib.request.proxy_bypass("example.org")
    assert os.environ["no_proxy"].count("localhost") == 1


@pytest.mark.parametrize(
    "load, expected",
    [
        ("6.02 3.00 1.00 7/120 4242\n", True),
        ("6.02 3.00 1.00 1/120 4242\n", False),  # a kernel was restarted: the mean still remembers it
        ("0.10 0.20 0.30 7/120 4242\n", False),  # a moment
        ("1.00 0.20 0.30 2/120 4242\n", True),  # half of the cores
    ],
)
def test_busy_is_a_minute_and_this_moment(tmp_path, monkeypatch, load, expected):
    monkeypatch.setattr(machine, "cores", lambda: 2)
    (tmp_path / "loadavg").write_text(load)
    assert machine.busy(tmp_path / "loadavg") is expected


def test_a_system_that_does_not_tell_counts_as_idle(tmp_path):
    assert not machine.busy(tmp_path / "nothing")


def test_the_choice_follows_the_machine_and_is_told(undecided, monkeypatch):
    for busy, spins, why in ((False, machine.IDLE_SPINS, "idle"), (True, machine.BUSY_SPINS, "others compute")):
        monkeypatch.delenv("GOMP_SPINCOUNT", raising=False)
        monkeypatch.setattr(machine, "busy", lambda busy=busy: busy)
        assert why in machine.wait_politely()
        assert os.environ["GOMP_SPINCOUNT"] == str(spins)


@pytest.mark.parametrize("name", machine.CHOICES)
def test_a_users_own_value_wins(undecided, monkeypatch, name):
    monkeypatch.setenv(name, "ACTIVE")
    assert f"{name}=ACTIVE" in machine.wait_politely()
    assert {known: os.environ.get(known) for known in machine.CHOICES} == dict.fromkeys(machine.CHOICES) | {
        name: "ACTIVE"
    }


def test_too_late_is_said_and_helps_child_processes_only(undecided, monkeypatch):
    monkeypatch.setitem(sys.modules, "llama_cpp", types.ModuleType("llama_cpp"))
    with pytest.warns(RuntimeWarning, match="llama_cpp was loaded before the course's helpers"):
        assert machine.wait_politely().startswith("Too late for this process")
    assert "GOMP_SPINCOUNT" in machine.child_environment()


def libgomp_says(code: str, **environment: str) -> set[str]:
    """Run code in a process of its own; return the spin counts that the copies of libgomp loaded there report."""
    clean = {name: value for name, value in machine.child_environment().items() if name not in machine.CHOICES}
    command = [sys.executable, "-c", code]
    surroundings = clean | {"OMP_DISPLAY_ENV": "VERBOSE"} | environment
    done = subprocess.run(command, cwd=artifacts.ROOT, env=surroundings, capture_output=True, text=True, check=True)
    return set(re.findall(r"GOMP_SPINCOUNT = '(\d+)'", done.stderr))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="libgomp is the OpenMP of Linux")
@pytest.mark.parametrize("library", ["torch", "llama_cpp"])
def test_libgomp_itself_has_the_setting_however_a_notebook_begins(library):
    ours = {str(machine.IDLE_SPINS), str(machine.BUSY_SPINS)}
    found = libgomp_says(f"from helpers import install; import {library}")
    assert len(found) == 1 and found <= ours
    assert libgomp_says(f"from helpers import install; import {library}", GOMP_SPINCOUNT="42") == {"42"}
    assert libgomp_says(f"import {library}; from helpers import install").isdisjoint(ours), "too late"


def test_every_notebook_imports_the_helpers_before_any_library():
    import nbformat

    for path in sorted((artifacts.ROOT / "notebooks").glob("[0-9]*.ipynb")):
        code = next(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code")
        imported = re.findall(r"^(?:from|import) (\w+)", code, re.M)
        assert set(imported[: imported.index("helpers")]) <= set(sys.stdlib_module_names), path.name


def write(folder, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)


@pytest.mark.parametrize(
    ("files", "most"),
    [
        ({"cpu.max": "max 100000"}, 10**6),
        ({"cpu.max": "100000 100000"}, 1),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": ""}, 10**6),
        ({"cpu/cpu.cfs_quota_us": "150000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 2),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 10**6),
    ],
)
def test_a_containers_share_of_the_processors_counts(tmp_path, monkeypatch, files, most):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(8)), raising=False)
    write(tmp_path, files)
    assert machine.cores(tmp_path) == min(8, most)


V2 = {
    "memory.max": "4000000000\n",
    "memory.current": "1500000000\n",
    "memory.stat": "anon 1\ninactive_file 500000000\n",
}
V1 = {"memory.limit_in_bytes": "4000000000", "memory.usage_in_bytes": "1500000000"}
V1 |= {"memory.stat": "cache 7\ntotal_inactive_file 500000000"}
NO_LIMIT = {"memory.limit_in_bytes": str(2**63 - 4096)}


@pytest.mark.parametrize(
    ("files", "total", "available"),
    [
        (V2, 4e9, 3e9),
        (V2 | {"memory.max": "max"}, 25e9, 20e9),
        (V2 | {"memory.current": "4600000000"}, 4e9, 0),
        ({f"memory/{name}": text for name, text in V1.items()}, 4e9, 3e9),
        ({f"memory/{name}": text for name, text in (V1 | NO_LIMIT).items()}, 25e9, 20e9),
        ({}, 25e9, 20e9),
    ],
)
def test_a_containers_memory_counts_and_files_that_can_be_dropped_do_not(
    tmp_path, monkeypatch, files, total, available
):
    monkeypatch.setattr("psutil.virtual_memory", lambda: types.SimpleNamespace(total=25e9, available=20e9))
    write(tmp_path, files)
    assert (machine.total_memory(tmp_path), machine.available_memory(tmp_path)) == (total, available)


def test_what_a_child_process_says_has_no_colours(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert machine.child_environment()["NO_COLOR"] == "1"
