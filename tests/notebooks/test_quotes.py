"""Every number that a notebook quotes from elsewhere, without measuring it, with its source beside it."""

import pytest
from test_claims import pages

QUOTES = [  # notebook, what it says, where that is from, and how the notebook names the source
    ("01", "What NVIDIA's tensor cores multiply", "NVIDIA Transformer Engine; architecture papers", "from NVIDIA's"),
    ("02", "up to 20 times in arXiv 2208.07339", "LLM.int8(), section 4", "arXiv 2208.07339"),
    ("02", "about 100 times and in every token", "SmoothQuant, section 3", "arXiv 2211.10438"),
    ("03", "4.13 bits", "QLoRA, double quantization: 4 + 0.127 bits", "arXiv 2305.14314"),
    ("03", "blocks of 64", "QLoRA, section 3; bitsandbytes' default", "arXiv 2305.14314"),
    (
        "08",
        "[0.00037, 0.0021, 0.0127, 0.109]",
        "llama.cpp tools/perplexity/README, Llama-2-7B",
        "README of its perplexity",
    ),
    (
        "08",
        "[0.0014, 0.0055, 0.0313, 0.445]",
        "llama.cpp tools/perplexity/README, Llama-3-8B",
        "README of its perplexity",
    ),
    ("10", "γD = 0.51", "arXiv 2411.04330, secondary notes", "from secondary notes"),
    ("10", "γN = 0.34", "arXiv 2411.04330, secondary notes", "from secondary notes"),
    ("10", "465 trainings", "arXiv 2411.04330, secondary notes", "arXiv 2411.04330"),
    ("10", "begins to hurt when the learning rate falls", "arXiv 2510.06213, abstract", "arXiv 2510.06213"),
    ("10", "[0.00037, 0.0021, 0.0127, 0.109]", "llama.cpp tools/perplexity/README", "README of its perplexity"),
    ("10", "[0.0014, 0.0055, 0.0313, 0.445]", "llama.cpp tools/perplexity/README", "README of its perplexity"),
    ("10", "[1.0007, 1.0024, 1.0142, 1.108]", "llama.cpp tools/perplexity/README", "README of its perplexity"),
    ("10", "[1.0004, 1.0035, 1.0282, 1.565]", "llama.cpp tools/perplexity/README", "README of its perplexity"),
    (
        "10",
        "2 trillion tokens, Llama-3-8B 15 trillion",
        "the article, docs/myths.md",
        "both figures stand in the article",
    ),
    ("10", "8.5e9 * 365", "a common estimate, not checked", "not checked here"),
    ("10", "191 million dollars", "the article, docs/myths.md", "The article compares"),
    ("10", "3 trillion tokens", "TinyLlama, arXiv 2401.02385", "TinyLlama"),
    ("11", "5.12 whole, 14.89 by magnitude and 6.42 by Wanda", "arXiv 2306.11695, table 2", "arXiv 2306.11695"),
    ("11", "(perplexity 5.12 → 14.89", "arXiv 2306.11695, table 2", "arXiv 2306.11695"),
    ("12", "the paper's own count is near 83 million", "arXiv 2110.08152", "arXiv 2110.08152"),
    ("12", "its 81 million include the head", "arXiv 2412.12351, abstract", "arXiv 2412.12351"),
    ("12", '"WikiText-103": [29.16, 40.28, 40.97, 44.53]', "README of Krony-PT", "README of Krony-PT"),
    ("12", '"WikiText-2": [24.67, 32.25, 32.81, 36.48]', "README of Krony-PT", "README of Krony-PT"),
    ("12", '"LAMBADA": [45.28, 64.72, 67.62, 76.0]', "README of Krony-PT", "README of Krony-PT"),
    ("12", "3.1 % (KnGPT-2: 10 %)", "arXiv 2401.16367; article D", "arXiv 2401.16367"),
    ("13", "66 against 110 million parameters", "DistilBERT, arXiv 1910.01108", "arXiv 1910.01108"),
    ("13", "the paper's abstract says 60 %", "DistilBERT, arXiv 1910.01108, abstract", "arXiv 1910.01108"),
    ("13", "10 % and 3.1 %", "arXiv 2110.08152 and 2401.16367; article D", "arXiv 2110.08152"),
    ("14", '"125M": (30, 576, 9, 3, 1536)', "MobileLLM's published configuration", "arXiv 2402.14905"),
    ("14", '"1.5B": (54, 1600, 25, 5, 4352)', "MobileLLM's published configuration", "arXiv 2402.14905"),
    (
        "14",
        '"OPT": 42.6, "GPT-neo": 42.9, "Pythia": 42.5, "MobileLLM": 46.3',
        "README of MobileLLM",
        "not measured here",
    ),
    (
        "14",
        '"OPT": 43.9, "Pythia": 46.6, "MobileLLM": 51.3, "MobileLLM-LS": 52.1',
        "README of MobileLLM",
        "not measured here",
    ),
    ("14", "read a trillion, 8,000 for each", "arXiv 2402.14905", "arXiv 2402.14905"),
    ("14", "2.7 and 4.3 over the best published before", "arXiv 2402.14905, abstract", "its abstract claims"),
    ("14", "8_030_261_248", "Llama-3.1-8B's model card and safetensors index", "LLaMA-3"),
    ("08", "six times as many tokens for each parameter", "15e12 / 8.03e9 against 2e12 / 6.74e9", "Llama-3"),
]


@pytest.mark.parametrize("notebook, words, source, named", QUOTES, ids=lambda value: str(value)[:24])
def test_it_stands_there_with_its_source(notebook, words, source, named):
    text = " ".join(pages(notebook).split())
    assert " ".join(words.split()) in text and named in text and source


def test_tokens_for_each_parameter():
    assert pytest.approx(6.3, abs=0.1) == (15e12 / 8.03e9) / (2e12 / 6.74e9)
