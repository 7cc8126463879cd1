"""The shipped activations are those of the command, and have what notebook 02 says of them."""

import numpy as np
from safetensors import safe_open

from tools import activations


def test_the_command_makes_what_is_shipped():
    """Computed again; FP16 may differ in its last digit where sums are formed in another order."""
    made = activations.record()
    with safe_open(activations.PATH, "np") as file:
        assert set(file.keys()) == set(made)
        for name, values in made.items():
            stored = file.get_tensor(name)
            assert stored.dtype == values.dtype == np.float16
            assert np.allclose(stored.astype(float), values.astype(float), rtol=2e-3, atol=2e-4)


def test_one_channel_is_larger_in_nearly_every_token():
    with safe_open(activations.PATH, "np") as file:
        largest = np.abs(file.get_tensor("activations").astype(float)).max(axis=0)
        top = np.abs(file.get_tensor("activations").astype(float))[:, largest.argmax()]
    assert largest.max() > 20 * np.median(largest) and np.mean(top > 5 * np.median(largest)) > 0.95
    assert activations.PATH.stat().st_size < 400_000
