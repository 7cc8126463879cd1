"""nbval gives a kernel 5 seconds to hand over what a cell printed.

That is too few on a machine that others use as well.
"""

SECONDS = 120


def pytest_collection_modifyitems(items):
    for item in items:
        if hasattr(item, "output_timeout"):
            item.output_timeout = SECONDS
