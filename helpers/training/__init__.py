"""Notebooks 09 to 14: the stories, tiny LLaMAs trained on them, and fake quantization in PyTorch."""
