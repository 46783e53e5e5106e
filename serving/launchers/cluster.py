"""The API server of a cluster: every call to it has a time limit."""

import copy
import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import urllib3
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException

from serving.launchers.base import LauncherUnavailableError, StartRefusedError
from serving.launchers.calls import Calls
from serving.launchers.kubernetes_settings import KubernetesSettings

TIMEOUT = (5.0, 10.0)
"""Seconds to connect, and to wait for an answer."""
LOG_BYTES = 1 << 20
"""Read of one log at the most."""
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its own account."""
NOT_FOUND, CONFLICT, BUSY = 404, 409, 429
ATTEMPTS = 5
"""Attempts to replace an object that others write too."""
PAUSE = 0.2
"""Seconds between them: one that is being deleted goes in a moment."""
log = logging.getLogger("serving.launchers")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object and the calls for it, as the client names them."""

    api: str
    noun: str

    def call(self, api_client: client.ApiClient, verb: str) -> Callable[..., Any]:
        """The client's method for a verb."""
        method: Callable[..., Any] = getattr(
            getattr(client, self.api)(api_client), f"{verb}_namespaced_{self.noun}"
        )
        return method


DEPLOYMENTS = Kind("AppsV1Api", "deployment")
SERVICES = Kind("CoreV1Api", "service")
BUDGETS = Kind("PolicyV1Api", "pod_disruption_budget")
PODS = Kind("CoreV1Api", "pod")


class Cluster(Calls):
    """A cluster, as the settings name it, else as this pod or the usual file does."""

    def __init__(self, settings: KubernetesSettings) -> None:
        super().__init__("cluster")
        self._settings = settings
        self._client: client.ApiClient | None = None
        self._has_budgets: bool | None = None

    def _in_our_words(self, error: Exception) -> OSError | None:
        if isinstance(error, ApiException):
            status = int(error.status or 0)
            if status in (0, BUSY) or status >= 500:
                return LauncherUnavailableError(self._what(), _said(error))
            return StartRefusedError(self._what(), f"{status}: {_said(error)}")
        if isinstance(error, urllib3.exceptions.HTTPError):
            return LauncherUnavailableError(self._what(), str(error))
        if isinstance(error, ConfigException):
            return LauncherUnavailableError("a Kubernetes cluster", str(error))
        return None

    def _what(self) -> str:
        host = "" if self._client is None else f" at {self._client.configuration.host}"
        return f"the Kubernetes API server{host}"

    @property
    def client(self) -> client.ApiClient:
        """The client; made at the first call, which is when somebody must answer."""
        if self._client is None:
            configuration = client.Configuration()
            # Whoever asked is told; whether it is tried again is decided above.
            configuration.retries = False
            if self._is_in_pod():
                config.load_incluster_config(client_configuration=configuration)
            else:
                config.load_kube_config(
                    config_file=_text(self._settings.kubeconfig),
                    context=self._settings.context,
                    client_configuration=configuration,
                    persist_config=False,
                )
            self._client = client.ApiClient(configuration)
        return self._client

    def _is_in_pod(self) -> bool:
        outside = (
            self._settings.kubeconfig or self._settings.context or os.environ.get("KUBECONFIG")
        )
        return not outside and "KUBERNETES_SERVICE_HOST" in os.environ

    def namespace(self) -> str:
        """The namespace of the replicas; asks nobody."""
        if self._settings.namespace:
            return self._settings.namespace
        if self._is_in_pod():
            return (ACCOUNT / "namespace").read_text().strip()
        try:
            contexts, current = config.list_kube_config_contexts(_text(self._settings.kubeconfig))
        except ConfigException:
            return "default"
        wanted = self._settings.context or current["name"]
        named = next((one for one in contexts if one["name"] == wanted), current)
        return str(named["context"].get("namespace") or "default")

    def ask(self, kind: Kind, verb: str, *args: Any, **kwargs: Any) -> Any:
        """Call the client's method for a kind of object."""
        return kind.call(self.client, verb)(*args, **kwargs, _request_timeout=TIMEOUT)

    def plain(self, made: Any) -> Any:
        """An object as the server writes it."""
        plain = self.client.sanitize_for_serialization(made)
        # Items of a list do not say what they are.
        return {name: plain[name] for name in ("metadata", "spec")}

    def find(self, kind: Kind, labels: dict[str, str]) -> list[Any]:
        """Every object of a kind with these labels."""
        if kind is BUDGETS and not self.has_budgets():
            return []
        selector = ",".join(f"{name}={value}" for name, value in labels.items())
        found = self.ask(kind, "list", self.namespace(), label_selector=selector)
        return list(found.items)

    def put(self, kind: Kind, wanted: Any) -> Any:
        """Make an object what it should be: created where it is not there, else replaced."""
        name, namespace = wanted.metadata.name, wanted.metadata.namespace
        for _ in range(ATTEMPTS):
            try:
                return self.ask(kind, "create", namespace, wanted)
            except ApiException as error:
                if error.status != CONFLICT:
                    raise
            try:
                found = self.ask(kind, "read", name, namespace)
                if found.metadata.deletion_timestamp is None:
                    replacement = copy.deepcopy(wanted)
                    replacement.metadata.resource_version = found.metadata.resource_version
                    return self.ask(kind, "replace", name, namespace, replacement)
            except ApiException as error:
                if error.status not in (CONFLICT, NOT_FOUND):
                    raise
            time.sleep(PAUSE)
        raise StartRefusedError(self._what(), f"{kind.noun} {name} changes faster than it is read")

    def delete(self, kind: Kind, name: str, *, grace: int | None = None) -> None:
        """Delete an object and what belongs to it; that it has gone already is as good."""
        try:
            # The server answers with the object or with a status, of which the client knows one.
            answer = self.ask(
                kind, "delete", name, self.namespace(), propagation_policy="Background",
                grace_period_seconds=grace, _preload_content=False,
            )  # fmt: skip
            answer.drain_conn()
            answer.release_conn()
        except ApiException as error:
            if error.status != NOT_FOUND:
                raise

    def empty(self, deployment: str) -> None:
        """Ask a Deployment for no pods at all; that it has gone already is as good."""
        try:
            self.ask(DEPLOYMENTS, "patch", deployment, self.namespace(), {"spec": {"replicas": 0}})
        except ApiException as error:
            if error.status != NOT_FOUND:
                raise

    def log_of(self, pod: str, *, previous: bool, lines: int) -> str:
        """The end of what a pod's only container wrote, or wrote before it was started again.

        Of one that writes faster than it is read there is no end: so much is read and no more.
        """
        said = client.CoreV1Api(self.client).read_namespaced_pod_log(
            pod, self.namespace(), previous=previous, tail_lines=lines, limit_bytes=LOG_BYTES,
            _request_timeout=TIMEOUT,
        )  # fmt: skip
        return str(said)

    def has_budgets(self) -> bool:
        """Whether the server has disruption budgets in the form of `policy/v1` (from 1.21 on)."""
        if self._has_budgets is None:
            groups = client.ApisApi(self.client).get_api_versions(_request_timeout=TIMEOUT).groups
            self._has_budgets = any(
                one.group_version == "policy/v1" for group in groups for one in group.versions
            )
            if not self._has_budgets:
                log.warning("disruption_budgets_left_out why=the_server_has_no_policy/v1")
        return self._has_budgets


def _said(error: ApiException) -> str:
    """The server's own sentence, of what may be a page."""
    try:
        return str(json.loads(error.body or "")["message"])
    except (ValueError, KeyError, TypeError):
        return str(error.reason or error.body or error)


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
