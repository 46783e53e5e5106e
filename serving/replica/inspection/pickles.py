"""Pickles, plain or compressed as joblib does: the root's class is read, nothing is built."""

import bz2
import gzip
import io
import lzma
import pickletools
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from serving.replica.inspection.description import DamagedArtefactError, Description

FORM = "a pickle"
COMPRESSED = "a compressed pickle"
READ = 8 * 1024**2
"""Bytes at the beginning that are looked through for the release that wrote it."""
CHUNK = 1024**2
"""Bytes read at once; as many at the end are looked through as well."""

_BY_PACKAGE = {
    "sklearn": "sklearn", "imblearn": "sklearn", "xgboost": "sklearn", "lightgbm": "sklearn",
    "river": "river", "cloudpickle": "python",
}  # fmt: skip
"""Framework by the package of the root's class: boosters in their scikit-learn form are estimators.
"""
_SKLEARN = re.compile(
    rb"_sklearn_version(?:\x94|q[\s\S]|r[\s\S]{4})?(?:\x8c[\s\S]|X[\s\S]{4})(\d+\.\d+[0-9a-z.]*)"
)
"""How an estimator's pickle names the release of scikit-learn that wrote it."""


class _Zlib(io.RawIOBase):
    """A zlib stream as a file, which the standard library does not have."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._inflate = zlib.decompressobj()

    def close(self) -> None:
        """Close the file as well."""
        self._file.close()
        super().close()

    def read(self, size: int = -1) -> bytes:
        """Some bytes; none at the end."""
        while not self._inflate.eof:
            raw = self._inflate.unconsumed_tail or self._file.read(CHUNK)
            if not raw:
                raise EOFError("the compressed stream ends early")
            if data := self._inflate.decompress(raw, CHUNK):
                return data
        return b""


def describe(artefact: Path, head: bytes) -> Description | None:
    """Say what a pickle holds; none if the file is none."""
    compressed = _compressed(head)
    if not compressed and not _is_pickle(head):
        return None
    try:
        begin, end = _ends(artefact, head)
    except (EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        raise DamagedArtefactError(f"the compressed pickle is not whole: {error}") from error
    if not _is_pickle(begin):
        return None
    if not end.endswith(b"."):
        raise DamagedArtefactError(
            "the pickle is not whole: it does not end with its last mark, so it was cut off, or "
            "something stands behind it"
        )
    package = _root_package(begin)
    found = _SKLEARN.search(begin) or _SKLEARN.search(end)
    made_with = {"scikit-learn": found[1].decode()} if found else {}
    # The class of the root is that of an estimator, or the estimators are somewhere inside.
    framework = _BY_PACKAGE.get(package, "sklearn" if found else "python")
    return Description(framework, COMPRESSED if compressed else FORM, made_with=made_with)


def _is_pickle(head: bytes) -> bool:
    return len(head) > 2 and head[0] == 0x80 and 2 <= head[1] <= 5


def _compressed(head: bytes) -> bool:
    return head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ")) or (
        len(head) > 1 and head[0] == 0x78 and head[1] in (0x01, 0x5E, 0x9C, 0xDA)
    )


def _open(artefact: Path, head: bytes) -> BinaryIO:
    if head.startswith(b"\x1f\x8b"):
        return cast(BinaryIO, gzip.open(artefact, "rb"))
    if head.startswith(b"BZh"):
        return cast(BinaryIO, bz2.open(artefact, "rb"))
    if head.startswith(b"\xfd7zXZ"):
        return cast(BinaryIO, lzma.open(artefact, "rb"))
    if _compressed(head):
        return cast(BinaryIO, _Zlib(artefact.open("rb")))
    return artefact.open("rb")


def _ends(artefact: Path, head: bytes) -> tuple[bytes, bytes]:
    """The first and the last bytes, unpacked."""
    if not _compressed(head):
        with artefact.open("rb") as file:
            begin = file.read(READ)
            size = file.seek(0, io.SEEK_END)
            file.seek(max(0, size - CHUNK))
            return begin, file.read()
    gathered, end = bytearray(), b""
    with _open(artefact, head) as stream:
        while data := stream.read(CHUNK):
            gathered += data[: READ - len(gathered)]
            end = (end + data)[-CHUNK:]
    return bytes(gathered), end


def _root_package(begin: bytes) -> str:
    """The package of the first class or function that is named: the root's."""
    strings: list[str] = []
    for name, argument in _operations(begin):
        if name == "GLOBAL":
            return str(argument).partition(" ")[0].partition(".")[0]
        if name == "STACK_GLOBAL" and len(strings) > 1:
            return strings[-2].partition(".")[0]
        if isinstance(argument, str):
            strings.append(argument)
    return ""


def _operations(begin: bytes) -> Iterator[tuple[str, object]]:
    try:
        for operation, argument, _ in pickletools.genops(begin):
            yield operation.name, argument
    except Exception:
        # joblib puts arrays between the operations; whatever comes behind is not the root.
        return
