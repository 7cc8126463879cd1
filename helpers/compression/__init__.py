"""Notebooks 11 to 14: what else makes a model smaller.

Libraries prune and factorize, too; the methods are written out here because they are the lesson.
"""
