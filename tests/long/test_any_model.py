"""Notebooks 04 to 07 hold for models that are no LLaMA; all architectures run with `python -m tests.long.any_model`."""

import pytest

from tests.long import any_model


@pytest.mark.parametrize("name, numbers", [("gpt2-published", any_model.MAIN), ("qwen3_moe", ["06"])])
def test_the_main_job_runs_with(name, numbers, smollm2):
    """GPT-2: other names, one matrix for q, k and v, no rotation. A mixture of experts: not all weights are read."""
    assert not any_model.run(name, numbers)
