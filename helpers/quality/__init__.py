"""Notebook 08: how good a GGUF is, measured with intervals."""
