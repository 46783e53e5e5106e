"""What people read: golden texts, the versioned schema, and each format of delivery."""

import json
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from monitor.alerts.detail import ORDER, anchor
from monitor.alerts.kinds import KINDS
from monitor.channels import render
from monitor.channels.email import compose
from monitor.channels.slack import HEADER, SECTION
from tests.support.alert_cases import AT, CASES, GOLDEN, SETTINGS, alert_of, delivery_of, golden

DOCS = Path(__file__).parents[3] / "docs"
SCHEMA = json.loads((DOCS / "schemas" / "alert-v1.json").read_text())


@pytest.mark.parametrize("name", sorted(golden()))
def test_an_alert_reads_as_its_golden_file_says(name: str) -> None:
    # Meant to change it? `python -m tests.support.alert_cases` writes the files anew.
    assert golden()[name] == (GOLDEN / name).read_text()


def test_every_kind_has_a_golden_text() -> None:
    assert set(KINDS) <= set(CASES)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_paragraph_in_the_runbook(kind: str) -> None:
    paragraphs = (DOCS / "runbook.md").read_text().split("\n### ")
    found = [p for p in paragraphs if _slug(p.partition("\n")[0]) == anchor(kind)]
    assert len(found) == 1, anchor(kind)
    assert "Do:" in found[0]


def _slug(heading: str) -> str:
    return re.sub(r"[^a-z0-9-]", "", heading.lower().replace(" ", "-"))


@pytest.mark.parametrize("name", sorted(n for n in golden() if n.endswith(".json")))
def test_a_body_is_what_the_schema_says(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMA)
    validator = Draft202012Validator(SCHEMA, format_checker=FormatChecker())
    assert [e.message for e in validator.iter_errors(json.loads(golden()[name]))] == []


def test_the_schema_refuses_an_alert_that_does_not_say_how_sure_it_is() -> None:
    body = json.loads(golden()["loss.json"])
    del body["data"]["how_sure"]
    assert not Draft202012Validator(SCHEMA).is_valid(body)


@pytest.mark.parametrize("name", sorted(CASES))
def test_a_text_tells_its_parts_in_the_order_in_which_they_are_needed(name: str) -> None:
    text = golden()[f"{name}.txt"]
    words = ["Since when:", "How sure:", "How bad:", "Where:", "What was done:", "Look:"]
    places = [text.index(word) for word in words]
    assert places == sorted(places)
    told = [key for key in json.loads(golden()[f"{name}.json"])["data"] if key in ORDER]
    assert told == list(ORDER)


def body_of(name: str, event: str = "alert.firing", **more: Any) -> Any:
    changes = more.pop("changes", {})
    message = render(delivery_of(alert_of(CASES[name], **changes), event, **more), "https://w.ex")
    return json.loads(message.body)


def test_alertmanager_is_told_labels_that_stay_and_an_end_that_moves() -> None:
    fires = body_of("segment", format="alertmanager")
    ends = body_of(
        "segment", "alert.resolved", format="alertmanager", changes={"state": "resolved"}
    )
    assert fires[0]["labels"] == ends[0]["labels"]
    assert fires[0]["labels"]["segment"] == "region=EU"
    assert datetime.fromisoformat(fires[0]["endsAt"]) > AT + timedelta(days=300)
    assert datetime.fromisoformat(ends[0]["endsAt"]) == AT
    # What stood under a lesser tier has ended.
    assert [a["labels"]["severity"] for a in fires] == ["page", "info"]
    assert datetime.fromisoformat(fires[1]["endsAt"]) == AT


@pytest.mark.parametrize("name", sorted(CASES))
def test_slack_takes_the_blocks(name: str) -> None:
    body = body_of(name, format="slack")
    header, section, context = body["blocks"]
    assert header["text"]["type"] == "plain_text"
    assert len(header["text"]["text"]) <= HEADER
    assert len(section["text"]["text"]) <= SECTION
    assert "How sure" in section["text"]["text"]
    assert context["elements"][0]["text"].startswith("<https://")
    assert not re.search(r"&(?!amp;|lt;|gt;)", section["text"]["text"])


@pytest.mark.parametrize(
    ("event", "news"),
    [
        ("alert.firing", "firing"),
        ("remedy.proposed", "remedy 4 proposed"),
        ("remedy.acted", "remedy 4 carried out"),
        ("remedy.not_recovered", "remedy 4 did not help"),
    ],
)
def test_what_became_of_a_remedy_stands_in_the_heading(event: str, news: str) -> None:
    delivery = delivery_of(alert_of(CASES["loss"]), event, format="slack")
    delivery.body["data"]["remedy"] = 4
    told = json.loads(render(delivery, "").body)["text"]
    assert told == f"● {news} (rollback): market: price:2 errs more than it should"
    subject = compose(delivery, SETTINGS)["Subject"]
    assert subject == f"[{news}, rollback] market: price:2 errs more than it should"


def test_a_cloud_event_carries_the_body_under_the_deliverys_id() -> None:
    message = render(
        delivery_of(alert_of(CASES["loss"]), "alert.firing", envelope="cloudevents"),
        "https://watch.example",
    )
    event = json.loads(message.body)
    assert message.content_type == "application/cloudevents+json"
    assert {k: event[k] for k in ("specversion", "source", "type", "subject")} == {
        "specversion": "1.0",
        "source": "https://watch.example",
        "type": "leadsman.alert.firing.v1",
        "subject": "alerts/17",
    }
    assert event["id"] == "00000000-0000-0000-0000-000000000001"
    assert Draft202012Validator(SCHEMA).is_valid(event["data"])


def test_an_email_is_the_text_under_an_id_that_stays() -> None:
    delivery = delivery_of(alert_of(CASES["loss"]), "alert.firing", format="email")
    one, two = compose(delivery, SETTINGS), compose(delivery, SETTINGS)
    assert one["Message-ID"] == two["Message-ID"]
    assert one["Subject"] == "[firing, rollback] market: price:2 errs more than it should"
    assert one.get_content() == golden()["loss.txt"]


def test_the_end_of_a_line_in_a_name_does_not_end_the_subject_of_an_email() -> None:
    alert = alert_of(CASES["loss"], title="market: feature area\nBcc: all changed")
    message = compose(delivery_of(alert, "alert.firing", format="email"), SETTINGS)
    assert message["Subject"].endswith("market: feature area Bcc: all changed")
    assert message["Bcc"] is None
