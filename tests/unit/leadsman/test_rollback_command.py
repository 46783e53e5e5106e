"""`leadsman rollback` goes one step back, however often it has to be sent."""

import json

import pytest
from typer.testing import CliRunner

from leadsman.cli import app
from leadsman.client import Client
from leadsman.connection import Connection
from leadsman.errors import LostAnswerError, UnreachableError
from tests.support.http_server import Call, http_server

MADE = {"revision": 4, "restores": 2, "policy": {"kind": "single", "champion": "m:2"}}
AWAY = {"code": "database_unavailable", "detail": "Postgres does not answer."}


def test_a_lost_answer_is_asked_for_again_as_the_same_change() -> None:
    posts: list[Call] = []

    def answer(call: Call) -> tuple[int, object]:
        if call.method == "GET":
            return 200, {"revision": 3}
        posts.append(call)
        return (503, AWAY) if len(posts) == 1 else (200, MADE)

    with http_server(answer) as serving:
        where = {"LEADSMAN_URL": serving.url, "LEADSMAN_API_KEY": "k"}
        for options in ([], ["--from", "3"]):
            words = ["rollback", "fraud", "--reason", "worse", "--json", *options]
            done = CliRunner().invoke(app, words, env=where)
            assert done.exit_code == 0, done.output
            assert json.loads(done.stdout) == MADE
    # It names what it leaves: whoever is second, a person or the monitor, is refused.
    assert {call.raw for call in posts} == {posts[0].raw}
    assert posts[0].body == {"reason": "worse", "expected_revision": 3}
    # The command that a person repeats is the same change as the one before.
    assert len(posts) == 3
    assert len({call.headers["idempotency-key"] for call in posts}) == 1


def test_another_step_back_is_another_change() -> None:
    posts: list[Call] = []

    def answer(call: Call) -> tuple[int, object]:
        if call.method == "GET":
            return 200, {"revision": 3 + len(posts)}
        posts.append(call)
        return 200, MADE

    with http_server(answer) as serving:
        where = {"LEADSMAN_URL": serving.url, "LEADSMAN_API_KEY": "k"}
        for _ in range(2):
            assert CliRunner().invoke(app, ["rollback", "fraud"], env=where).exit_code == 0
    assert [call.body for call in posts] == [{"expected_revision": 3}, {"expected_revision": 4}]
    assert len({call.headers["idempotency-key"] for call in posts}) == 2


def test_who_gets_no_answer_is_told_how_to_repeat_it() -> None:
    with http_server(lambda _: (503, AWAY)) as serving:
        connection = Connection(serving.url, serving.url, "k")
        with (
            Client(connection, pauses=(0.0, 0.0)) as client,
            pytest.raises(LostAnswerError, match=r"Postgres does not answer.*repeat: once more"),
        ):
            client.change("/v1/x", {}, key="one", again="once more")
        assert len(serving.calls) == 3


def test_where_nobody_listens_nothing_was_changed() -> None:
    nobody = Connection("http://127.0.0.1:9", "http://127.0.0.1:9", "k")
    with Client(nobody) as client, pytest.raises(UnreachableError) as told:
        client.change("/v1/x", {}, key="one", again="once more")
    assert not isinstance(told.value, LostAnswerError)
