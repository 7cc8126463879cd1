"""Which Hub: the real one, or the rehearsal Hub on this machine. Decided once, and undone by `close()`."""

import atexit
import contextlib
import functools
import http.client
import os
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field

from helpers import artifacts, machine
from helpers.errors import HubError, InputError
from helpers.pipeline.hub.explain import TOKEN_PAGE, explained, read_only
from helpers.pipeline.hub.tokens import HUGGING_FACE, exported, find_token, whoami
from helpers.pipeline.rehearsal import RehearsalHub


@dataclass(frozen=True)
class Hub:
    """A Hub we are logged in to. The token never shows in its repr."""

    endpoint: str
    user: str
    rehearsal: bool
    reason: str
    token: str = field(repr=False)

    @property
    def api(self):
        """The `huggingface_hub.HfApi` of this Hub and token."""
        from huggingface_hub import HfApi

        return HfApi(endpoint=self.endpoint, token=self.token)


class Session:
    """One answer to "which Hub?" for as long as it is open.

    endpoint: the address of the real Hub; by default HF_ENDPOINT (a mirror, or a company's own Hub) or huggingface.co.
    COURSE_HUB decides between real and rehearsal, else whether the real one answers.
    """

    def __init__(self, endpoint: str | None = None):
        self.endpoint = (endpoint or os.environ.get("HF_ENDPOINT") or HUGGING_FACE).rstrip("/")
        self._answered: bool | None = None
        self._server: RehearsalHub | None = None
        self._undo = contextlib.ExitStack()

    def close(self) -> None:
        """Stop the rehearsal Hub, forget what was uploaded, and give `huggingface_hub` its own settings back."""
        self._undo.close()
        self._server = self._answered = None

    def wants_real(self) -> bool:
        """Tell whether to use the real Hub: COURSE_HUB decides, else whether it answers (asked once)."""
        wanted = choice()
        if wanted != "auto":
            return wanted == "real"
        if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):  # as the client reads it
            return False
        if self._answered is None:
            self._answered = answers(self.endpoint)
        return self._answered

    def why_rehearsal(self) -> str:
        """Say why the real Hub is not used."""
        return "COURSE_HUB=rehearsal asks for it" if choice() == "rehearsal" else "the Hub is out of reach"

    def connect(self) -> Hub:
        """Log in to the real Hub if it is wanted and there is a token that may write, else to the rehearsal Hub.

        Points this process's `huggingface_hub` at the chosen Hub, so that calls which take no endpoint go there too.
        Raises HubError if the real Hub is asked for and cannot be used.
        """
        _past_proxies()  # also beside the real Hub: notebook 07 breaks things on a rehearsal Hub of its own
        real = self.wants_real()
        token = self.token() if real else None
        me = whoami(self.endpoint, token) if token else None
        if me and me["role"] != "read":
            self._undo.enter_context(_client_at(self.endpoint, token))
            return Hub(self.endpoint, me["name"], False, "the Hub answers and there is a token", token)
        if choice() == "real":
            raise (
                read_only("nothing can be published")
                if me
                else HubError(
                    "COURSE_HUB=real, but no token was found. Publishing needs to know who you are. Make a token "
                    f"with the right to write at {TOKEN_PAGE}, then run `hf auth login` or add it as the "
                    "secret HF_TOKEN of Colab or Kaggle."
                )
            )
        server = self.rehearsal()
        self._undo.enter_context(_client_at(server.endpoint, server.token))
        reason = "your token may only read" if me else "no token was found, so nothing can be published"
        return Hub(server.endpoint, "rehearsal", True, reason if real else self.why_rehearsal(), server.token)

    def rehearsal(self) -> RehearsalHub:
        """Return this session's rehearsal Hub, started on first use."""
        if self._server is None:
            _past_proxies()
            self._undo.enter_context(without_xet())
            with explained("starting the rehearsal Hub"):
                self._server = self._undo.enter_context(RehearsalHub(artifacts.folder()))
        return self._server

    def token(self) -> str | None:
        """Return your token for the real Hub, or None. One that was saved for huggingface.co goes nowhere else."""
        return find_token(self.endpoint)

    def download_token(self, endpoint: str) -> str | bool:
        """Return what to pass as `token` when downloading: your token to the real Hub only, else none (False)."""
        return (endpoint == self.endpoint and self.token()) or False


@functools.cache
def current() -> Session:
    """Return the session of this process, closed when it ends."""
    session = Session()
    atexit.register(session.close)
    return session


def connect() -> Hub:
    """Log in: see `Session.connect`."""
    return current().connect()


def choice() -> str:
    """Return what COURSE_HUB says: auto, real or rehearsal; raises InputError for anything else."""
    wanted = os.environ.get("COURSE_HUB") or "auto"
    if wanted not in ("auto", "real", "rehearsal"):
        raise InputError(f"Unknown Hub {wanted!r}. COURSE_HUB decides it. Choose auto, real or rehearsal.")
    return wanted


def answers(endpoint: str, seconds: float = 2.5) -> bool:
    """Tell whether a Hub answers within a few seconds.

    A question in a thread of its own, because looking up a name can hang for minutes and has no
    time-out. A login page of a hotel's network is not taken for the Hub: the answer must be JSON.
    """
    said: list[bool] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(f"{endpoint}/api/whoami-v2", timeout=seconds) as answer:
                said.append("json" in answer.headers.get("Content-Type", ""))
        except urllib.error.HTTPError as refused:  # 401 is the expected answer without a token
            said.append("json" in refused.headers.get("Content-Type", "") or refused.code == 429)
        except (OSError, ValueError, http.client.HTTPException):
            said.append(False)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return bool(said and said[0])


@contextlib.contextmanager
def _client_at(endpoint: str, token: str) -> Iterator[None]:
    """Make `huggingface_hub` talk to `endpoint` with `token`, and to where it did before at the end.

    Both go into this process's environment, because some calls, such as `Llama.from_pretrained`, take
    neither. The helpers that start other programs leave the token out of theirs.
    """
    from huggingface_hub import constants, hf_api

    with exported(token), _set(os.environ, HF_ENDPOINT=endpoint):
        template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        with _set(vars(constants), ENDPOINT=endpoint, HUGGINGFACE_CO_URL_TEMPLATE=template):
            with _set(vars(hf_api.api), endpoint=endpoint):
                yield


def _past_proxies() -> None:
    """Let `huggingface_hub` reach servers on this machine without a proxy."""
    from huggingface_hub import close_session

    machine.no_proxy_for_this_machine()
    close_session()  # the client's next session reads no_proxy again


@contextlib.contextmanager
def without_xet() -> Iterator[None]:
    """Use plain HTTP uploads, as the rehearsal Hub does not speak Xet."""
    from huggingface_hub import constants

    with _set(os.environ, HF_HUB_DISABLE_XET="1"), _set(vars(constants), HF_HUB_DISABLE_XET=True):
        yield


@contextlib.contextmanager
def _set(settings, **values) -> Iterator[None]:
    """Set entries of a mapping; what was there comes back at the end, unless somebody has changed it meanwhile."""
    before = {name: settings.get(name) for name in values}
    settings.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if settings.get(name) == values[name]:
                if value is None:
                    del settings[name]
                else:
                    settings[name] = value
