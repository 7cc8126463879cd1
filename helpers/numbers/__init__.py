"""Notebooks 01 to 03: number formats, integer quantization, and the blocks inside a GGUF. NumPy only.

Libraries have all of it; it is written out here because it is the lesson, and compared with them byte by byte.
"""
