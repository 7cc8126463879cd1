"""One command for all long sweeps whose results ship under data/.

python -m helpers.experiments                            # all tasks not finished in artifacts/sweep, on all cores
python -m helpers.experiments grid                       # of one: `--help` lists them
python -m helpers.experiments --dask tcp://host:8786     # the same on a Dask cluster
python -m helpers.experiments grid --collect             # write data/grid.json from the finished tasks
"""

import argparse
import sys
from pathlib import Path

from helpers import artifacts, machine
from helpers.errors import CourseError
from helpers.experiments import (
    designs,
    files,
    grid,
    halves,
    healing,
    methods,
    oneshot,
    precision,
    pruning,
    race,
    recipes,
    shapes,
    students,
    sweep,
)

MODULES = (
    *(recipes, methods, grid, precision, pruning, halves, healing, designs, race, oneshot, files),
    *(students, shapes),
)
EXPERIMENTS = {module.RESULTS.stem: module for module in MODULES}


def main() -> int:
    parser = argparse.ArgumentParser(description="Train the many small models of notebooks 9 to 14.")
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(EXPERIMENTS))
    parser.add_argument("--folder", type=Path, default=artifacts.folder("sweep"), help="results, one file each")
    parser.add_argument("--jobs", type=int, default=machine.cores())
    parser.add_argument("--dask", help="address of a Dask scheduler")
    parser.add_argument("--collect", action="store_true", help="write the files in data/ from what is there")
    given = parser.parse_args()
    unknown = set(given.names) - set(EXPERIMENTS)
    if unknown:
        parser.error(f"unknown: {', '.join(sorted(unknown))}. Choose from {', '.join(EXPERIMENTS)}.")
    chosen = [EXPERIMENTS[name] for name in given.names or EXPERIMENTS]
    try:
        for experiment in chosen:
            sweep.unpack(experiment.RESULTS, given.folder, experiment.tasks())
        if given.collect:
            for experiment in chosen:
                rows = sweep.collect(given.folder, experiment.RESULTS, experiment.tasks())
                print(f"{experiment.RESULTS.name}: {len(rows)} of {len(experiment.tasks())} tasks")
        else:
            tasks = [task for experiment in chosen for task in experiment.tasks()]
            sweep.run_all(tasks, given.folder, given.jobs, given.dask)
    except CourseError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
