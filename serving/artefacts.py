"""Artefacts on disk: taken in once, known by their digest, never changed."""

import hashlib
import os
import shutil
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from serving.errors import ArtefactUnusableError, BodyTooLargeError, shown

CHUNK = 1024 * 1024
WANTED_LATELY = 3600.0
"""Seconds after an upload in which its artefact is not removed: its version may not be written."""
MEMBERS_LIMIT = 100_000
"""Files and folders in one archive."""
ARCHIVES = (".tar.gz", ".tgz")
"""Ends of the names of archives. Contents do not tell: joblib compresses with gzip as well."""


@dataclass(frozen=True, slots=True)
class Stored:
    """An artefact that lies in the store."""

    digest: str
    """sha256 in hex: of the bytes as sent, or of names and contents where a folder was copied."""
    size_bytes: int
    name: str
    """Name of the file or folder in the store."""
    contents: str | None = None
    """Of a folder: sha256 over names and contents of its files, in hex."""


class ArtefactStore:
    """A folder of artefacts, each named by its digest.

    Everything is made under another name first and moved into place when it is whole and on disk,
    so that a name that exists is always a whole artefact. Methods block; call them in a thread.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        """Make a store.

        Parameters
        ----------
        limit
            Bytes that an artefact may have, as sent and unpacked.
        """
        self._folder = folder
        self._limit = limit

    def keep_stream(self, source: BinaryIO, filename: str) -> Stored:
        """Keep what was uploaded; an archive is unpacked.

        Raises
        ------
        ArtefactUnusableError
            If it is empty, or an archive that is broken or would write elsewhere.
        BodyTooLargeError
            If it is larger than the limit.
        """
        with self._workspace() as space:
            digest, size = self._copy(source, space.path / "artefact")
            if size == 0:
                raise ArtefactUnusableError("Expected an artefact, received an empty file.")
            if not filename.endswith(ARCHIVES):
                return self._place(space.path / "artefact", digest, size, digest)
            name = f"{digest}.d"
            if not (self._folder / name).exists():
                self._unpack(space.path / "artefact", space.path / "folder")
            return self._place(space.path / "folder", digest, size, name)

    def keep_uri(self, uri: str) -> Stored:
        """Keep a copy of a file or folder on this machine.

        Parameters
        ----------
        uri
            An absolute path, or a `file:` URI of one.
        """
        parts = urlsplit(uri)
        path = Path(unquote(parts.path) if parts.scheme == "file" else uri)
        if parts.scheme not in ("", "file") or parts.netloc or not path.is_absolute():
            raise ArtefactUnusableError(
                f"Expected an absolute path or a file: URI, received {shown(uri)}."
            )
        try:
            if path.is_dir():
                return self._keep_folder(path)
            with path.open("rb") as source:
                return self.keep_stream(source, path.name)
        except OSError as error:
            why = error.strerror or str(error)
            raise ArtefactUnusableError(f"{shown(uri)} cannot be read: {why}.") from error
        except ValueError as error:
            raise ArtefactUnusableError(f"{shown(uri)} is no path: {error}.") from error

    def path(self, name: str) -> Path:
        """Where an artefact lies."""
        return self._folder / name

    def remove(self, name: str) -> bool:
        """Remove an artefact that no version needs; False if it is gone, or was wanted lately."""
        path = self._folder / name
        if not path.exists() or time.time() - path.stat().st_mtime < WANTED_LATELY:
            return False
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
        return True

    def _workspace(self) -> "_Workspace":
        self._folder.mkdir(parents=True, exist_ok=True)
        return _Workspace(self._folder)

    def _copy(self, source: BinaryIO, target: Path) -> tuple[str, int]:
        sha, size = hashlib.sha256(), 0
        with target.open("wb") as out:
            while chunk := source.read(CHUNK):
                size += len(chunk)
                if size > self._limit:
                    raise BodyTooLargeError(self._limit)
                sha.update(chunk)
                out.write(chunk)
        return sha.hexdigest(), size

    def _keep_folder(self, folder: Path) -> Stored:
        sha, total = hashlib.sha256(), 0
        with self._workspace() as space:
            target = space.path / "folder"
            target.mkdir()
            for path in sorted(folder.rglob("*")):
                relative = path.relative_to(folder)
                if path.is_symlink() or not (path.is_dir() or path.is_file()):
                    raise ArtefactUnusableError(
                        f"Expected files and folders only, found {shown(str(relative))}."
                    )
                if path.is_dir():
                    (target / relative).mkdir()
                    continue
                with path.open("rb") as source:
                    digest, size = self._copy(source, target / relative)
                total += size
                if total > self._limit:
                    raise BodyTooLargeError(self._limit)
                sha.update(f"{relative.as_posix()}\0{digest}\n".encode())
            digest = sha.hexdigest()
            return self._place(target, digest, total, f"{digest}.d")

    def _unpack(self, archive: Path, target: Path) -> None:
        target.mkdir()
        try:
            with tarfile.open(archive, mode="r:gz") as tar:
                # The data filter refuses absolute names, names that climb out, links that
                # point outside and devices. Sizes are checked before anything is written.
                tar.extractall(target, members=self._bounded(tar), filter="data")
        except tarfile.FilterError as error:
            raise ArtefactUnusableError(f"The archive is not safe to unpack: {error}.") from error
        except (tarfile.TarError, EOFError, OSError) as error:
            raise ArtefactUnusableError(f"Expected a .tar.gz archive: {error}.") from error

    def _bounded(self, members: Iterable[tarfile.TarInfo]) -> Iterator[tarfile.TarInfo]:
        total = 0
        for count, member in enumerate(members, start=1):
            total += member.size
            if total > self._limit:
                raise BodyTooLargeError(self._limit)
            if count > MEMBERS_LIMIT:
                raise ArtefactUnusableError(f"The archive has more than {MEMBERS_LIMIT} members.")
            yield member

    def _place(self, made: Path, digest: str, size: int, name: str) -> Stored:
        final = self._folder / name
        if not final.exists():
            for path in [made, *made.rglob("*")] if made.is_dir() else [made]:
                _sync(path)
            try:
                made.rename(final)
            except OSError:
                # Another upload of the same folder was faster; its content is the same.
                if not final.exists():
                    raise
            _sync(self._folder)
        else:
            # Wanted again: whoever clears up must not take it from under the version to come.
            os.utime(final)
        return Stored(digest, size, name, contents_of(final) if final.is_dir() else None)


class _Workspace:
    """A folder beside the artefacts, gone afterwards."""

    def __init__(self, folder: Path) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=".incoming-", dir=folder))

    def __enter__(self) -> "_Workspace":
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


def contents_of(folder: Path) -> str:
    """The sha256 over names and contents of all files of a folder, in hex."""
    sha = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            sha.update(f"{name}\0{digest_of(path)}\n".encode())
    return sha.hexdigest()


def digest_of(file: Path) -> str:
    """The sha256 of a file, in hex."""
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
