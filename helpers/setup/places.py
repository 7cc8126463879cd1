"""Where this Python runs: on Google Colab, on Kaggle or elsewhere; and the course's own place."""

import os
import sys
from pathlib import Path

# The one place for both; `make stamp REPO=owner/name VERSION=v2.0.0` changes them everywhere. A copy of a notebook
# clones the version that it belongs to, so that nothing that is moved later breaks it; between releases it is main.
REPO, VERSION = "OWNER/REPO", "main"
ROOT = Path(__file__).resolve().parents[2]


def on_kaggle() -> bool:
    """Tell whether this Python runs in a notebook of Kaggle."""
    return "KAGGLE_KERNEL_RUN_TYPE" in os.environ


def on_colab() -> bool:
    """Tell whether this Python runs on Google Colab. Kaggle's image is made from Colab's and has its variables, too."""
    return not on_kaggle() and ("google.colab" in sys.modules or "COLAB_RELEASE_TAG" in os.environ)
