"""A Hub to download from and publish to: the real one, or the rehearsal Hub on this machine.

    here = hub.connect()                     # says in `here.reason` which Hub it is, and why
    text = card.build(card.original(model), files, f"{here.user}/my-model")
    hub.publish(here, "my-model", files, text)

`session` decides which Hub, `tokens` finds your token, `downloads` and `publishing` do the work and check it, `card`
writes the model card, `preflight` and `gate` look before something is sent or made public, `explain` turns every
failure into a sentence that helps.
"""

from helpers.pipeline.hub.downloads import download
from helpers.pipeline.hub.explain import explained, unreachable
from helpers.pipeline.hub.publishing import Published, keep_receipt, publish
from helpers.pipeline.hub.session import Hub, Session, connect, current
from helpers.pipeline.hub.tokens import find_token, whoami

__all__ = [
    "Hub",
    "Published",
    "Session",
    "connect",
    "current",
    "download",
    "explained",
    "find_token",
    "keep_receipt",
    "publish",
    "unreachable",
    "whoami",
]
