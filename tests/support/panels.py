"""What panels, rules and dashboards ask of a real Prometheus and of the real record."""

import re
import secrets
from collections.abc import Collection, Iterator
from typing import Any

import asyncpg

from dashboards import build
from dashboards.provisioning import READER
from tests.support.prometheus import Prometheus


def empty_panels(
    asked: Prometheus,
    applications: Collection[str],
    versions: Collection[str],
    *,
    within: str | None = None,
) -> list[tuple[str, str]]:
    """Panels one of whose queries finds no series of any application, and the query.

    Now, or at any second of a time until now, as a panel that shows that time would.
    """
    regex = "|".join(versions)
    # What Grafana puts in place of its variables in PromQL, but for the application.
    makes = {"$__rate_interval": "1m", "${version:regex}": regex, "$version": regex, "$segment": ""}
    empty = []
    for title, panel in _panels():
        for target in panel["targets"]:
            if "expr" not in target:
                continue
            expression = target["expr"]
            for name, value in makes.items():
                expression = expression.replace(name, value)
            for_each = [expression.replace("$application", name) for name in applications]
            assert "$" not in for_each[0], expression
            if within is not None:
                for_each = [f"last_over_time(({one})[{within}:1s])" for one in for_each]
            if not any(asked.query(one) for one in dict.fromkeys(for_each)):
                empty.append((f"{title} / {panel['title']}", expression))
    return empty


def _panels() -> list[tuple[str, dict[str, Any]]]:
    return [
        (dashboard["title"], panel)
        for dashboard in build.dashboards()
        for panel in dashboard["panels"]
        if panel["type"] != "row"
    ]


async def empty_statements(
    database: str, applications: Collection[str], versions: Collection[str]
) -> list[tuple[str, str]]:
    """Statements of dashboards that give Grafana's role no row of any application."""
    login, password = f"grafana_{secrets.token_hex(4)}", secrets.token_hex(16)
    owner = await asyncpg.connect(database)
    await owner.execute(f"CREATE ROLE {login} LOGIN PASSWORD '{password}' IN ROLE {READER}")
    reader = await asyncpg.connect(database, user=login, password=password)
    empty = []
    try:
        for name, sql in _statements():
            rows = [await reader.fetch(_filled(sql, one, versions)) for one in applications]
            if not any(rows):
                empty.append((name, sql))
    finally:
        await reader.close()
        await owner.execute(f"DROP ROLE {login}")
        await owner.close()
    return empty


def _statements() -> Iterator[tuple[str, str]]:
    for dashboard in build.dashboards():
        for note in dashboard["annotations"]["list"]:
            yield f"{dashboard['title']} / {note['name']}", note["target"]["rawSql"]
        for variable in dashboard["templating"]["list"]:
            if variable.get("datasource", {}).get("type") == "postgres":
                yield f"{dashboard['title']} / ${variable['name']}", variable["query"]
        for panel in dashboard["panels"]:
            for target in panel.get("targets", ()):
                if "rawSql" in target:
                    yield f"{dashboard['title']} / {panel['title']}", target["rawSql"]


def _filled(sql: str, application: str, versions: Collection[str]) -> str:
    """What Grafana's data source for Postgres makes of its macros and variables."""
    quoted = ",".join(f"'{one}'" for one in versions)
    sql = re.sub(
        r"\$__timeFilter\(([^)]+)\)",
        r"\1 BETWEEN '2026-01-01T00:00:00Z' AND '2036-01-01T00:00:00Z'", sql,
    )  # fmt: skip
    sql = sql.replace("$__unixEpochTo()", "7200").replace("$__unixEpochFrom()", "3600")
    sql = sql.replace("${application:sqlstring}", f"'{application}'")
    sql = sql.replace("${version:sqlstring}", quoted).replace("${segment:sqlstring}", "''")
    assert "$" not in sql, sql
    return sql
