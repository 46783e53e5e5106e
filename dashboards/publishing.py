"""Brings folder, data sources and dashboards into a running Grafana over its HTTP API.

The one file that knows the package grafana-api. Of it the folder and dashboard calls are used; data
sources are named by their uid, which the package does not know and newer Grafanas insist on, so
those three calls go through its plain requests.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

import requests
from grafana_api.grafana_api import GrafanaClientError, GrafanaException
from grafana_api.grafana_face import GrafanaFace

from dashboards.provisioning import FOLDER, FOLDER_TITLE

Json = dict[str, Any]
Done = Literal["made", "changed", "unchanged"]

TIMEOUT_SECONDS = 20.0
_GRAFANAS_OWN = ("id", "version")
"""What Grafana writes into a dashboard itself."""
_NOT_FOUND, _PRECONDITION_FAILED = 404, 412


class PublishError(Exception):
    """Grafana did not take something, or gave no answer."""


@dataclass(frozen=True, slots=True)
class Published:
    """What became of one thing."""

    kind: str
    uid: str
    done: Done


class Grafana:
    """One Grafana, as its API has it.

    Parameters
    ----------
    url
        Where it is, e.g. ``https://grafana.example.com/grafana``.
    token
        Of a service account with the role Admin, which data sources need.
    """

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise PublishError(f"expected http(s)://host[:port][/path], received {url!r}")
        path = parts.path.strip("/")
        self._url = url
        self._face: Any = GrafanaFace(
            auth=token,
            host=parts.hostname,
            port=parts.port,
            protocol=parts.scheme,
            url_path_prefix=f"{path}/" if path else "",
            timeout=TIMEOUT_SECONDS,
        )

    def publish(self, sources: Iterable[Json], dashboards: Iterable[Json]) -> list[Published]:
        """Make or change what is not there as it should be; may be repeated at any time.

        Raises
        ------
        PublishError
            With Grafana's own words. What was done before stays done.
        """
        done = [Published("folder", FOLDER, self._folder())]
        done += [Published("data source", one["uid"], self._source(one)) for one in sources]
        done += [Published("dashboard", one["uid"], self._dashboard(one)) for one in dashboards]
        return done

    def _folder(self) -> Done:
        there = self._found(lambda: self._face.folder.get_folder(FOLDER), "folder")
        if there is None:
            self._call(lambda: self._face.folder.create_folder(FOLDER_TITLE, FOLDER), "folder")
            return "made"
        if there["title"] == FOLDER_TITLE:
            return "unchanged"
        change = {"title": FOLDER_TITLE, "overwrite": True}
        self._call(lambda: self._face.api.PUT(f"/folders/{FOLDER}", json=change), "folder")
        return "changed"

    def _source(self, wanted: Json) -> Done:
        uid, api = wanted["uid"], self._face.api
        there = self._found(lambda: api.GET(f"/datasources/uid/{uid}"), f"data source {uid}")
        if there is None:
            self._call(lambda: api.POST("/datasources", json=wanted), f"data source {uid}")
            return "made"
        shown = {key: value for key, value in wanted.items() if key != "secureJsonData"}
        # Nobody can read a password back: where one is given it is written again.
        if "secureJsonData" not in wanted and _holds(there, shown):
            return "unchanged"
        self._call(lambda: api.PUT(f"/datasources/uid/{uid}", json=wanted), f"data source {uid}")
        return "unchanged" if _holds(there, shown) else "changed"

    def _dashboard(self, wanted: Json) -> Done:
        uid = wanted["uid"]
        for attempt in (1, 2):
            face = self._face.dashboard
            there = self._found(lambda: face.get_dashboard(uid), f"dashboard {uid}")  # noqa: B023
            body = {"folderUid": FOLDER, "overwrite": False, "message": "leadsman dashboards"}
            if there is None:
                dashboard: Json = {**wanted, "id": None}
            else:
                stands = {k: v for k, v in there["dashboard"].items() if k not in _GRAFANAS_OWN}
                if stands == wanted and there["meta"].get("folderUid") == FOLDER:
                    return "unchanged"
                # With the number that it had: a change that somebody makes now is not lost unseen.
                dashboard = {**wanted, **{k: there["dashboard"][k] for k in _GRAFANAS_OWN}}
            try:
                face.update_dashboard({**body, "dashboard": dashboard})
            except GrafanaClientError as error:
                if error.status_code == _PRECONDITION_FAILED and attempt == 1:
                    continue
                raise self._failed(f"dashboard {uid}", error) from error
            except (GrafanaException, requests.RequestException) as error:
                raise self._failed(f"dashboard {uid}", error) from error
            return "made" if there is None else "changed"
        raise AssertionError("the second attempt returns or raises")

    def _found(self, ask: Callable[[], Any], what: str) -> Json | None:
        try:
            answer: Json = ask()
        except GrafanaClientError as error:
            if error.status_code == _NOT_FOUND:
                return None
            raise self._failed(what, error) from error
        except (GrafanaException, requests.RequestException) as error:
            raise self._failed(what, error) from error
        return answer

    def _call(self, ask: Callable[[], Any], what: str) -> None:
        try:
            ask()
        except (GrafanaException, requests.RequestException) as error:
            raise self._failed(what, error) from error

    def _failed(self, what: str, error: Exception) -> PublishError:
        if isinstance(error, GrafanaException):
            return PublishError(f"Grafana at {self._url} refused the {what}: {error.message}")
        return PublishError(f"no answer from Grafana at {self._url}: {type(error).__name__}")


def _holds(there: Json, wanted: Json) -> bool:
    """Whether everything that is wanted is there; Grafana adds fields of its own."""
    for key, value in wanted.items():
        if isinstance(value, dict):
            if not _holds(there.get(key) or {}, value):
                return False
        elif there.get(key) != value:
            return False
    return True
