"""An API server's part of HTTP over objects in memory, for tests of what is asked of one.

It keeps what it is given, counts generations, makes pods for Deployments and takes them away. It
admits and defaults nothing: what a real one says is for `make test-kubernetes`.
"""

import json
import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

KINDS = {
    "deployments": "Deployment", "services": "Service", "pods": "Pod",
    "poddisruptionbudgets": "PodDisruptionBudget",
}  # fmt: skip
GONE = "2026-01-01T00:00:00Z"
MADE = "2026-01-01T00:00:00Z"


@dataclass
class Asked:
    """One request that changes something."""

    verb: str
    kind: str
    name: str
    grace: int | None = None
    body: Any = None


@dataclass
class StandIn:
    """The objects, and what was asked."""

    objects: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    hangs: bool = False
    """Whether it takes requests and never answers."""
    chatters: bool = False
    """Whether logs have no end."""
    lock: threading.RLock = field(default_factory=threading.RLock)
    leaves_at_once: bool = True
    """Whether a deleted pod has gone when that is answered."""
    port: int = 0
    released: threading.Event = field(default_factory=threading.Event)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def of_kind(self, kind: str) -> list[dict[str, Any]]:
        """All objects of a kind."""
        return [one for (of, _), one in list(self.objects.items()) if of == kind]

    def only(self, kind: str) -> dict[str, Any]:
        """The only object of a kind."""
        (one,) = self.of_kind(kind)
        return one

    def edit(self, kind: str, change: dict[str, Any]) -> None:
        """Somebody else changes the only object of a kind."""
        one = self.only(kind)
        self.put(kind, _merged(one, change))

    def put(self, kind: str, given: dict[str, Any]) -> dict[str, Any]:
        """Keep an object as a server does."""
        with self.lock:
            name = given["metadata"]["name"]
            before = self.objects.get((kind, name))
            number = next(self._numbers)
            kept = deepcopy(given)
            meta = kept["metadata"]
            meta["uid"] = before["metadata"]["uid"] if before else f"uid-{number}"
            meta["creationTimestamp"] = MADE
            meta["resourceVersion"] = str(number)
            changed = before is None or before.get("spec") != kept.get("spec")
            meta["generation"] = (before or kept)["metadata"].get("generation", 0) + changed
            kept["kind"] = KINDS[kind]
            self.objects[kind, name] = kept
            if kind == "deployments":
                self._scale(kept)
            return kept

    def _scale(self, deployment: dict[str, Any]) -> None:
        template, name = deployment["spec"]["template"], deployment["metadata"]["name"]
        labels = template["metadata"]["labels"]
        there = [
            one
            for one in self.of_kind("pods")
            if one["metadata"]["labels"] == labels and "deletionTimestamp" not in one["metadata"]
        ]
        for _ in range(deployment["spec"]["replicas"] - len(there)):
            pod = {
                "metadata": {"name": f"{name}-{next(self._numbers)}", "labels": labels},
                "spec": template["spec"], "status": {"phase": "Pending"},
            }  # fmt: skip
            self.put("pods", pod)
        for one in there[deployment["spec"]["replicas"] :]:
            self.delete("pods", one["metadata"]["name"])

    def status(self, **container: Any) -> None:
        """A node says how the containers of all pods are."""
        for pod in self.of_kind("pods"):
            one = {
                "name": "replica", "image": "x", "imageID": "", "ready": False, "restartCount": 0,
                **container,
            }  # fmt: skip
            pod["status"] = {"phase": "Pending", "podIP": "127.0.0.1", "containerStatuses": [one]}

    def delete(self, kind: str, name: str) -> dict[str, Any] | None:
        """Take an object away; a pod of a Deployment with a number comes again."""
        with self.lock:
            one = self.objects.get((kind, name))
            if one is None:
                return None
            if kind == "pods" and not self.leaves_at_once:
                one["metadata"]["deletionTimestamp"] = GONE
            else:
                del self.objects[kind, name]
            if kind == "pods":
                for other in self.of_kind("deployments"):
                    self._scale(other)
            return one

    def kubeconfig(self, path: Path) -> Path:
        """A file by which this is reached."""
        content = {
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        }  # fmt: skip
        path.write_text(yaml.safe_dump(content))
        return path


def _merged(one: Any, change: Any) -> Any:
    """As a merge patch does it."""
    if not isinstance(one, dict) or not isinstance(change, dict):
        return change
    merged = one | {name: _merged(one.get(name), value) for name, value in change.items()}
    return {name: value for name, value in merged.items() if value is not None}


@contextmanager
def serving_at(stand_in: StandIn, port: int = 0) -> Iterator[StandIn]:
    """Answer on a port of loopback."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _do(self) -> None:
            if stand_in.hangs:
                stand_in.released.wait(30)
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            if stand_in.chatters and urlsplit(self.path).path.endswith("/log"):
                self._chatter()
                return
            status, answer = _answer(stand_in, self.command, self.path, body)
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(data)

        def _chatter(self) -> None:
            """Write a log to which more is written faster than it is read."""
            asked = parse_qs(urlsplit(self.path).query)
            left = int(asked["limitBytes"][0]) if "limitBytes" in asked else math.inf
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Connection", "close")
            self.end_headers()
            while left > 0 and not stand_in.released.is_set():
                line = b"x" * int(min(left, 1 << 14))
                self.wfile.write(line)
                left -= len(line)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _do  # noqa: N815

        def log_message(self, *_: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    stand_in.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield stand_in
    finally:
        stand_in.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


def _answer(of: StandIn, verb: str, path: str, body: Any) -> tuple[int, Any]:
    split = urlsplit(path)
    query = parse_qs(split.query)
    if split.path == "/apis/":
        version = {"groupVersion": "policy/v1", "version": "v1"}
        group = {"name": "policy", "versions": [version]}
        return 200, {"kind": "APIGroupList", "groups": [group]}
    kind, name, *below = [*split.path.split("/namespaces/")[1].split("/")[1:], ""]
    if below and below[0] == "log":
        return 400, {"kind": "Status", "message": "it has no log"}
    with of.lock:
        if verb == "GET" and not name:
            return 200, {"kind": f"{KINDS[kind]}List", "items": _selected(of, kind, query)}
        if verb != "GET":
            given = int(query["gracePeriodSeconds"][0]) if "gracePeriodSeconds" in query else None
            named = name or body["metadata"]["name"]
            of.asked.append(Asked(verb, kind, named, given, body))
        if verb == "POST":
            if (kind, body["metadata"]["name"]) in of.objects:
                return 409, {"kind": "Status", "message": "it is there already"}
            return 201, of.put(kind, body)
        found = of.objects.get((kind, name))
        if found is None:
            return 404, {"kind": "Status", "message": f"{kind} {name} not found"}
        if verb == "DELETE":
            return 200, of.delete(kind, name)
        if verb in ("PUT", "PATCH"):
            return 200, of.put(kind, body if verb == "PUT" else _merged(found, body))
        return 200, found


def _selected(of: StandIn, kind: str, query: dict[str, list[str]]) -> list[dict[str, Any]]:
    wanted = dict(one.split("=") for one in query.get("labelSelector", [""])[0].split(",") if one)
    return [one for one in of.of_kind(kind) if wanted.items() <= one["metadata"]["labels"].items()]
