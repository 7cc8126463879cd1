"""Let this Python seem to run on Colab or Kaggle."""

import pytest


def somewhere(monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    for name, at in {"COLAB_RELEASE_TAG": ("Colab", "Kaggle"), "KAGGLE_KERNEL_RUN_TYPE": ("Kaggle",)}.items():
        monkeypatch.setenv(name, "here") if place in at else monkeypatch.delenv(name, raising=False)
