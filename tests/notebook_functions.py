"""Takes the functions that notebooks define out of them, to be tested."""

import ast
import struct
from statistics import NormalDist

import nbformat
import numpy as np
import torch

from helpers import artifacts

NOTEBOOKS = artifacts.ROOT / "notebooks"


def functions(number: str, **names) -> dict:
    """Return the namespace of a notebook's function definitions; `names` are the globals they use."""
    (path,) = NOTEBOOKS.glob(f"{number}_*.ipynb")
    space = {"np": np, "torch": torch, "struct": struct, "NormalDist": NormalDist, **names}
    for cell in nbformat.read(path, as_version=4).cells:
        if cell.cell_type != "code" or "def " not in cell.source:
            continue
        definitions = [node for node in ast.parse(cell.source).body if isinstance(node, ast.FunctionDef)]
        exec(compile(ast.Module(definitions, []), str(path), "exec"), space)
    return space
