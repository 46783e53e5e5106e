"""What can be set, and what can go wrong, is written down; the API says what it does."""

from collections.abc import Iterator
from pathlib import Path

from monitor.app import create_app
from monitor.errors import MonitorError
from monitor.settings import Settings
from monitor.watches.watch import WatchSettings

DOCS = Path(__file__).parents[3] / "docs"


def every_error(error: type[MonitorError] = MonitorError) -> Iterator[type[MonitorError]]:
    yield error
    for kind in error.__subclasses__():
        yield from every_error(kind)


def test_every_code_is_in_the_list_of_error_codes() -> None:
    text = (DOCS / "errors.md").read_text().partition("## Monitor")[2]
    missing = [e.code for e in every_error() if f"| `{e.code}` | {e.status} |" not in text]
    assert not missing


def test_every_setting_is_in_the_list_of_settings() -> None:
    text = (DOCS / "settings.md").read_text().partition("## Monitor")[2]
    names = [f"`MONITOR_{name.upper()}`" for name in Settings.model_fields]
    names += [f"`{name}`" for name in WatchSettings.model_fields]
    assert not [name for name in names if name not in text]


def test_every_operation_has_a_summary_and_a_description() -> None:
    document = create_app(Settings(database_url="postgresql://nowhere/none")).openapi()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation.get("summary"), f"{method} {path}"
            assert operation.get("description"), f"{method} {path}"
