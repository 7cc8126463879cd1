"""The package behind the notebooks. A folder is a part of the course:

    folder         notebooks   what it holds
    setup          all         what is installed and where: Colab, Kaggle, here; pip, versions, llama-cpp-python's wheel
    numbers        01 to 03    number formats, integer quantization, the blocks inside a GGUF; NumPy only
    pipeline       00, 04-07   download, convert, run, publish: from a checkpoint to a published GGUF
    quality        08, 15      perplexity, KL divergence, with intervals; importance, and bits shared out by measurement
    training       09 to 14    stories, tiny LLaMAs, fake quantization, the models that ship under data/
    compression    11 to 14    pruning, low rank, Kronecker products, distillation
    experiments    10, 12-14   the long sweeps whose results ship under data/
    figures        all         style, charts that rooms share, and one module for each kind of picture
    checks         all         the checks of the exercises, one module for each notebook

and beside them `errors` (the exceptions), `artifacts` (files whole or not at all), `machine` (disk, memory, threads,
child processes) and `install`, whose parts lie in `setup`. `from helpers.numbers import integers` imports what a
notebook needs; `import helpers` alone loads no library and does one thing: it settles how threads wait, which must come
before torch or llama_cpp.
"""

from helpers import machine

machine.wait_politely()
