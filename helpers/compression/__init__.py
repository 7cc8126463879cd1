"""Notebooks 11 to 14: what else makes a model smaller."""
