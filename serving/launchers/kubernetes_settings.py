"""What an operator says of replicas in a cluster, as `SERVING_KUBERNETES_*` variables."""

import re
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

_ARTEFACTS = re.compile(r"(?P<kind>claim|host):(?P<place>.+)")
_BUDGET = re.compile(r"none|\d+|\d{1,2}%|100%")
_IMAGE = re.compile(r"[a-zA-Z0-9][\w.:/@-]*")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class KubernetesSettings(BaseSettings):
    """How the objects of a version look, beyond what the version itself says."""

    model_config = SettingsConfigDict(
        env_prefix="SERVING_KUBERNETES_",
        frozen=True,
        use_attribute_docstrings=True,
        extra="ignore",
        env_ignore_empty=True,
    )

    artefacts: str
    """Volume of the artefact folder as pods see it: `claim:NAME[/FOLDER]` or `host:/FOLDER`."""

    kubeconfig: Path | None = None
    """How the API server is reached; by default the pod's own account, else the usual file."""

    context: str | None = None
    """Context in that file; its current one by default."""

    namespace: str | None = None
    """Namespace of the replicas; by default that of this pod, of the context, or `default`."""

    image: str
    """Image of a version by its name in a registry, as `REGISTRY/leadsman-replica:{environment}`;
    `{framework}` and `{python}` are filled in too."""

    base_image: str = "python:{python}-slim"
    """Image that environments begin with: a part of what `{environment}` stands for."""

    image_pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    """When nodes ask the registry for an image."""

    image_pull_secret: str | None = None
    """Secret with the registry's credentials, in the namespace of the replicas."""

    labels: dict[str, str] = {}
    """Labels of every object beside our own, as JSON."""

    annotations: dict[str, str] = {}
    """Annotations of every pod, as JSON."""

    cpu_request: float = Field(default=0.1, gt=0)
    """Processors set aside for a replica of whose limit nothing was said."""

    memory_request_mb: int = Field(default=256, gt=0)
    """MiB set aside for a replica of whose limit nothing was said."""

    temporary_mb: int = Field(default=256, gt=0)
    """MiB of the only folder that a replica can write, `/tmp`."""

    probe_period: int = Field(default=10, ge=1)
    """Seconds between two looks at whether a replica is ready."""

    probe_timeout: int = Field(default=6, ge=1)
    """Seconds in which a replica must say hello to a probe; one in a long batch says it after."""

    probe_failures: int = Field(default=3, ge=1)
    """Probes in a row after which a replica is shown as not ready, or is restarted."""

    start_seconds: int = Field(default=600, ge=10)
    """Longest time that the node gives a model to load, with `liveness` on."""

    liveness: bool = False
    """Whether nodes restart replicas that fail their probe; serving's deadlines do it sooner."""

    max_unavailable: str = "1"
    """Replicas of a version that evictions may take at once: a number, a share, or `none`."""

    run_as_user: int | None = Field(default=None, gt=0)
    """User and group id of replicas; that of serving by default, and 65534 where that is root."""

    service_account: str | None = None
    """Account of the pods; no token of it is mounted."""

    node_selector: dict[str, str] = {}
    """Labels that nodes must have, as JSON."""

    tolerations: list[dict[str, Any]] = []
    """Taints that are tolerated, as JSON."""

    priority_class: str | None = None
    """Priority of the pods."""

    runtime_class: str | None = None
    """Container runtime of the pods, as a sandbox for models of strangers."""

    reconcile_interval: float = Field(default=15, gt=0)
    """Seconds between two comparisons of what is in the cluster with what should be."""

    pod_name: str | None = None
    """Name of serving's own pod: replicas go with it. Set by the manifest."""

    pod_uid: str | None = None
    """Its unique id. Set by the manifest."""

    pod_namespace: str | None = None
    """Its namespace. Set by the manifest."""

    @field_validator("artefacts")
    @classmethod
    def _is_a_volume(cls, value: str) -> str:
        match = _ARTEFACTS.fullmatch(value)
        if match is None or (match["kind"] == "host" and not match["place"].startswith("/")):
            raise ValueError("expected claim:NAME, claim:NAME/FOLDER or host:/FOLDER")
        return value

    @field_validator("max_unavailable")
    @classmethod
    def _is_a_budget(cls, value: str) -> str:
        if not _BUDGET.fullmatch(value):
            raise ValueError("expected a number, a share such as 50%, or none")
        return value

    @field_validator("namespace")
    @classmethod
    def _is_a_name(cls, value: str | None) -> str | None:
        if value is not None and not _NAME.fullmatch(value):
            raise ValueError("expected up to 63 lower-case letters, digits and inner hyphens")
        return value

    @field_validator("image")
    @classmethod
    def _is_a_template(cls, value: str) -> str:
        try:
            filled = value.format(environment="0", framework="sklearn", python="3.12")
        except (KeyError, IndexError, ValueError):
            raise ValueError("expected {environment}, {framework} and {python} at most") from None
        if not _IMAGE.fullmatch(filled):
            raise ValueError(
                "expected an image such as registry.example/leadsman-replica:{environment}"
            )
        return value

    @property
    def volume(self) -> tuple[str, str, str]:
        """Kind of the artefacts' volume, its name or path, and the folder in it."""
        kind, _, place = self.artefacts.partition(":")
        if kind == "host":
            return kind, place, ""
        name, _, folder = place.partition("/")
        return kind, name, folder.strip("/")
