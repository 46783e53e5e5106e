"""A program that records without end and ships what it recorded, until it is killed.

Usage: `python -m tests.support.recorder JOURNAL URL ACKNOWLEDGED`; writes the id of each record to
the file once the journal has it, as a client would know it.
"""

import asyncio
import sys
import time
from pathlib import Path

from serving.ids import new_prediction_id
from serving.journal import Journal
from serving.shipping import Shipping
from tests.support.records import encoded, plain_prediction

PER_TURN = 7


async def main(path: str, url: str, acknowledged: str) -> None:
    """Record, acknowledge, ship."""
    journal = Journal(Path(path), 2**30)
    with open(acknowledged, "ab", buffering=0) as known:  # noqa: ASYNC230, PTH123  (a few bytes)
        shipping = asyncio.create_task(Shipping(journal, url).run())
        while not shipping.done():
            now_us = time.time_ns() // 1000
            ids = [new_prediction_id(now_us) for _ in range(PER_TURN)]
            tickets = [
                journal.append_prediction(
                    encoded(plain_prediction(now_us, prediction_id=one)), now_us
                )
                for one in ids
            ]
            await asyncio.gather(*(ticket.kept() for ticket in tickets))
            known.write(b"".join(ids))
            await asyncio.sleep(0.001)
        await shipping


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
