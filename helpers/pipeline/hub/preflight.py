"""Everything that can be known before the first request of a publication: name, files, card.

The Hub would notice most of it, too, but later: when a repository is made, or a gigabyte is sent.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from helpers import artifacts
from helpers.errors import HubError, InputError
from helpers.pipeline import gguf_file, hub_rules

PART = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf")
LARGEST_FILE = 500e9  # bytes; the Hub's documentation, "Storage limits"


def require_name(owner: str, name: str) -> str:
    """Return `owner/name`; raise InputError for a name that the Hub refuses."""
    if not isinstance(name, str) or "/" in name:
        raise InputError(
            f"{name!r} is no name for a repository. It is one word, and your name comes in front of it by itself. "
            f"Take for example {hub_rules.valid_name(str(name or '').rpartition('/')[2], owner)!r}."
        )
    if problem := hub_rules.name_problem(f"{owner}/{name}"):
        raise InputError(
            f"The Hub takes no repository called {name!r}: {problem}. Nothing was sent. Take for example "
            f"{hub_rules.valid_name(name, owner)!r}."
        )
    return f"{owner}/{name}"


def require_files(files: Iterable[Path | str] | Path | str) -> list[Path]:
    """Return the files to send, of a GGUF in parts all parts; raise InputError for one that must not be published."""
    if isinstance(files, str | os.PathLike):
        files = [files]
    try:
        named = [Path(file) for file in files]
    except TypeError:
        raise InputError(
            f"files is {files!r}, which names no files. Publishing needs the paths of what to send. Pass a list."
        ) from None
    if not named:
        raise InputError("There are no files to publish. The list is empty. Pass the paths of your GGUF files.")
    absent = [path.name for path in named if not path.is_file()]
    if absent:
        raise InputError(f"There is no {', '.join(absent)} to publish. Make it first (notebook 05).")
    sent = list(dict.fromkeys(part for path in named for part in parts(path)))
    for path in sent:
        _require_file(path)
    _require_own_names(sent)
    for first in {parts(path)[0]: None for path in sent if path.suffix.lower() == ".gguf"}:
        _require_whole(parts(first))
    return sent


def parts(path: Path) -> list[Path]:
    """Return all parts of the GGUF that a file is a part of, as its name tells; else the file alone."""
    found = PART.fullmatch(path.name)
    if not found:
        return [path]
    count = int(found["count"])
    every = [path.with_name(f"{found['stem']}-{n:05}-of-{count:05}.gguf") for n in range(1, count + 1)]
    absent = [part.name for part in every if not part.is_file()]
    if absent:
        raise InputError(
            f"{len(absent)} of {count} parts of {found['stem']} are missing: {', '.join(absent[:3])}. One part alone "
            "opens nowhere. Put all parts into one folder, or convert again."
        )
    return every


def _require_file(path: Path) -> None:
    if path.name.lower() in ("readme.md", ".gitattributes") or not path.name.isprintable():
        raise InputError(
            f"{path.name!r} cannot be published under this name. README.md is the model card, .gitattributes the Hub's "
            "own, and others must be printable. Rename the file, or put its text into the card."
        )
    if path.suffix.lower() == ".gguf" and not path.stat().st_size:
        raise InputError(f"{path.name} is empty. Its making or a copy was stopped at the start. Make it again.")
    if path.stat().st_size > LARGEST_FILE:
        raise InputError(
            f"{path.name} has {artifacts.size_text(path.stat().st_size)}. The Hub takes files of up to "
            f"{artifacts.size_text(LARGEST_FILE)}. Convert it again in parts."
        )


def _require_own_names(files: list[Path]) -> None:
    """Refuse two files for one name, also where only capitals differ: Windows and macOS keep one of them."""
    seen: dict[str, Path] = {}
    for path in files:
        other = seen.setdefault(path.name.casefold(), path)
        if other != path:
            raise InputError(
                f"Two files are called {path.name}, one in {other.parent.name or '.'}, one in "
                f"{path.parent.name or '.'}. In the repository one would replace the other. Rename one of them."
            )


def _require_whole(whole: list[Path]) -> None:
    """Raise InputError unless a GGUF, in all its parts, is complete and holds weights."""
    found = [gguf_file.summary(part) for part in whole]
    if not any(summary.tensors for summary in found):
        raise InputError(
            f"{whole[0].name} holds no weights. It is a vocabulary alone, or its conversion found no tensors. Convert "
            "the model again, and read what the converter says."
        )
    counts = [summary.metadata.get("split.count", 1) for summary in found]
    if counts != [len(whole)] * len(whole):
        raise InputError(
            f"The parts of {whole[0].name} do not belong together: they say that there are {sorted(set(counts))} of "
            f"them, and {len(whole)} are here. They come from several conversions, or were renamed. Convert again."
        )


def require_card(card: str, private: bool) -> dict:
    """Return the fields at the head of a card; raise InputError if the Hub would refuse them.

    A public repository also needs a licence that lets derived works be published.
    """
    import yaml

    if not isinstance(card, str):
        raise InputError(f"The card is {type(card).__name__}, not text. It is the README.md. Pass its text, str(card).")
    try:
        card.encode()
        head = hub_rules.front_matter(card)
    except UnicodeEncodeError as error:
        raise InputError(
            f"The card holds {card[error.start]!r} at character {error.start}, which is no text. It was cut out of "
            "a longer sign, or read in a wrong encoding. Remove it."
        ) from None
    except yaml.YAMLError as error:
        problem = " ".join(str(error).split()).replace('in "<unicode string>", ', "")
        raise InputError(
            f"The card's YAML is broken: {problem}. The Hub reads it for search and filters, and refuses the card. "
            "Correct the block between the two lines of dashes."
        ) from None
    if head is None:
        raise InputError(
            "The card does not start with a block of YAML between two lines of three dashes. The Hub finds licence and "
            "base model there. Begin the card with it (notebook 07)."
        )
    if problems := hub_rules.card_problems(head):
        raise InputError(f"The Hub would refuse the card. {' '.join(problems)} Correct its YAML. Nothing was sent.")
    if not private and (reason := hub_rules.not_public(head)):
        raise InputError(
            f"This must not be made public: {reason}. Nothing was sent. Publish it privately; if you have read the "
            "licence and it allows it, open the repository on its page."
        )
    return head


def ask_the_hub(endpoint: str, token: str, card: str) -> None:
    """Let the Hub check a card before anything is made there; raise HubError with its own words if it refuses."""
    from huggingface_hub import get_session
    from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

    body = {"content": card, "repoType": "model"}
    answer = get_session().post(f"{endpoint}/api/validate-yaml", json=body, headers=build_hf_headers(token=token))
    if answer.status_code == 400:
        try:
            words = " ".join(str(error.get("message")) for error in answer.json()["errors"])
        except (ValueError, KeyError, AttributeError, TypeError):
            words = answer.text
        raise HubError(
            f"The Hub refuses the model card. It says: {' '.join(words.split())[:300]} Nothing was changed there. "
            "Correct the card's YAML, and run the cell again."
        )
    if answer.status_code not in (404, 405):  # other Hubs may not have this endpoint
        hf_raise_for_status(answer)
