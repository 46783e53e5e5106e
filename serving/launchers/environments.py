"""What the image of a version is made from, and the name that follows from it."""

import hashlib
import io
import re
import sys
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import serving.replica
from serving.records import Version

DOCKERFILE = Path(__file__).with_name("replica.Dockerfile")
"""How an image is built."""

REPOSITORY = "leadsman-replica"
"""Name of the images; the tag is the digest of what they are made from."""

LIBRARIES = {
    "sklearn": ("scikit-learn", "scipy", "joblib", "skops"),
    "python": ("cloudpickle",),
    "tensorflow": ("tensorflow", "tensorflow-cpu", "keras"),
    "spark": ("pyspark", "pandas", "pyarrow"),
    "pytorch": ("torch",),
    "xgboost": ("xgboost", "xgboost-cpu", "scikit-learn"),
    "lightgbm": ("lightgbm", "scikit-learn"),
    "onnx": ("onnxruntime",),
    "mlflow": ("mlflow", "mlflow-skinny", "pandas", "scikit-learn"),
    "river": ("river", "pandas"),
}
"""Distributions that a framework's artefacts need, for versions that state no requirements: of each
the release that the service has itself, if it has one."""

OWN_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
"""The service's, as `3.12`."""

NEEDED = "numpy"
"""What the replica program itself imports."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True)
class Environment:
    """Everything that goes into an image."""

    base: str
    """Image that it begins with."""
    requirements: tuple[str, ...]
    """As pip reads them, sorted."""

    @property
    def text(self) -> str:
        """The requirements as a file."""
        return "".join(f"{one}\n" for one in self.requirements)

    @property
    def digest(self) -> str:
        """sha256 of all that the image is made from, shortened."""
        sha = hashlib.sha256(f"{self.base}\n{self.text}\n".encode())
        for name, data in _files():
            sha.update(f"{name}\0{len(data)}\0".encode() + data)
        return sha.hexdigest()[:16]

    @property
    def image(self) -> str:
        """Name and tag."""
        return f"{REPOSITORY}:{self.digest}"

    def context(self) -> io.BytesIO:
        """What the build reads, as a tar file."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            for name, data in [*_files(), ("requirements.txt", self.text.encode())]:
                member = tarfile.TarInfo(name)
                member.size, member.mode = len(data), 0o644
                tar.addfile(member, io.BytesIO(data))
        packed.seek(0)
        return packed


def environment_of(version: Version, base: str) -> Environment:
    """What a version's image is made from.

    Parameters
    ----------
    base
        Image to begin with; `{python}` in it becomes the Python that the version states, as `3.12`,
        or the service's own.
    """
    return environment_for(version.framework, version.manifest, base)


def environment_for(framework: str, manifest: Mapping[str, Any], base: str) -> Environment:
    """As `environment_of`, of a version that need not be there."""
    python = stated_python(manifest) or OWN_PYTHON
    requirements = _requirements(framework, manifest.get("requirements"))
    return Environment(base.replace("{python}", python), requirements)


def requirements_of(version: Version) -> tuple[str, ...]:
    """What a version states, or its framework's packages as the service has them; with numpy."""
    return _requirements(version.framework, version.manifest.get("requirements"))


def _requirements(framework: str, stated: Sequence[str] | None) -> tuple[str, ...]:
    wanted = list(stated) if stated else _own_releases(framework)
    if not any(_distribution(one) == NEEDED for one in wanted):
        # Of stated ones the resolver may choose: an old release of theirs wants an old numpy.
        wanted.append(NEEDED if stated else _pinned(NEEDED) or NEEDED)
    return tuple(sorted(set(wanted)))


def python_of(version: Version) -> str:
    """The Python that a version states, as `3.12`, or the service's own."""
    return stated_python(version.manifest) or OWN_PYTHON


def stated_python(manifest: Mapping[str, Any]) -> str | None:
    """The Python that a manifest states, as `3.12`."""
    stated = re.match(r"\d+\.\d+", str(manifest.get("python") or ""))
    return stated[0] if stated else None


def _own_releases(framework: str) -> list[str]:
    pinned = [_pinned(name) for name in LIBRARIES.get(framework, ())]
    return [one for one in pinned if one is not None]


def _pinned(name: str) -> str | None:
    try:
        return f"{name}=={metadata.version(name)}"
    except metadata.PackageNotFoundError:
        return None


def _distribution(requirement: str) -> str:
    found = _NAME.match(requirement.strip())
    return found[0].lower() if found else ""


def _files() -> list[tuple[str, bytes]]:
    """The Dockerfile and the replica's package, nothing else of ours."""
    package = Path(serving.replica.__file__).parent
    sources = sorted(package.rglob("*.py"))
    files = [("Dockerfile", DOCKERFILE.read_bytes()), ("serving/__init__.py", b"")]
    named = ((f"serving/replica/{one.relative_to(package).as_posix()}", one) for one in sources)
    return files + [(name, one.read_bytes()) for name, one in named]
