"""The console's files hold together: what is named is there, what is there is used."""

import re
from pathlib import Path

import pytest

import dashboards

CONSOLE = Path(dashboards.__file__).parent / "console"
MODULES = {path.stem: path.read_text() for path in sorted((CONSOLE / "js").glob("*.js"))}
IMPORT = re.compile(r'^import (?:\{([^}]*)\}|(\w+)) from "([^"]+)";', re.MULTILINE)
EXPORT = re.compile(r"^export (?:async )?(?:function|const|let|class) (\w+)", re.MULTILINE)
VIEW = re.compile(r'^  \[/.*?/, "\w+", \[([^\]]*)\], .*?(?:view\.)?(\w+)\(.*\)\],$', re.MULTILINE)


def imports(module: str) -> dict[str, list[str]]:
    """Names that a module takes, by the path of where it takes them from."""
    return {
        path: [name.split(" as ")[0].strip() for name in (names or whole).split(",")]
        for names, whole, path in IMPORT.findall(MODULES[module])
    }


def needed(module: str) -> set[str]:
    """Paths of everything that has come before a module can run."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        for path in imports(waiting.pop()):
            name = path.removeprefix("./").removesuffix(".js")
            if name not in found:
                found.add(name)
                if name in MODULES:
                    waiting.append(name)
    return found


def views() -> list[tuple[list[str], str]]:
    """Of each view the files that it names, and the function that draws it."""
    files = MODULES["main"].replace("...CHARTS", '"plot", "../vendor/uPlot.esm"')
    return [(re.findall(r'"([^"]+)"', named), drawn) for named, drawn in VIEW.findall(files)]


@pytest.mark.parametrize("module", MODULES)
def test_every_name_that_is_imported_is_exported_and_used(module: str) -> None:
    text = MODULES[module]
    for path, names in imports(module).items():
        file = (CONSOLE / "js" / path).resolve()
        assert file.is_file(), path
        for name in names:
            if file.parent.name == "js":
                assert name in EXPORT.findall(file.read_text()), (path, name)
            assert len(re.findall(rf"\b{name}\b", text)) > 1, f"{name} is imported and not used"


def test_every_name_that_is_exported_is_imported_somewhere() -> None:
    taken = {name for module in MODULES for names in imports(module).values() for name in names}
    taken |= {drawn for _files, drawn in views()}
    given = {name for text in MODULES.values() for name in EXPORT.findall(text)}
    assert given - taken == set()


def test_a_view_names_all_files_that_it_needs_so_that_they_come_at_once() -> None:
    before = needed("main") | {"main"}
    assert len(views()) == MODULES["main"].count("  [/^")
    for files, drawn in views():
        if not files:
            continue
        assert drawn in EXPORT.findall(MODULES[files[0]])
        assert needed(files[0]) - before <= set(files), drawn


def test_the_page_names_files_that_are_there() -> None:
    page = (CONSOLE / "index.html").read_text()
    named = re.findall(r'(?:href|src)="console/([^"]+)"', page)
    assert len(named) > 5
    assert [name for name in named if not (CONSOLE / name).is_file()] == []
    # What the first view needs is asked for before the first module was read.
    preloaded = {Path(name).stem for name in named if name.startswith("js/")}
    assert needed("main") <= preloaded


def test_the_runbook_of_the_console_is_that_of_the_docs() -> None:
    docs = CONSOLE.parent.parent / "docs" / "runbook.md"
    ours = CONSOLE / "runbook.md"
    assert ours.read_text() == docs.read_text(), f"copy {docs.name} to {ours}"
