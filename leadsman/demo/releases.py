"""What the demo's people do over REST: make an application, register versions, change routes."""

import json
import threading
from typing import Any

from leadsman.client import Client
from leadsman.connection import Connection
from leadsman.demo.market import input_schema
from leadsman.demo.training import Trained

MODEL = "market"

LATENCY_OBJECTIVE_MS = 500
"""Wide, since the demo's machine also runs its clients, its trainer and its database."""


class Releases:
    """Calls the admin API; several threads may.

    Parameters
    ----------
    connection
        Addresses and admin key.
    application
        Whose route it changes.
    """

    def __init__(self, connection: Connection, application: str) -> None:
        self._client = Client(connection)
        self._application = application
        self._path = f"/v1/applications/{application}"
        self._registered = 0
        self._lock = threading.Lock()

    def make_application(self) -> None:
        """Make the application with its input schema and default output."""
        self._client.serving(
            "POST",
            "/v1/applications",
            {
                "name": self._application,
                "task": "binary",
                "input_schema": input_schema(),
                "default_output": 0,
                "latency_objective_ms": LATENCY_OBJECTIVE_MS,
            },
        )

    def next_version(self) -> str:
        """Name of the next version."""
        return f"v{self._registered + 1}"

    def register(self, version: str, trained: Trained) -> str:
        """Upload an artefact with its reference; return its name as routes say it."""
        path = f"/v1/models/{MODEL}/versions"
        manifest = {"version": version, "framework": "sklearn"}
        self._client.serving(
            "POST",
            path,
            data={"manifest": json.dumps(manifest)},
            files={"artefact": ("model.joblib", trained.artefact, "application/octet-stream")},
        )
        self._client.serving("PUT", f"{path}/{version}/reference", trained.reference)
        self._registered += 1
        return f"{MODEL}:{version}"

    def route(self) -> dict[str, Any]:
        """Return the revision in force."""
        found: dict[str, Any] = self._client.serving("GET", f"{self._path}/route")
        return found

    def champion(self) -> str:
        """Version whose answers count."""
        return str(self.route()["policy"]["champion"])

    def serve(self, policy: dict[str, Any], reason: str) -> dict[str, Any]:
        """Put a policy in force."""
        body = {"policy": policy, "reason": reason}
        revision: dict[str, Any] = self._client.serving("PUT", f"{self._path}/route", body)
        return revision

    def challenge(self, version: str, reason: str) -> None:
        """Put a version in the shadow, beside those that guard the champion."""
        with self._lock:
            policy = self.route()["policy"]
            others = [one for one in policy.get("challengers", []) if one != version]
            self._shadow(policy["champion"], [*others, version], reason)

    def withdraw(self, version: str) -> None:
        """Take a version out of the shadow."""
        with self._lock:
            policy = self.route()["policy"]
            others = [one for one in policy.get("challengers", []) if one != version]
            self._shadow(policy["champion"], others, f"{version} was not better")

    def _shadow(self, champion: str, challengers: list[str], reason: str) -> None:
        policy = {"kind": "shadow", "champion": champion, "challengers": challengers}
        self.serve(policy if challengers else {"kind": "single", "champion": champion}, reason)

    def webhook(self, url: str) -> str:
        """Have the monitor call a URL about grave alerts; return the secret it signs with."""
        body = {"url": url, "applications": [self._application], "tiers": ["page", "rollback"]}
        made = self._client.monitor("POST", "/v1/webhooks", body)
        return str(made["secret"])

    def close(self) -> None:
        """Close the connections."""
        self._client.__exit__(None, None, None)
