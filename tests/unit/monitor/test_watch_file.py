"""Files of watches that cannot be used say where and why."""

import re
from pathlib import Path

import pytest

from monitor.errors import InvalidWatchFileError
from monitor.watches.file import read_watch_file

GOOD = """\
application: fraud
watches:
  - name: mine
    signal: loss
    settings:
      limit: 0.2
      segments: {by: context.region}
  - name: quality
    enabled: false
"""


def refused(tmp_path: Path, text: str | bytes) -> InvalidWatchFileError:
    path = tmp_path / "watches.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InvalidWatchFileError) as error:
        read_watch_file(path)
    assert error.value.detail.startswith(f"{path}, line {error.value.line}: ")
    assert "\n" not in error.value.detail
    return error.value


def test_a_good_file_is_read_with_the_line_of_each_field(tmp_path: Path) -> None:
    path = tmp_path / "watches.yaml"
    path.write_text(GOOD)
    file = read_watch_file(path)
    assert file.content.application == "fraud"
    assert [entry.name for entry in file.content.watches or []] == ["mine", "quality"]
    assert file.line_of(("watches", 0, "settings", "limit")) == 6
    assert file.line_of(("watches", 1, "enabled")) == 9


@pytest.mark.parametrize(
    ("old", "new", "line", "field"),
    [
        ("limit: 0.2", "limit: 2", 6, "watches[0].settings.limit"),
        ("limit: 0.2", "limit: .nan", 6, "watches[0].settings.limit"),
        ("limit: 0.2", "limit: [0.2]", 6, "watches[0].settings.limit"),
        ("limit: 0.2", "limt: 0.2", 6, "watches[0].settings.limt"),
        ("limit: 0.2", "delta: 0.2", 6, "watches[0].settings.delta"),
        ("signal: loss", "detector: confirm-gate", 5, "watches[0].settings.opened_by"),
        (
            "signal: loss\n    settings:\n      limit: 0.2",
            "detector: confirm-gate\n    settings:\n      opened_by: bounded-mean",
            6,
            "watches[0].settings.opened_by",
        ),
        ("by: context.region", "by: region", 7, "watches[0].settings.segments.by"),
        ("by: context.region", "by: context.region, bins: 3", 7, "watches[0].settings.segments"),
        ("signal: loss", "signal: lost", 4, "watches[0].signal"),
        ("signal: loss", "tier: urgent", 4, "watches[0].tier"),
        ("signal: loss", "remedy: {kind: swap}", 4, "watches[0].remedy"),
        ("signal: loss", "remedy: []", 4, "watches[0].remedy"),
        ("name: quality", "name: mine", 8, "watches[1].name"),
        ("name: quality", "name: Quality!", 8, "watches[1].name"),
        ("name: quality", "signal: loss", 8, "watches[1].name"),
        ("enabled: false", "enabled: perhaps", 9, "watches[1].enabled"),
        ("enabled: false", "name: again", 9, "watches[1].name"),
        ("application: fraud", "applicaton: fraud", 1, "applicaton"),
        ("application: fraud", "budgets: {page: 0}", 1, "budgets.page"),
        ("application: fraud", "budgets: {rolback: 1}", 1, "budgets"),
    ],
)
def test_what_is_wrong_is_named_by_line_and_field(
    tmp_path: Path, old: str, new: str, line: int, field: str
) -> None:
    assert old in GOOD
    error = refused(tmp_path, GOOD.replace(old, new, 1))
    assert (error.line, error.field.startswith(field)) == (line, True), error.detail


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected fields such as watches:"),
        ("- loss\n", "expected fields such as watches:"),
        ("watches: loss\n", "watches"),
        ("watches:\n  loss: {limit: 1}\n", "watches"),
        ("watches:\n  - loss\n", "watches"),
        ("watches: [\n", "is no YAML"),
        ("watches: !!python/object:os.system {}\n", "is no YAML"),
        (b"\xff\xfe\x00", "cannot be read"),
        ("watches:\n  - name: a\0b\n", "is no YAML"),
        ("watches:\n  - name: 2024-02-30\n", "cannot be read"),
        ("watches: " + "9" * 5_000 + "\n", "cannot be read"),
        ("watches: " + "[" * 100_000 + "\n", "is nested too deeply"),
        ("a: &a [*a]\n", ""),
        ("? {a: 1}\n: 2\n", ""),
        ("watches: &w\n  - name: one\n  - <<: *w\n", "watches[1].<<: fields cannot be merged"),
        ("watches:\n" + "  - name: one\n" * 1001, "watches: more than 1000 watches"),
        ("watches:\n  - {name: a, settings: {clip: .inf}}\n", "clip: Input should be a finite"),
        ("watches:\n  - {name: a, remedy: {kind: swap}}\n", " watches[0].remedy: "),
        ("watches:\n  - {name: a, remedy: {with: 3}}\n", " watches[0].remedy: "),
        ("watches:\n  - {name: a, remedy: [notify, halt]}\n", " watches[0].remedy"),
    ],
)
def test_what_is_no_file_of_watches_is_refused_in_one_sentence(
    tmp_path: Path, text: str | bytes, said: str
) -> None:
    assert said in refused(tmp_path, text).detail


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidWatchFileError, match="cannot be read"):
        read_watch_file(tmp_path / "none.yaml")
    with pytest.raises(InvalidWatchFileError, match="cannot be read"):
        read_watch_file(tmp_path)


def test_files_in_the_documentation_are_read(tmp_path: Path) -> None:
    page = Path(__file__).parents[3] / "docs" / "watches.md"
    found = re.findall(r"```yaml\n(.*?)```", page.read_text(), re.DOTALL)
    assert len(found) == 6
    for text in found:
        path = tmp_path / "watches.yaml"
        path.write_text(text)
        content = read_watch_file(path).content
        assert content.watches or content.budgets
