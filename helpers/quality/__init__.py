"""Notebooks 08 and 15: how good a GGUF is, measured with intervals, and how to make a better one of its size."""
