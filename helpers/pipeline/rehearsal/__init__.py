"""A Hub on your own machine: enough of the Hugging Face Hub's protocol for its real client.

A class has no accounts on day one and tests have no network, so publishing is rehearsed against
this server. It listens on 127.0.0.1 only, keeps its files in a temporary folder and forgets everything
when it stops. The calls, the errors and the checksums are those of `huggingface_hub`; what you
learn here works unchanged on the real Hub.

    with RehearsalHub() as hub:
        api = HfApi(endpoint=hub.endpoint, token=hub.token)
        api.create_repo("rehearsal/my-model")

From the inside out, each importing only those before it:

    store.py      repositories, commits, contents; knows no HTTP
    faults.py     failures to inject
    access.py     who may do what, and how a refusal is answered
    player.py     plays the failures in front of the app
    about.py      what the Hub reads out of a repository's own files
    repos.py, lfs.py, resolve.py     the endpoints: metadata and commits, uploads, downloads
    app.py        which path leads to which endpoint
    listener.py   the app behind a port, in a thread
    server.py     RehearsalHub, which loads the HTTP libraries when it starts
"""

from helpers.pipeline.rehearsal.server import REHEARSAL_TOKEN, RehearsalHub
from helpers.pipeline.rehearsal.store import USER

__all__ = ["REHEARSAL_TOKEN", "USER", "RehearsalHub"]
