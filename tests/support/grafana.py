"""A stand-in that keeps to the contract of Grafana's HTTP API, as its documentation for version 10
and later has it: no Grafana server could be had.

What it checks is what Grafana checks: the token, that bodies are JSON objects with their required
fields, uids and names taken, versions of dashboards. What is refused there is refused here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from dashboards.build import validator
from tests.support.http_server import Call, http_server

Json = dict[str, Any]
Answer = tuple[int, Any]
TOKEN = "glsa_token"
LONGEST_UID = 40


@dataclass(slots=True)
class FakeGrafana:
    """What it keeps, and what was asked of it."""

    url: str = ""
    folders: dict[str, Json] = field(default_factory=dict)
    sources: dict[str, Json] = field(default_factory=dict)
    dashboards: dict[str, Json] = field(default_factory=dict)
    """By uid: dashboard and folderUid."""
    calls: list[Call] = field(default_factory=list)
    edits_between: int = 0
    """So many times somebody else saves a dashboard between our look and our change."""
    prefix: str = ""

    @property
    def writes(self) -> list[str]:
        """What changed something."""
        return [f"{call.method} {call.path}" for call in self.calls if call.method != "GET"]

    def answer(self, call: Call) -> Answer:
        """Do what the API would."""
        self.calls.append(call)
        if call.headers.get("authorization") != f"Bearer {TOKEN}":
            return 401, {"message": "Invalid API key"}
        path = call.path.removeprefix(f"{self.prefix}/api/")
        if path == call.path:
            return 404, {"message": "Not found"}
        body: Json = {}
        if call.method in ("POST", "PUT"):
            if not call.headers.get("content-type", "").startswith("application/json"):
                return 415, {"message": "Unsupported media type"}
            body = call.body
        return self._route(call.method, path, body)

    def _route(self, method: str, path: str, body: Json) -> Answer:
        match method, path.split("/"):
            case "GET", ["folders", uid]:
                return _found(self.folders.get(uid), "folder not found")
            case "POST", ["folders"]:
                return self._make_folder(body)
            case "PUT", ["folders", uid]:
                return self._change_folder(uid, body)
            case "GET", ["datasources", "uid", uid]:
                return _found(self._shown(uid), "Data source not found")
            case "POST", ["datasources"]:
                return self._make_source(body)
            case "PUT", ["datasources", "uid", uid]:
                return self._change_source(uid, body)
            case "GET", ["dashboards", "uid", uid]:
                kept = self.dashboards.get(uid)
                if kept is None:
                    return 404, {"message": "Dashboard not found"}
                meta = {"folderUid": kept["folderUid"], "version": kept["dashboard"]["version"]}
                return 200, {"dashboard": kept["dashboard"], "meta": meta}
            case "POST", ["dashboards", "db"]:
                return self._save(body)
        return 404, {"message": "Not found"}

    def _make_folder(self, body: Json) -> Answer:
        if not body.get("title"):
            return 400, {"message": "folder title cannot be empty"}
        if body["uid"] in self.folders:
            return 412, {"message": "a folder with the same uid already exists"}
        self.folders[body["uid"]] = {"id": len(self.folders) + 1, **body, "version": 1}
        return 200, self.folders[body["uid"]]

    def _change_folder(self, uid: str, body: Json) -> Answer:
        folder = self.folders.get(uid)
        if folder is None:
            return 404, {"message": "folder not found"}
        if not body.get("overwrite") and body.get("version") != folder["version"]:
            return 412, {"message": "the folder has been changed by someone else"}
        folder |= {"title": body["title"], "version": folder["version"] + 1}
        return 200, folder

    def _shown(self, uid: str) -> Json | None:
        source = self.sources.get(uid)
        if source is None:
            return None
        shown = {key: value for key, value in source.items() if key != "secureJsonData"}
        return shown | {"secureJsonFields": dict.fromkeys(source.get("secureJsonData", {}), True)}

    def _make_source(self, body: Json) -> Answer:
        lacking = [one for one in ("name", "type", "access") if not body.get(one)]
        if lacking:
            return 400, {"message": f"bad request data: {lacking[0]} is required"}
        if any(one["name"] == body["name"] for one in self.sources.values()):
            return 409, {"message": "data source with the same name already exists"}
        self.sources[body["uid"]] = {"id": len(self.sources) + 1, "orgId": 1, **body, "version": 1}
        return 200, {"id": 1, "message": "Datasource added", "name": body["name"]}

    def _change_source(self, uid: str, body: Json) -> Answer:
        source = self.sources.get(uid)
        if source is None:
            return 404, {"message": "Data source not found"}
        if "version" in body and body["version"] != source["version"]:
            return 409, {"message": "Datasource has already been updated by someone else"}
        kept = source.get("secureJsonData", {}) | body.get("secureJsonData", {})
        source |= {**body, "version": source["version"] + 1}
        if kept:
            source["secureJsonData"] = kept
        return 200, {"id": source["id"], "message": "Datasource updated"}

    def _save(self, body: Json) -> Answer:
        made = dict(body["dashboard"])
        if not made.get("title"):
            return 400, {"message": "Dashboard title cannot be empty"}
        if len(made.get("uid") or "") > LONGEST_UID:
            return 400, {"message": "uid too long, max 40 characters"}
        if body.get("folderUid") not in self.folders:
            return 400, {"message": "folder not found"}
        fault = next(validator("dashboard").iter_errors({**made, "id": made.get("id") or 0}), None)
        if fault is not None:
            return 400, {"message": f"invalid dashboard: {fault.message}"}
        there = self.dashboards.get(made["uid"])
        if self.edits_between and there is not None:
            self.edits_between -= 1
            there["dashboard"]["version"] += 1
            there["dashboard"]["title"] = "changed by somebody"
        refused = self._conflict(made, there, body)
        if refused is not None:
            return refused
        number = there["dashboard"]["id"] if there else len(self.dashboards) + 1
        version = there["dashboard"]["version"] + 1 if there else 1
        kept = {**made, "id": number, "version": version}
        self.dashboards[made["uid"]] = {"dashboard": kept, "folderUid": body["folderUid"]}
        return 200, {"id": number, "uid": made["uid"], "status": "success", "version": version}

    def _conflict(self, made: Json, there: Json | None, body: Json) -> Answer | None:
        if made.get("id") and (there is None or there["dashboard"]["id"] != made["id"]):
            return 404, {"status": "not-found", "message": "Dashboard not found"}
        for uid, other in self.dashboards.items():
            same = other["dashboard"]["title"] == made["title"]
            if uid != made["uid"] and same and other["folderUid"] == body["folderUid"]:
                said = "A dashboard with the same name in the folder already exists"
                return 412, {"status": "name-exists", "message": said}
        if there is None or body.get("overwrite"):
            return None
        if made.get("version") != there["dashboard"]["version"]:
            said = "The dashboard has been changed by someone else"
            return 412, {"status": "version-mismatch", "message": said}
        return None


def _found(what: Json | None, message: str) -> Answer:
    return (404, {"message": message}) if what is None else (200, what)


@contextmanager
def fake_grafana(prefix: str = "") -> Iterator[FakeGrafana]:
    """One that listens, below a path where it is behind a proxy."""
    made = FakeGrafana(prefix=prefix)
    with http_server(made.answer) as server:
        made.url = server.url + prefix
        yield made
