"""A slow link in front of one port of a node: what comes through is held back for a moment, in both directions.

Runs on the node, with Python's standard library alone: delay_proxy.py ADDRESS PORT TO_PORT SECONDS
"""

from __future__ import annotations

import asyncio
import contextlib
import sys


async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter, seconds: float) -> None:
    """Pass on what comes, each piece later by so much: a request in two pieces is late by that once, as on a link."""
    moment = asyncio.get_running_loop().time
    on_its_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def take() -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                on_its_way.put_nowait((moment() + seconds, data))
        on_its_way.put_nowait((moment() + seconds, b""))  # where one end has gone, so does the other one

    async def give() -> None:
        while True:
            due, data = await on_its_way.get()
            await asyncio.sleep(due - moment())
            if not data:
                return
            sink.write(data)
            await sink.drain()

    try:
        with contextlib.suppress(OSError):
            await asyncio.gather(take(), give())
    finally:
        sink.close()


async def serve(address: str, port: int, to_port: int, seconds: float) -> None:
    """Listen until the process is ended."""

    async def meet(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        # etcd compares a peer's address with its certificate: all of the lab's name 127.0.0.1
        there, back = await asyncio.open_connection(address, to_port, local_addr=("127.0.0.1", 0))
        await asyncio.gather(pump(source, back, seconds), pump(there, sink, seconds))

    server = await asyncio.start_server(meet, address, port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
