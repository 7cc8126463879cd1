"""An importance without a recording: positive numbers, seeded, for every matrix of a GGUF."""

import hashlib

import numpy as np

from helpers.pipeline import gguf_file


class StandIn:
    """Has what the quantizer asks of an importance; `change` replaces what a tensor would get."""

    name, datasets, windows = "stand-in", ("numbers 1a2b3c4d",), 12

    def __init__(self, gguf, lacks: str = "", change=None, seed=0):
        tensors = {t.name: t for t in gguf_file.summary(gguf).tensors if len(t.shape) > 1 and t.name != lacks}
        random = np.random.default_rng(seed)
        self.rows = {
            name: random.exponential(1, t.elements // t.shape[-2]).astype(np.float32) + np.float32(0.01)
            for name, t in tensors.items()
        }
        self.rows |= change or {}

    @property
    def names(self):
        return tuple(self.rows)

    @property
    def checksum(self):
        total = hashlib.sha256()
        for name, row in self.rows.items():
            total.update(name.encode() + row.tobytes())
        return total.hexdigest()

    def weights(self, name):
        return self.rows[name]
