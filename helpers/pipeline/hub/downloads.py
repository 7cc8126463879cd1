"""Download a snapshot of a repository and verify every file."""

import fnmatch
from collections.abc import Iterable
from pathlib import Path

from helpers import artifacts, machine
from helpers.errors import HubError
from helpers.pipeline.hub.explain import explained


def download(
    repo: str, revision: str | None, folder: Path, patterns: Iterable[str], endpoint: str, token: str | bool = False
) -> None:
    """Download a snapshot into `folder` and compare every file with the checksum that the Hub lists.

    patterns: the files' names, `*` for any part. Checks the free disk first, as far as the Hub tells sizes. The client
    goes on where it stopped when a connection breaks, takes what lies in `folder` already and has the right checksum,
    and gives up when the Hub no longer answers. Raises HubError or ResourceError with what to do.
    """
    from huggingface_hub import HfApi, snapshot_download

    folder, patterns = Path(folder), list(patterns)
    with explained(f"downloading {repo}"):
        api = HfApi(endpoint=endpoint, token=token)
        info = api.model_info(repo, revision=revision, files_metadata=True)
        wanted = {s.rfilename: s.size for s in info.siblings if any(fnmatch.fnmatch(s.rfilename, p) for p in patterns)}
        absent = [size or 0 for name, size in wanted.items() if not (folder / name).is_file()]
        machine.require_disk(sum(absent), folder, repo)
        snapshot_download(
            repo, revision=info.sha, allow_patterns=patterns, local_dir=folder, endpoint=endpoint, token=token
        )
        found = api.verify_repo_checksums(repo, revision=info.sha, local_dir=folder)
    absent = wanted.keys() & set(found.missing_paths)
    if absent:
        raise HubError(
            f"{', '.join(sorted(absent))} did not arrive. The Hub lists it, the download left it out. Run the cell "
            "again."
        )
    for wrong in found.mismatches:
        if wrong["path"] in wanted and wrong["expected"] != "none":  # a Hub may list no checksum
            raise HubError(
                f"{wrong['path']} has checksum {wrong['actual'][:12]}…, the Hub lists {wrong['expected'][:12]}…. The "
                "file was cut or damaged on the way. Run the cell again to download it anew."
            )
    artifacts.remove(folder / ".cache")
