"""Each notebook with SmolLM2 on one core and 4 GB of memory, as a small server in a school has them. An hour.

The kernel that runs the notebook gets both limits from Linux itself (cgroups of version 1, as root); without the right
to set them there are no rows.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.notebooks import run
from benchmarks.report import Row
from tools import execute

GROUP = "One core and 4 GB"
KEEPS = True  # NOTEBOOKS="09 10" measures these again
LIMIT = 4e9
CGROUPS = Path("/sys/fs/cgroup/memory")


def rows() -> Iterator[Row]:
    """Run every notebook within the limits; one that is ended for its memory, or fails, ends it."""
    group = CGROUPS / "from-bits-to-gguf"
    try:
        group.mkdir(exist_ok=True)
        (group / "memory.limit_in_bytes").write_text(str(int(LIMIT)))
    except OSError as error:
        print(f"  left out: {CGROUPS} cannot be used ({error.strerror})")
        return
    try:
        yield from _within(group)
    finally:
        group.rmdir()


def _within(group: Path) -> Iterator[Row]:
    for path in execute.find(os.environ.get("NOTEBOOKS", "all").split()):
        with tempfile.TemporaryDirectory(prefix="notebook-") as folder:
            found = run(path, Path(folder), cores=1, group=group)
        name = path.name[:2]
        yield Row(GROUP, f"{name} the first time", found.seconds, "s")
        yield Row(GROUP, f"{name} memory", found.memory / 1e9, "GB", note="budget: 4 GB")
