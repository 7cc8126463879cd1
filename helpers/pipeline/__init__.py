"""Notebooks 04 to 07: from a checkpoint on the Hub to a GGUF that runs and is published."""
