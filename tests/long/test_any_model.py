"""Notebooks 04 to 07 hold for models that are no LLaMA; all architectures run with `python -m tests.long.any_model`."""

import pytest

from tests.long import any_model


@pytest.mark.parametrize("name", ["gpt2-published", "qwen3_moe"])
def test_the_main_job_runs_with(name, smollm2):
    """GPT-2: other names, one matrix for q, k and v, no rotation. A mixture of experts: a router, three dimensions."""
    assert not any_model.run(name)
