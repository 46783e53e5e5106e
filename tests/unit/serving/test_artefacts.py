"""Artefacts are taken in whole, known by their bytes, and unpacked nowhere else."""

import hashlib
import io
import tarfile
from pathlib import Path

import pytest

from serving.artefacts import ArtefactStore
from serving.errors import ArtefactUnusableError, BodyTooLargeError


@pytest.fixture
def store(tmp_path: Path) -> ArtefactStore:
    return ArtefactStore(tmp_path / "artefacts", limit=100_000)


def archive(*members: tuple[tarfile.TarInfo, bytes]) -> io.BytesIO:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return io.BytesIO(data.getvalue())


def link(name: str, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.SYMTYPE, target
    return info


def left_over(tmp_path: Path) -> list[str]:
    return [path.name for path in (tmp_path / "artefacts").iterdir() if path.name.startswith(".")]


def test_a_file_is_kept_under_the_digest_of_its_bytes(store: ArtefactStore, tmp_path: Path) -> None:
    stored = store.keep_stream(io.BytesIO(b"model"), "model.joblib")
    assert stored.digest == hashlib.sha256(b"model").hexdigest()
    assert (tmp_path / "artefacts" / stored.name).read_bytes() == b"model"
    assert store.keep_stream(io.BytesIO(b"model"), "other.bin") == stored
    assert not left_over(tmp_path)


def test_an_archive_is_unpacked_as_a_folder(store: ArtefactStore, tmp_path: Path) -> None:
    stored = store.keep_stream(archive((tarfile.TarInfo("a/b.py"), b"x = 1")), "m.tar.gz")
    assert (tmp_path / "artefacts" / stored.name / "a/b.py").read_bytes() == b"x = 1"


@pytest.mark.parametrize("name", ["../out", "a/../../out"])
def test_a_name_that_climbs_out_of_the_archive_is_refused(
    store: ArtefactStore, tmp_path: Path, name: str
) -> None:
    with pytest.raises(ArtefactUnusableError):
        store.keep_stream(archive((tarfile.TarInfo(name), b"x")), "m.tgz")
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "artefacts/out").exists()
    assert not left_over(tmp_path)


def test_an_absolute_name_is_taken_as_one_inside(store: ArtefactStore, tmp_path: Path) -> None:
    stored = store.keep_stream(archive((tarfile.TarInfo("/etc/leadsman-test"), b"x")), "m.tgz")
    assert not Path("/etc/leadsman-test").exists()
    assert (tmp_path / "artefacts" / stored.name / "etc/leadsman-test").exists()


def test_a_link_that_points_outside_is_refused(store: ArtefactStore, tmp_path: Path) -> None:
    with pytest.raises(ArtefactUnusableError):
        store.keep_stream(archive((link("a", "/etc/passwd"), b"")), "m.tgz")
    assert not left_over(tmp_path)


def test_an_archive_that_unpacks_to_more_than_the_limit_is_refused(store: ArtefactStore) -> None:
    with pytest.raises(BodyTooLargeError):
        store.keep_stream(archive((tarfile.TarInfo("a"), bytes(200_000))), "m.tgz")


def test_what_is_no_archive_is_refused(store: ArtefactStore) -> None:
    with pytest.raises(ArtefactUnusableError, match=r"\.tar\.gz"):
        store.keep_stream(io.BytesIO(b"not gzip"), "m.tar.gz")


def test_an_empty_or_too_long_upload_is_refused(store: ArtefactStore) -> None:
    with pytest.raises(ArtefactUnusableError, match="empty"):
        store.keep_stream(io.BytesIO(b""), "m.joblib")
    with pytest.raises(BodyTooLargeError):
        store.keep_stream(io.BytesIO(bytes(100_001)), "m.joblib")


def test_a_folder_on_disk_is_copied(store: ArtefactStore, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner/a.py").write_text("a = 1")
    stored = store.keep_uri(folder.as_uri())
    assert (tmp_path / "artefacts" / stored.name / "inner/a.py").read_text() == "a = 1"
    (folder / "inner/a.py").write_text("a = 2")
    assert store.keep_uri(str(folder)).digest != stored.digest


@pytest.mark.parametrize(
    "uri", ["relative/path", "http://host/x", "/no/such/file", "file://host/x"]
)
def test_a_uri_that_is_no_readable_path_is_refused(store: ArtefactStore, uri: str) -> None:
    with pytest.raises(ArtefactUnusableError):
        store.keep_uri(uri)
