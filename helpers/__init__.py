"""The package behind the notebooks. Import what you need: `from helpers import convert`.

Importing a module is instant: torch, transformers and llama_cpp are loaded inside the functions
that need them.
"""
