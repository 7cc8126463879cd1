"""Start llama.cpp's converter in a process of its own: python start_converter.py <its script> <its arguments>.

The script runs as it is, byte for byte. One thing is different from starting it directly: some of its models read a key
that transformers 5 no longer passes on, though it stands in config.json (`rotary_pct` of GPT-NeoX and Cohere 2).
Where the converter would stop with a KeyError, it gets what the file says. Nothing that worked before changes.
Imports nothing of the course: its folder is not on the path of this process.
"""

import json
import runpy
import sys
from pathlib import Path


class Configuration(dict):
    """What transformers made of config.json; a key that is missing is looked up in the file itself."""

    def __init__(self, known: dict, file: dict):
        super().__init__(known)
        self.file = file

    def __missing__(self, key: str):
        if key in self.file:
            return self.file[key]
        if key == "rotary_pct":  # a file written by transformers 5; without the new key all of a head is rotated
            return (self.get("rope_parameters") or {}).get("partial_rotary_factor", 1.0)
        raise KeyError(key)


def remember_the_file() -> None:
    """Let every configuration that the converter loads remember the file it came from."""
    try:
        from conversion import ModelBase

        load = ModelBase.load_hparams
    except (ImportError, AttributeError):  # another llama.cpp; its script says so itself if something is wrong
        return

    def load_hparams(folder: Path, *options, **named):
        file = folder / "config.json"
        return Configuration(
            load(folder, *options, **named), json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        )

    ModelBase.load_hparams = staticmethod(load_hparams)


if __name__ == "__main__":
    script = sys.argv[1]
    sys.argv = sys.argv[1:]
    sys.path[0] = str(Path(script).parent)
    remember_the_file()
    runpy.run_path(script, run_name="__main__")
