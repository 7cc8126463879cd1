"""Authoring tools, run as `python -m tools.<name>`; no notebook imports them."""
