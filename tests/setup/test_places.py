"""Where this Python runs."""

import sys
import types

import pytest
from place import somewhere

from helpers.setup import places


@pytest.mark.parametrize("place", ["Colab", "Kaggle", "here"])
def test_the_place_is_recognised(monkeypatch, place):
    somewhere(monkeypatch, place)
    assert (places.on_colab(), places.on_kaggle()) == (place == "Colab", place == "Kaggle")


def test_colab_is_recognised_by_its_module(monkeypatch):
    assert not places.on_colab()
    monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    assert places.on_colab()
