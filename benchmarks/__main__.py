"""Run the benchmarks and write docs/BENCHMARKS.md: `python -m benchmarks [numbers] [compression] …`.

Groups that are not named keep their rows; `page` alone writes the page from what is stored.
"""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys
import time

from benchmarks import report

GROUPS = (
    *("numbers", "compression", "evaluation", "importance", "mix", "threads", "main_job", "first_token"),
    *("notebooks", "small_server", "suite"),
)


def measure(name: str) -> None:
    """Measure one group and store its rows; a group that `KEEPS` them is stored row by row, beside its older ones."""
    group = importlib.import_module(f"benchmarks.{name}")
    keeps = getattr(group, "KEEPS", False)
    print(f"{group.GROUP}: {group.__doc__.splitlines()[0]}", flush=True)
    started, found = time.monotonic(), []
    for row in group.rows():
        report.show(row)
        found.append(row)
        if keeps:
            report.save(group.GROUP, found, time.monotonic() - started, keep=True)
    report.save(group.GROUP, found, time.monotonic() - started, keep=keeps)


def write_page() -> None:
    """Write the page from what is stored."""
    modules = [importlib.import_module(f"benchmarks.{name}") for name in GROUPS]
    report.write_page({module.GROUP: module.reading for module in modules if hasattr(module, "reading")})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("groups", nargs="*", metavar="group", help=f"{', '.join(GROUPS)}, page; without, all")
    groups = parser.parse_args().groups or list(GROUPS)
    if unknown := set(groups) - {*GROUPS, "page"}:
        parser.error(f"there is no {', '.join(unknown)}; choose from {', '.join(GROUPS)}, page")
    groups = [name for name in groups if name != "page"]
    if len(groups) == 1:
        print(f"{report.machine()}\n")
        measure(groups[0])
    else:  # a process each: the waiting threads of one group's libraries would slow the next
        for name in groups:
            subprocess.run([sys.executable, "-m", "benchmarks", name], check=True)
    write_page()


if __name__ == "__main__":
    main()
