"""What is documented is what there is."""

import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import PostgresDsn

from serving.api.problems import TYPE_PREFIX, problem
from serving.app import create_api
from serving.errors import FieldError, InvalidRequestError, every_error
from serving.launchers.kubernetes_settings import KubernetesSettings
from serving.settings import Settings

ROOT = Path(__file__).parents[3]
METHODS = ("get", "put", "post", "patch", "delete")


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    settings = Settings(database_url=PostgresDsn("postgresql://a:b@localhost:1/c"))
    return create_api(settings).openapi()


def operations(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{method.upper()} {path}", item[method])
        for path, item in document["paths"].items()
        for method in METHODS
        if method in item
    ]


def test_every_code_is_in_the_list_of_error_codes() -> None:
    text = (ROOT / "docs/errors.md").read_text()
    missing = [one.code for one in every_error() if f"| `{one.code}` | {one.status} |" not in text]
    assert not missing


def test_codes_are_unique_and_every_error_has_a_title() -> None:
    codes = [one.code for one in every_error()]
    assert len(codes) == len(set(codes))
    assert all(one.title for one in every_error())


def test_every_setting_is_in_the_list_of_settings() -> None:
    text = (ROOT / "docs/settings.md").read_text()
    fields = (*Settings.model_fields, *(f"kubernetes_{n}" for n in KubernetesSettings.model_fields))
    missing = [name for name in fields if f"`SERVING_{name.upper()}`" not in text]
    assert not missing


def test_a_problem_names_each_wrong_field() -> None:
    body = problem(InvalidRequestError([FieldError("/a", "a number", '"x"')]))
    assert body["type"] == TYPE_PREFIX + body["code"]
    assert body["errors"] == [{"path": "/a", "expected": "a number", "received": '"x"'}]


def test_every_operation_says_what_it_does_and_what_it_answers(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        assert operation.get("summary"), name
        assert operation.get("description"), name
        good = [code for code in operation["responses"] if code.startswith("2")]
        assert good, name
        for code in good:
            answer = operation["responses"][code]
            assert code == "204" or answer.get("content"), f"{name} {code}"
            for form in answer.get("content", {}).values():
                assert form.get("schema"), f"{name} {code}"


def test_every_error_of_every_operation_is_a_problem(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        bad = {code: one for code, one in operation["responses"].items() if code >= "400"}
        assert "500" in bad, name
        for code, answer in bad.items():
            if name.startswith("GET ") and name.endswith(("/ready", "/readyz")) and code == "503":
                assert "application/json" in answer["content"], name
                continue
            schema = answer["content"]["application/problem+json"]["schema"]
            assert schema == {"$ref": "#/components/schemas/Problem"}, f"{name} {code}"


PUBLIC = {
    "GET /livez", "GET /readyz", "GET /metrics", "GET /v2", "GET /v2/health/live",
    "GET /v2/health/ready",
}  # fmt: skip


def test_every_operation_with_a_key_says_so(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        public = name in PUBLIC
        assert public == ("security" not in operation), name
        assert public == ("401" not in operation["responses"]), name


def test_the_fast_route_is_in_the_document(document: dict[str, Any]) -> None:
    assert "post" in document["paths"]["/v1/applications/{application}/predictions"]


def test_every_reference_in_the_document_leads_somewhere(document: dict[str, Any]) -> None:
    waiting: list[Any] = [document]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            reference = one.get("$ref")
            if isinstance(reference, str):
                assert reference.rsplit("/", 1)[1] in document["components"]["schemas"], reference
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)


def test_every_example_stands_in_the_measured_table_and_in_the_list_of_examples() -> None:
    scripts = {one.stem for one in (ROOT / "examples/frameworks").glob("*.py")} - {"payments"}
    table = (ROOT / "docs/frameworks.md").read_text().split("<!-- measured: begin -->")[1]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == scripts
    listed = (ROOT / "examples/frameworks/README.md").read_text()
    named = set(re.findall(r"`(\w+)`", listed))
    families = tuple(re.findall(r"`(\w+_)…`", listed))
    assert all(one in named or one.startswith(families) for one in scripts)
