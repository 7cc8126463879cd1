"""The token of the person at the keyboard: found, checked, never shown."""

import contextlib
import os
import sys
from collections.abc import Iterator

from helpers.errors import HubError
from helpers.pipeline.hub.explain import TOKEN_PAGE, explained
from helpers.pipeline.rehearsal import REHEARSAL_TOKEN
from helpers.setup import places

HUGGING_FACE = "https://huggingface.co"
_exported: dict[str, str | None] = {}  # tokens that we put into HF_TOKEN, and what stood there before


def find_token(endpoint: str = HUGGING_FACE) -> str | None:
    """Return your token for a Hub, None without one.

    For huggingface.co that is the token of the environment, the secret of Colab or Kaggle, or the `hf auth login` file;
    for any other Hub only HF_TOKEN, since what was saved for one Hub goes to no other. Raises HubError for what cannot
    be a token.
    """
    own = _own_variable()
    if endpoint == HUGGING_FACE:
        raw = own or _vault_token() or _saved_token(own)
        return clean_token(raw) if raw else None
    return clean_token(own, prefix="") if own else None


@contextlib.contextmanager
def exported(token: str) -> Iterator[None]:
    """Put a token into HF_TOKEN, where calls that take none look; it is not mistaken for one that you put there."""
    before, own = os.environ.get("HF_TOKEN"), _own_variable()
    if token != own:
        _exported[token] = own
    os.environ["HF_TOKEN"] = token
    try:
        yield
    finally:
        if os.environ.get("HF_TOKEN") == token:  # else somebody has changed it meanwhile, and it stays
            _restore(before)
        if os.environ.get("HF_TOKEN") != token:
            _exported.pop(token, None)


def _own_variable() -> str | None:
    """Return what HF_TOKEN says without us. A rehearsal's token, from a parent process, opens no Hub."""
    found = os.environ.get("HF_TOKEN")
    if found in _exported:
        return _exported[found]
    return None if found and found.startswith(REHEARSAL_TOKEN) else found


def _saved_token(own: str | None) -> str | None:
    """Return the token of `hf auth login`: the client looks into the environment first, where ours may stand."""
    from huggingface_hub import get_token

    before = os.environ.get("HF_TOKEN")
    _restore(own)
    try:
        return get_token()
    finally:
        _restore(before)


def _restore(value: str | None) -> None:
    if value is None:
        os.environ.pop("HF_TOKEN", None)
    else:
        os.environ["HF_TOKEN"] = value


def clean_token(raw: str, prefix: str = "hf_") -> str:
    """Strip the blanks that copying adds; raise HubError for anything that cannot be a token.

    prefix: what huggingface.co's tokens start with; those of other Hubs look otherwise.
    """
    token = raw.strip()
    if any(character.isspace() for character in token):
        raise HubError(
            "The token has a blank or a line break in its middle. It was probably copied in two pieces. "
            f"Copy it again from {TOKEN_PAGE}; a token is one word that starts with hf_."
        )
    if not token.startswith(prefix) or not token.isascii():
        raise HubError(
            "This is not a token: tokens start with hf_. Perhaps a password or a placeholder was "
            f"pasted. Copy the token from {TOKEN_PAGE}."
        )
    return token


def _vault_token() -> str | None:
    """Read the secret HF_TOKEN of Colab or Kaggle once; None if there is none, access was refused, or elsewhere."""
    try:
        if places.on_kaggle():
            from kaggle_secrets import UserSecretsClient

            return UserSecretsClient().get_secret("HF_TOKEN") or None
        if "google.colab" in sys.modules:
            from google.colab import userdata

            return userdata.get("HF_TOKEN") or None
    except Exception:  # their own exceptions: missing, not attached to this notebook, refused, timed out
        return None
    return None


def whoami(endpoint: str, token: str) -> dict:
    """Return `name` and `role` (read, write, fineGrained) of a token; raise HubError if it is not accepted."""
    from huggingface_hub import HfApi

    with explained("checking the token"):
        me = HfApi(endpoint=endpoint, token=token).whoami()
    return {"name": me["name"], "role": me.get("auth", {}).get("accessToken", {}).get("role", "unknown")}
