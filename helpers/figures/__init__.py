"""The pictures of the notebooks: each function takes data and returns a detached matplotlib Figure."""
