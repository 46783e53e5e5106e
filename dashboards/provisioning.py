"""Files by which Grafana 10 and later finds data sources and dashboards at its start.

Addresses and the password come from Grafana's own environment, so that nothing secret is in a file.
"""

from pathlib import Path
from typing import Any

GENERATED = Path(__file__).parent / "generated"
"""Where the files lie in the package; a test compares them with what the code makes."""
CONSOLE = "http://127.0.0.1:8001"
"""Where the monitor's console is, unless the operator says otherwise."""
PROMETHEUS, POSTGRES = "leadsman-prometheus", "leadsman-postgres"
"""Unique names of the data sources: panels refer to them."""
FOLDER = "leadsman"
"""Unique name of the folder; its title is `FOLDER_TITLE`."""
FOLDER_TITLE = "Leadsman"
READER = "leadsman_reader"
"""The role as which Grafana reads the record; a migration makes it."""
MOUNTED_AT = "/var/lib/grafana/dashboards/leadsman"
"""Where Grafana finds the dashboards' files."""

VARIABLES = (
    "LEADSMAN_PROMETHEUS_URL", "LEADSMAN_POSTGRES_ADDRESS", "LEADSMAN_POSTGRES_DATABASE",
    "LEADSMAN_POSTGRES_USER", "LEADSMAN_POSTGRES_PASSWORD", "LEADSMAN_POSTGRES_SSLMODE",
)  # fmt: skip
"""What Grafana's environment must hold; docs/grafana.md says what."""


def prometheus(url: str) -> dict[str, Any]:
    """The data source of metrics, in the words of Grafana's API."""
    return {
        "uid": PROMETHEUS,
        "name": "Leadsman metrics",
        "type": "prometheus",
        "access": "proxy",
        "url": url,
        "isDefault": False,
        # As long as a scrape of deploy/prometheus/prometheus.yml: shorter rates would be empty.
        "jsonData": {"httpMethod": "POST", "timeInterval": "15s"},
    }


def postgres(address: str, database: str, user: str, password: str, sslmode: str) -> dict[str, Any]:
    """The data source of the record, in the words of Grafana's API."""
    return {
        "uid": POSTGRES,
        "name": "Leadsman record",
        # Grafana 10.0 knows it by this name; later ones call it grafana-postgresql-datasource and
        # understand both.
        "type": "postgres",
        "access": "proxy",
        "url": address,
        "user": user,
        "isDefault": False,
        # Both places of the database's name: Grafana 10 moved it from the first to the second.
        "database": database,
        "jsonData": {
            "database": database,
            "sslmode": sslmode,
            "postgresVersion": 1500,
            "timescaledb": False,
            "maxOpenConns": 5,
            "connMaxLifetime": 14400,
        },
        "secureJsonData": {"password": password},
    }


def data_sources() -> dict[str, Any]:
    """The file of data sources."""
    url, address, database, user, password, sslmode = (f"${{{name}}}" for name in VARIABLES)
    sources = [prometheus(url), postgres(address, database, user, password, sslmode)]
    return {
        "apiVersion": 1,
        "datasources": [{"orgId": 1, **one, "editable": False} for one in sources],
    }


def providers() -> dict[str, Any]:
    """The file that says where the dashboards are."""
    return {
        "apiVersion": 1,
        "providers": [
            {
                "name": "leadsman",
                "orgId": 1,
                "folder": FOLDER_TITLE,
                "folderUid": FOLDER,
                "type": "file",
                "disableDeletion": False,
                "allowUiUpdates": False,
                "updateIntervalSeconds": 30,
                "options": {"path": MOUNTED_AT},
            }
        ],
    }
