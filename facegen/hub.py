"""Download weight folders from the Hugging Face hub, named as in hf:owner/name, and upload them.

Only files that are not on this machine are downloaded. A name without a revision keeps the commit that was downloaded
first.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from facegen.errors import MissingExtraError, WeightsError, one_line

PREFIX = "hf:"
OFFLINE = "HF_HUB_OFFLINE"
"""A variable of the hub's library, which `facegen --offline` sets."""
_PART = r"[\w.-]+"
_NAME = re.compile(rf"hf:(?P<repo>{_PART}/{_PART})(?:/(?P<folder>{_PART}(?:/{_PART})*))?(?:@(?P<revision>[\w./-]+))?")


@dataclass(frozen=True)
class HubName:
    """A weight folder on the hub."""

    repo: str
    folder: str | None
    """Folder in the repository; None is its root."""
    revision: str
    """A commit, a tag or a branch."""


def hub_name(name: str) -> HubName:
    """Parse hf:owner/name, hf:owner/name/folder or either with @revision; raise a WeightsError for another form."""
    found = _NAME.fullmatch(name)
    if found is None or ".." in name:
        raise WeightsError(f"weights {name!r}: expected hf:owner/name, hf:owner/name/folder, or either with @revision.")
    return HubName(found["repo"], found["folder"], found["revision"] or "main")


def fetch_folder(name: str, needed: tuple[str, ...], extra: tuple[str, ...]) -> Path:
    """Return the local copy of a weight folder, all of one commit, after downloading what is missing.

    Args:
        name: as for `hub_name`.
        needed, extra: names of the files to get; the repository may lack the extra ones.
    Raises:
        WeightsError: if there is no such folder, or it is not on this machine and cannot be downloaded.
    """
    _require_library()
    with _weights_errors(name):
        return _fetch(hub_name(name), needed, extra)


def fetch_companion(name: str, folder: str, needed: tuple[str, ...]) -> Path | None:
    """Return the local copy of another weight folder in the repository of `name`, of the same commit.

    Args:
        folder: its name in the root of the repository.
    Returns:
        None if the repository has no such folder in that commit.
    Raises:
        WeightsError: as for `fetch_folder`.
    """
    _require_library()
    from huggingface_hub import _CACHED_NO_EXIST, try_to_load_from_cache
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    wanted = hub_name(name)
    with _weights_errors(name):
        commit = _commit(_get(wanted, needed[0]), wanted)
        if try_to_load_from_cache(wanted.repo, f"{folder}/{needed[0]}", revision=commit) is _CACHED_NO_EXIST:
            return None
        try:
            return _fetch(HubName(wanted.repo, folder, commit), needed, ())
        except LocalEntryNotFoundError:  # offline: it may be on the hub
            raise
        except EntryNotFoundError:
            return None


def upload_folder(folder: Path, repo: str, path: str = "") -> str:
    """Upload a folder's files to a repository of the user, which is created as a private one if it is missing.

    Args:
        path: folder in the repository.
    Returns:
        the address of the repository.
    """
    _require_library()
    from huggingface_hub import HfApi

    hub = HfApi()
    with _weights_errors(f"{PREFIX}{repo}"):
        address = hub.create_repo(repo, private=True, exist_ok=True)
        hub.upload_folder(repo_id=repo, folder_path=folder, path_in_repo=path, commit_message=f"facegen: {folder.name}")
    return str(address)


def offline() -> bool:
    """Return True if nothing may be downloaded."""
    return os.environ.get(OFFLINE, "").upper() in ("1", "ON", "YES", "TRUE")


def _fetch(wanted: HubName, needed: tuple[str, ...], extra: tuple[str, ...]) -> Path:
    from huggingface_hub.errors import EntryNotFoundError

    card = _get(wanted, needed[0])
    commit = _commit(card, wanted)
    missing = [file for file in needed[1:] if _local(wanted, file, commit) is None]
    for file in extra if missing else ():
        with suppress(EntryNotFoundError):
            _download(wanted, file, commit)
    for file in missing:
        _download(wanted, file, commit)
    return card.parent


def _get(wanted: HubName, file: str) -> Path:
    return _local(wanted, file, wanted.revision) or _download(wanted, file, wanted.revision)


def _commit(file: Path, wanted: HubName) -> str:
    """Return the commit of a file from its path in the cache: .../snapshots/COMMIT/folder/file."""
    return file.parents[wanted.folder.count("/") + 1 if wanted.folder else 0].name


def _local(wanted: HubName, file: str, revision: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(wanted.repo, "/".join(filter(None, (wanted.folder, file))), revision=revision)
    return Path(path) if isinstance(path, str) else None


def _download(wanted: HubName, file: str, revision: str) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    if offline():  # even for local files, the library might connect to the hub
        raise LocalEntryNotFoundError(f"{file} is not on this machine")
    path = hf_hub_download(wanted.repo, file, subfolder=wanted.folder, revision=revision, library_name="facegen")
    return Path(path)


@contextmanager
def _weights_errors(name: str) -> Iterator[None]:
    """Turn the errors of the hub's library and of the network into a WeightsError."""
    try:
        yield
    except Exception as error:  # the types depend on the HTTP library that this version of the hub's library uses
        hint = "leave --offline away to download it" if offline() else "check name, revision, access and network"
        raise WeightsError(f"weights {name!r}: {one_line(error)}; {hint}.") from None


def _require_library() -> None:
    if find_spec("huggingface_hub") is None:
        raise MissingExtraError("Weights of the Hugging Face hub need a package: pip install 'facegen[hub]'")
