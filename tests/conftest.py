"""Fixtures shared by all tests. No test talks to anything but this machine and the package index."""

import os

# Before any test imports huggingface_hub: no test may reach the real Hub or read a real token.
os.environ.update(COURSE_HUB="rehearsal", HF_HUB_DISABLE_XET="1", HF_HUB_DISABLE_PROGRESS_BARS="1")
for name in ("HF_TOKEN", "COURSE_MODEL", "HF_HUB_OFFLINE"):
    os.environ.pop(name, None)
os.environ["HF_TOKEN_PATH"] = os.devnull

import shutil
from pathlib import Path

import failure_matrix
import pytest

from helpers import artifacts
from helpers.pipeline import catalogue, convert, hub, llama_tools
from helpers.pipeline.rehearsal import RehearsalHub


def pytest_addoption(parser):
    parser.addoption("--failures", action="store_true", help="note who provokes which error; write TROUBLESHOOTING.md")


def pytest_configure(config):
    if config.getoption("--failures"):
        config.failures = failure_matrix.Watch()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node, error):
    """Gather what a process of pytest-xdist noted."""
    for module, line, test in getattr(node, "workeroutput", {}).get("failures", ()):
        node.config.failures.note(module, line, test)


def pytest_sessionfinish(session, exitstatus):
    if hasattr(session.config, "failures") and hasattr(session.config, "workeroutput"):
        noted = session.config.failures.seen.items()
        session.config.workeroutput["failures"] = [[module, line, test] for (module, line), test in noted]
    elif hasattr(session.config, "failures") and exitstatus == 0:
        for site in failure_matrix.write(session.config.failures):
            print(f"no test provokes {site.module}:{site.first}: {site.message[:90]}")
    elif hasattr(session.config, "failures"):
        print("docs/TROUBLESHOOTING.md was not written: a test failed.")


@pytest.fixture(autouse=True)
def no_token(monkeypatch):
    """`hub.connect` puts a token and an address into the environment; no test may inherit them from another."""
    for name in ("HF_TOKEN", "HF_ENDPOINT"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    yield
    if hub.current.cache_info().currsize:
        hub.current().close()
        hub.current.cache_clear()


@pytest.fixture
def server(tmp_path):
    """A rehearsal Hub that splits uploads above 12 MB into pieces of 5 MB."""
    with RehearsalHub(tmp_path, multipart_over=12 * 2**20, chunk=5 * 2**20) as hub:
        yield hub


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Send artifacts to an empty folder, keeping the converter's tools where they are."""
    monkeypatch.setenv("LLAMA_CPP_DIR", str(llama_tools.tools()))
    monkeypatch.setenv("COURSE_ARTIFACTS", str(tmp_path / "artifacts"))
    return tmp_path / "artifacts"


@pytest.fixture
def checkpoint(tmp_path) -> Path:
    """A copy of the story checkpoint that a test may damage."""
    return Path(shutil.copytree(artifacts.ROOT / "data" / "story", tmp_path / "copy"))


@pytest.fixture(scope="session")
def story_f16() -> Path:
    return convert.to_gguf(catalogue.choose("story").fetch(), "f16")


@pytest.fixture(scope="session")
def smollm2() -> Path:
    """The rebuilt SmolLM2 checkpoint, made once and kept in artifacts/."""
    return catalogue.choose("smollm2").fetch()


@pytest.fixture(scope="session")
def smollm2_f16(smollm2) -> Path:
    return convert.to_gguf(smollm2, "f16")
