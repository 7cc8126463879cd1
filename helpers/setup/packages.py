"""What is installed in this Python, what the course's two lists of packages say, and where they disagree."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Callable

from helpers.errors import InstallError
from helpers.setup import places

RANGES = places.ROOT / "requirements.txt"
# What the notebooks import, and the package that brings it.
NAMED_ALIKE = (
    "numpy pandas matplotlib torch transformers huggingface_hub safetensors scipy ml_dtypes sentencepiece gguf tqdm "
    "psutil filelock ipywidgets packaging openai "
    "starlette uvicorn fastapi pydantic_settings sse_starlette starlette_context"  # the rehearsal Hub, and notebook 06
).split()
IMPORTS = {name: name.replace("_", "-") for name in NAMED_ALIKE}
IMPORTS |= {"google.protobuf": "protobuf", "llama_cpp": "llama-cpp-python", "yaml": "PyYAML"}


def missing() -> list[str]:
    """Return the packages that the notebooks import and this Python cannot find."""
    return [package for module, package in IMPORTS.items() if not importable(module)]


def check() -> None:
    """Raise InstallError if a package that is here has a version outside the ranges of requirements.txt.

    Colab's older runtimes and Kaggle's image hold such versions: all imports succeed, and a later cell fails.
    """
    if wrong := outside():
        listed = ", ".join(f"{package} {version} (needed: {wanted})" for package, version, wanted in wrong)
        if places.on_colab():
            raise InstallError(
                f"Versions are installed that the course does not run with: {listed}. This is an older runtime of "
                "Colab, or a cell has changed it. Choose Runtime > Disconnect and delete runtime, then Runtime > "
                "Change runtime type > Runtime version: Latest, and run the cells from the top."
            )
        if places.on_kaggle():
            wanted = " ".join(f'"{package}{ranges}"' for package, _, ranges in wrong)
            raise InstallError(
                f"Versions are installed that the course does not run with: {listed}. Kaggle's image is older. Run "
                f"`%pip install {wanted}` in a cell of its own, then choose Run > Restart & clear cell outputs, and "
                "run the cells from the top."
            )
        raise InstallError(
            f"Versions are installed that the course does not run with: {listed}. The notebook runs on "
            f"{sys.executable}. Start it with `make lab`, or install the course's versions here, `python -m "
            "helpers.install`, and restart the kernel."
        )
    if stale := outside(loaded):
        listed = ", ".join(f"{package} {version}" for package, version, _ in stale)
        raise InstallError(
            f"An older version is still at work: {listed}. It was loaded before it was replaced. Restart the kernel "
            "and run the cells from the top."
        )


def installed(module: str, package: str) -> str | None:
    """Return the version of an installed package, the one in use if there are several; None if it does not say."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def loaded(module: str, package: str) -> str | None:
    """Return the version of a module that this process has loaded, None if it has not, or if it does not say."""
    return getattr(sys.modules.get(module), "__version__", None)


def outside(version_of: Callable[[str, str], str | None] = installed) -> list[tuple[str, str, str]]:
    """Return package, version and range of what the notebooks import in a version outside requirements.txt."""
    from packaging.requirements import Requirement
    from packaging.version import InvalidVersion, Version

    lines = (line.partition("#")[0].strip() for line in RANGES.read_text().splitlines())
    ranges = {canonical(wanted.name): wanted.specifier for wanted in map(Requirement, filter(None, lines))}
    found = []
    for module, package in IMPORTS.items():
        wanted, version = ranges.get(canonical(package)), version_of(module, package)
        if not wanted or not isinstance(version, str):
            continue
        try:
            inside = wanted.contains(Version(version), prereleases=True)
        except InvalidVersion:  # somebody's own build, which says nothing to compare
            continue
        if not inside:
            found.append((package, version, ",".join(sorted(map(str, wanted), reverse=True))))
    return found


def pin(package: str) -> str:
    """Return `name==version` from constraints.txt, or the bare name if it is not pinned there."""
    for line in (places.ROOT / "constraints.txt").read_text().splitlines():
        if canonical(line.split("==")[0]) == canonical(package):
            return line.strip()
    return package


def has(pinned: str) -> bool:
    """Tell whether the package of `name==version` is installed in that version."""
    name, _, version = pinned.partition("==")
    try:
        return importlib.metadata.version(name).split("+")[0] == version
    except importlib.metadata.PackageNotFoundError:
        return False


def frozen(missing: list[str]) -> list[str]:
    """Pin every installed package to its version, so that pip may add but never replace.

    The first of a name on the path is the one in use: on Colab, older ones of Ubuntu's own Python lie behind it.
    """
    installed: dict[str, str] = {}
    for found in importlib.metadata.distributions():
        if found.metadata["Name"]:
            installed.setdefault(canonical(found.metadata["Name"]), found.version)
    absent = {canonical(name) for name in missing}
    return [f"{name}=={version}" for name, version in sorted(installed.items()) if name not in absent]


def canonical(name: str) -> str:
    """Return a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def importable(module: str) -> bool:
    """Tell whether a module can be imported, without importing it."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the parent package is missing
        return False
