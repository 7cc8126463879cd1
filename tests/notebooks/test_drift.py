"""Guards against drift: one version everywhere, and other people's functions as we call them."""

import ast
import importlib
import inspect
import re

import pytest

from helpers import artifacts
from helpers.pipeline import llama_tools
from helpers.setup import packages

ROOT = artifacts.ROOT
PINS = dict(
    line.split("==")
    for line in (ROOT / "constraints.txt").read_text().splitlines()
    if "==" in line and not line.startswith("#")
)


def requirements() -> dict[str, str]:
    """Package → range, without extras."""
    found = {}
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        match = re.match(r"([A-Za-z0-9_-]+)(?:\[\w+\])?(.*)", line)
        if match and not line.startswith("#"):
            found[match[1]] = match[2]
    return found


@pytest.mark.parametrize("package", requirements())
def test_every_requirement_is_pinned_inside_its_range(package):
    from packaging.specifiers import SpecifierSet

    names = {name.lower().replace("_", "-"): version for name, version in PINS.items()}
    version = names[package.lower().replace("_", "-")]
    assert version.split("+")[0] in SpecifierSet(requirements()[package])


def test_what_is_installed_is_what_is_pinned():
    from importlib.metadata import version

    for package in requirements():
        name = next(pin for pin in PINS if pin.lower().replace("_", "-") == package.lower().replace("_", "-"))
        assert version(package).split("+")[0] == PINS[name].split("+")[0], package


def test_llama_cpp_has_one_version_everywhere():
    pin = PINS["llama-cpp-python"] if "llama-cpp-python" in PINS else PINS["llama_cpp_python"]
    assert requirements()["llama-cpp-python"] == f"=={pin}"
    for path in (*(ROOT / "helpers").rglob("*.py"), ROOT / "README.md", *(ROOT / "notebooks").glob("*.ipynb")):
        for found in re.findall(r"llama[-_]cpp[-_]python(?:\[\w+\])?==([\d.]+\d)", path.read_text()):
            assert found == pin, path.name
    assert re.fullmatch(r"[0-9a-f]{40}", llama_tools.COMMIT)


def test_what_notebooks_import_is_installed_by_the_requirements():
    """Colab installs what IMPORTS names; each of these is a requirement or comes with one."""
    listed = {name.lower().replace("_", "-") for name in (*requirements(), *PINS)}
    for module, package in packages.IMPORTS.items():
        name = re.split(r"[\[=<>]", package)[0].lower().replace("_", "-")
        assert name in listed, module


# Functions of others, with the parameters that we pass by name somewhere in helpers/.
USED = {
    "huggingface_hub": ["snapshot_download", "HfApi.create_repo", "HfApi.upload_folder", "HfApi.whoami"],
    "huggingface_hub.HfApi": ["model_info"],
    "transformers": ["AutoModelForCausalLM.from_pretrained", "LlamaConfig", "GPT2LMHeadModel", "LlamaForCausalLM"],
    "llama_cpp": [
        "Llama",
        "Llama.create_completion",
        "llama_model_quantize",
        "llama_decode",
        "llama_model_load_from_file",
    ],
    "gguf": ["GGUFReader", "quants.quantize", "quants.dequantize"],
    "sentencepiece": ["SentencePieceProcessor", "SentencePieceTrainer.train"],
    "safetensors.torch": ["save_file", "load_file"],
    "scipy.optimize": ["linear_sum_assignment"],
}


@pytest.mark.parametrize("module, name", [(module, name) for module, names in USED.items() for name in names])
def test_functions_we_use_exist(module, name):
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError:
        parent, _, last = module.rpartition(".")
        found = getattr(importlib.import_module(parent), last)
    for part in name.split("."):
        found = getattr(found, part) if hasattr(found, part) else importlib.import_module(f"{found.__name__}.{part}")
    assert callable(found)


def calls_by_keyword() -> list[tuple[str, str, set[str]]]:
    """Calls in helpers/ such as huggingface_hub.snapshot_download(repo_id=…): module, function, keywords."""
    found = []
    for path in sorted((ROOT / "helpers").rglob("*.py")):
        tree = ast.parse(path.read_text())
        names = {}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in ROOTS:
                names |= {alias.asname or alias.name: (node.module, alias.name) for alias in node.names}
            elif isinstance(node, ast.Import):
                names |= {a.asname or a.name: (a.name, "") for a in node.names if a.name.split(".")[0] in ROOTS}
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                dotted = ast.unparse(node.func)
                first, _, rest = dotted.partition(".")
                if first in names and re.fullmatch(r"[\w.]+", dotted):
                    module, name = names[first]
                    keywords = {keyword.arg for keyword in node.keywords if keyword.arg}
                    found.append((module, ".".join(filter(None, (name, rest))), keywords))
    return found


ROOTS = {"huggingface_hub", "transformers", "llama_cpp", "gguf", "safetensors", "scipy", "joblib", "distributed"}


@pytest.mark.parametrize("module, name, keywords", calls_by_keyword(), ids=lambda v: v if isinstance(v, str) else "")
def test_parameters_we_pass_are_accepted(module, name, keywords):
    found = importlib.import_module(module)
    for part in name.split("."):
        if not hasattr(found, part):
            found = importlib.import_module(f"{found.__name__}.{part}")
        else:
            found = getattr(found, part)
    try:
        parameters = inspect.signature(found).parameters
    except (TypeError, ValueError):
        return  # a C function: ctypes checks the number of its arguments
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        assert keywords <= set(parameters), keywords - set(parameters)


def test_the_list_is_not_empty():
    seen = {module.split(".")[0] for module, _, _ in calls_by_keyword()}
    assert {"huggingface_hub", "llama_cpp", "transformers"} <= seen
