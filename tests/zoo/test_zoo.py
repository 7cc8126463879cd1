"""Every variant of the zoo through the course's pipeline: converted, proved and run, or refused, as its row says."""

import ast
import json
import re
import signal
import subprocess
import sys

import pytest

from helpers import artifacts
from helpers.pipeline import llama_tools
from tests.zoo import VARIANTS, Variant, build
from tests.zoo.architectures import ARCHITECTURES
from tests.zoo.workshop import Outcome


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory, smollm2) -> dict[str, Outcome]:
    """What came of each variant, from one run of the workshop."""
    results = tmp_path_factory.mktemp("zoo") / "results.json"
    command = [sys.executable, "-m", "tests.zoo.workshop", str(results)]
    done = subprocess.run(command, cwd=artifacts.ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return {row["name"]: Outcome(**row) for row in json.loads(results.read_text())}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_ends_as_its_row_says(name, outcomes):
    compare(VARIANTS[name], outcomes[name])


def compare(variant: Variant, found: Outcome) -> None:
    """Raise AssertionError where the outcome is not what the row says."""
    assert not found.code_was_run, "a program in the checkpoint's folder was run"
    if variant.dies:
        assert found.died == signal.SIGABRT and not found.error
        return
    assert not found.died
    if variant.refused:
        assert found.error and found.stage in ("read", "convert"), f"it converts, and then: {found}"
        assert found.ours and re.search(variant.refused, found.error, re.IGNORECASE), found.error
        assert not (variant.unsaid and variant.unsaid in found.error), found.error
        return
    assert not found.error
    assert bool(found.run_error) != variant.runs, found.run_error
    assert found.ours, "an error that is not the course's"
    if variant.runs:
        assert found.answer is not None and not found.unproved, found.unproved
        expected = f"{variant.differs}, {variant.unproven}".split(", ")
        assert set(found.failing) == set(filter(None, expected)), found.failing
        assert all("could not be" in found.failing[name] for name in filter(None, variant.unproven.split(", ")))


def test_the_zoo_is_as_large_as_promised():
    well = [row for row in VARIANTS.values() if not row.refused and row.runs and not row.differs and not row.dies]
    assert len({row.architecture for row in well}) >= 25
    assert sum(row.architecture == "llama" for row in VARIANTS.values()) >= 40


def test_what_converts_is_known_to_the_converter_by_name(tmp_path):
    """Its TEXT_MODEL_MAP, which the course reads before a download, agrees with what happens."""
    tree = ast.parse((llama_tools.tools() / "conversion" / "__init__.py").read_text())
    (known,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and node.target.id == "TEXT_MODEL_MAP"
    )
    for name in ("llama", "gemma2", "mpt", "mpt-published", "gptj", "opt", "mamba"):
        (called,) = json.loads((build(name, tmp_path) / "config.json").read_text())["architectures"]
        assert (called in known) == (not VARIANTS[name].refused), called


def test_a_variant_is_the_same_each_time(tmp_path):
    first, second = (build("qwen3_moe", tmp_path / name) for name in ("a", "b"))
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes(), path.name


def test_every_architecture_has_a_row():
    assert {row.architecture for row in VARIANTS.values()} == set(ARCHITECTURES)
