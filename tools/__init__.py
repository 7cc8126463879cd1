"""For authors and teachers, run as `python -m tools.<name>`: run notebooks, refresh their stored
outputs, prepare a classroom, make handouts and the site, stamp the repository's address. `execute` is what run and
refresh share.

No notebook imports any of it.
"""
