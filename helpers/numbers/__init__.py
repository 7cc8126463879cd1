"""Notebooks 01 to 03: number formats, integer quantization, and the blocks inside a GGUF. NumPy only.

Libraries have all of it; it is written out here because it is the lesson. Tests compare it with them, byte by byte;
only our encoders of Q4_K and Q6_K may differ, and their error is compared with that of ggml.
"""
