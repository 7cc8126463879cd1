"""The token of the person at the keyboard: found, checked, never shown."""

import os
import sys

from helpers.errors import HubError
from helpers.pipeline.hub.explain import TOKEN_PAGE, explained
from helpers.pipeline.rehearsal import REHEARSAL_TOKEN


def find_token() -> str | None:
    """Return the token of the environment, the Colab vault or the `hf auth login` file; None without one."""
    from huggingface_hub import get_token

    # A rehearsal's token opens no other Hub: it leaves the environment, where `get_token` looks, for a moment.
    rehearsed = os.environ.pop("HF_TOKEN") if os.environ.get("HF_TOKEN", "").startswith(REHEARSAL_TOKEN) else None
    try:
        raw = os.environ.get("HF_TOKEN") or _colab_token() or get_token()
    finally:
        if rehearsed:
            os.environ["HF_TOKEN"] = rehearsed
    return clean_token(raw) if raw else None


def clean_token(raw: str) -> str:
    """Strip the blanks that copying adds; raise HubError for anything that cannot be a token."""
    token = raw.strip()
    if any(character.isspace() for character in token):
        raise HubError(
            "The token has a blank or a line break in its middle. It was probably copied in two pieces. "
            f"Copy it again from {TOKEN_PAGE}; a token is one word that starts with hf_."
        )
    if not token.startswith("hf_") or not token.isascii():
        raise HubError(
            "This is not a token: tokens start with hf_. Perhaps a password or a placeholder was "
            f"pasted. Copy the token from {TOKEN_PAGE}."
        )
    return token


def _colab_token() -> str | None:
    """Read the Colab secret HF_TOKEN once; None if there is none, access was refused, or not on Colab."""
    if "google.colab" not in sys.modules:
        return None
    from google.colab import userdata

    try:
        return userdata.get("HF_TOKEN") or None
    except Exception:  # Colab's own exceptions: missing, refused, timed out
        return None


def whoami(endpoint: str, token: str) -> dict:
    """Return `name` and `role` (read, write, fineGrained) of a token; raise HubError if it is not accepted."""
    from huggingface_hub import HfApi

    with explained("checking the token"):
        me = HfApi(endpoint=endpoint, token=token).whoami()
    return {"name": me["name"], "role": me.get("auth", {}).get("accessToken", {}).get("role", "unknown")}
