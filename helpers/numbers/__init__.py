"""Notebooks 01 to 03: number formats, integer quantization, and the blocks inside a GGUF. NumPy only."""
