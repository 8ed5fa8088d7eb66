"""A saved steering on the Hugging Face hub."""

import os
import re
from dataclasses import replace
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi, snapshot_download

from steersman.errors import ArtifactError, InputError
from steersman.store.card import addressed
from steersman.store.folder import read_folder, require_ours
from steersman.store.format import FILES, Artifact, encode

_REPOSITORY = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)


def load(path_or_repo: str | Path, revision: str | None = None) -> Artifact:
    """Load an artifact from a folder, or else from the hub.

    Args:
        path_or_repo: a folder, or "owner/name" on the hub; a folder of that name comes first.
        revision: branch, tag or commit on the hub; the main branch by default.

    Raises:
        ArtifactError: there is neither, the hub cannot be reached, or what is there is not a sound
            steering. Nothing is ever executed.
        InputError: a revision of a folder.
    """
    name = os.path.expanduser(path_or_repo)
    if os.path.isdir(name):
        if revision is not None:
            raise InputError(
                f"{path_or_repo} is a folder here and has no revision {revision!r}; leave revision "
                "out, or go where there is no folder of that name to load it from the hub."
            )
        return read_folder(Path(name))
    if os.path.exists(name):
        raise ArtifactError(f"{path_or_repo} is a file; give the folder of a saved steering.")
    if isinstance(path_or_repo, Path) or not _REPOSITORY.fullmatch(path_or_repo):
        raise ArtifactError(
            f"there is no folder {str(path_or_repo)!r}, and it is no repository of the hub either, "
            'which would be "owner/name".'
        )
    where = path_or_repo if revision is None else f"{path_or_repo} at {revision}"
    return read_folder(_downloaded(path_or_repo, revision, where), where)


def push(artifact: Artifact, repo: str, private: bool = False, token: str | None = None) -> str:
    """Upload an artifact to the hub, in one commit.

    Args:
        artifact: what to upload; its card gets the repository's address.
        repo: "owner/name"; made where it does not exist.
        private: make it private.
        token: access token; the one logged in with by default.

    Returns:
        The address of the commit.

    Raises:
        ArtifactError: the artifact is not sound, the repository holds something else or is public
            where private was asked for, or the hub refuses or cannot be reached.
    """
    if not _REPOSITORY.fullmatch(repo):
        raise ArtifactError(f'the repository is {repo!r}; expected "owner/name".')
    files = encode(replace(artifact, card=addressed(artifact.card, repo)))
    api = HfApi(token=token, library_name="steersman")
    try:
        api.create_repo(repo, private=private, exist_ok=True)
        found = api.model_info(repo)
        require_ours([file.rfilename for file in found.siblings or ()], repo)
        if private and not found.private:
            raise ArtifactError(
                f"{repo} is public and was not uploaded to; make it private in its settings, or "
                "leave private out."
            )
        commit = api.create_commit(
            repo,
            [CommitOperationAdd(name, data) for name, data in files.items()],
            commit_message="Upload steering",
        )
    except ArtifactError:
        raise
    except Exception as error:  # the client lets errors of its HTTP library through
        raise ArtifactError(
            f"{repo} could not be uploaded to ({_first_line(error)}). Check the name and that "
            "`hf auth login`, or token=, gives the right to write there."
        ) from error
    return str(commit.commit_url)


def _downloaded(repo: str, revision: str | None, where: str) -> Path:
    try:
        found = snapshot_download(
            repo, revision=revision, allow_patterns=list(FILES), library_name="steersman"
        )
    except Exception as error:  # the client lets errors of its HTTP library through
        raise ArtifactError(
            f"there is no folder {repo!r}, and {where} could not be loaded from the hub "
            f"({_first_line(error)}). Check the name, and for a private one `hf auth login`."
        ) from error
    return Path(found)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
