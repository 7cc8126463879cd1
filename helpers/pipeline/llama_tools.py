"""llama.cpp's converter: found, or fetched at the pinned version, and verified.

The script `convert_hf_to_gguf.py` needs the packages `conversion/` and `gguf-py/` of the same commit
beside it. The pin of llama-cpp-python fixes all three and the runtime together: its source distribution
carries them, and COMMIT names where they stand in llama.cpp's own repository.
"""

import hashlib
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

from helpers import artifacts, machine
from helpers.errors import ConversionError, InstallError
from helpers.setup import llama_wheel, packages, pip

COMMIT = "0c1e57098bba43ac29e6e3b677cdceebdd22334f"  # what llama-cpp-python 0.3.36 was built from
SHA256 = "8b6d414dd876db0ae28ab3d6495ffaeb32fac87549dc25b8f4815c386e393e26"  # of the files, see fingerprint()
GIT = "https://github.com/ggml-org/llama.cpp"
PARTS = ("convert_hf_to_gguf.py", "conversion", "gguf-py")


def tools() -> Path:
    """Return a folder with the converter and its packages.

    Looks at LLAMA_CPP_DIR (your own tree, any version), then at the course's copy, then clones
    llama.cpp at the pinned commit, then takes the source distribution of llama-cpp-python.
    Raises ConversionError if LLAMA_CPP_DIR lacks a part, InstallError if nothing can be fetched.
    """
    own = os.environ.get("LLAMA_CPP_DIR")
    if own:
        folder = (artifacts.ROOT / Path(own).expanduser()).resolve()
        missing = [part for part in PARTS if not (folder / part).exists()]
        if missing:
            raise ConversionError(
                f"LLAMA_CPP_DIR lacks {', '.join(missing)}. It does not point to a whole llama.cpp tree "
                "from 2026 or later. Correct it, or unset it to use the pinned version."
            )
        return folder
    path = artifacts.folder() / "llama.cpp"
    with artifacts.locked(path):
        if path.exists() and fingerprint(path) == SHA256:
            return path
        with artifacts.making(path) as temporary:
            try:
                clone(temporary)
            except (OSError, subprocess.SubprocessError):
                artifacts.remove(temporary)
                unpack(temporary)
            if fingerprint(temporary) != SHA256:
                raise InstallError(
                    "llama.cpp's converter arrived altered: its checksum is not the pinned one. The download was "
                    "damaged or changed at its source. Run the cell again."
                )
    return path


def clone(folder: Path) -> None:
    """Fetch the three parts from GitHub at the pinned commit; raise CalledProcessError or TimeoutExpired."""
    folder.mkdir(parents=True)
    environment = machine.child_environment(GIT_TERMINAL_PROMPT="0")

    def git(*arguments: str, seconds: int) -> None:
        command = ["git", "-C", str(folder), *arguments]
        subprocess.run(command, check=True, capture_output=True, timeout=seconds, env=environment)

    git("init", "--quiet", seconds=10)
    git("ls-remote", "--exit-code", GIT, "HEAD", seconds=15)  # a quick answer, or none
    git("fetch", "--depth", "1", "--filter=blob:none", GIT, COMMIT, seconds=120)
    git("-c", f"remote.origin.url={GIT}", "checkout", "FETCH_HEAD", "--", *PARTS, seconds=120)
    shutil.rmtree(folder / ".git")


def unpack(folder: Path) -> None:
    """Take the three parts out of llama-cpp-python's source distribution (77 MB, through pip)."""
    archive = pip.download(packages.pin(llama_wheel.LLAMA), artifacts.folder("packages"), source=True)
    inside = archive.name.removesuffix(".tar.gz") + "/vendor/llama.cpp/"
    with tarfile.open(archive) as source:
        for member in source:
            name = member.name.removeprefix(inside)
            if member.isfile() and name.split("/")[0] in PARTS:
                member.name = name
                source.extract(member, folder, filter="data")
    archive.unlink()


def fingerprint(folder: Path) -> str:
    """Return one SHA-256 over the names and checksums of all Python files of the converter."""
    files = [folder / PARTS[0], *folder.glob("conversion/**/*.py"), *folder.glob("gguf-py/gguf/**/*.py")]
    total = hashlib.sha256()
    for path in sorted(files, key=lambda p: p.relative_to(folder).as_posix()):
        if path.is_file():
            total.update(f"{path.relative_to(folder).as_posix()} {artifacts.sha256(path)}\n".encode())
    return total.hexdigest()
