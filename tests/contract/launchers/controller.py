"""A service that starts one replica and then waits to be killed: KIND FOLDER ARTEFACT."""

import asyncio
import sys
from pathlib import Path

from tests.contract.launchers.launching import Talk, launcher_of
from tests.support.data_plane import version


async def main(kind: str, folder: str, artefact: str) -> None:
    launcher = launcher_of(kind, Path(folder))
    of = version(Path(artefact), entry="model:answer")
    replica = await launcher.start(of, python=None, features=("a",))
    talk = Talk(replica)
    assert await talk.greet() is not None
    await talk.ask(1.0)
    print(replica.name, flush=True)
    await asyncio.sleep(600)


asyncio.run(main(*sys.argv[1:]))
