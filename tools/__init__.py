"""For authors and teachers, run as `python -m tools.<name>`: notebooks, classrooms, handouts, the site.

No notebook imports it.
"""
