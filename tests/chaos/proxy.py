"""A TCP proxy between workers and their broker, so that tests can make the network slow, dead or torn.

One thread with an event loop of its own. What it can do to all connections at once, and to those to come:
- `delay`: hold each piece of data back for so long, either way;
- `hang`: pass nothing on, and keep the connections: the peer looks alive and says nothing;
- `refuse`: take no new connection;
- `tear`: reset all connections that there are (RST, not FIN: what was under way is lost).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self

_PIECE = 64 * 1024
_RESET = struct.pack("ii", 1, 0)
"""Linger for 0 s: a close is then a reset."""


class Proxy:
    """Passes on what comes at `port` to `target`, both on loopback; a context manager."""

    def __init__(self, port: int, target: int) -> None:
        self.port = port
        self.target = target
        self.delay = 0.0
        self.refuse = False
        self.taken = 0
        """Connections that were accepted so far."""
        self.torn = 0
        """Connections that `tear` has reset."""
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._loop = asyncio.new_event_loop()
        self._flows = asyncio.Event()
        self._flows.set()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy-{port}", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._serve())
        return self

    def __exit__(self, *_exc: object) -> None:
        self.heal()
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def hang(self) -> None:
        """Pass nothing on until `heal`."""
        self._loop.call_soon_threadsafe(self._flows.clear)

    def tear(self) -> None:
        """Reset every connection that there is."""
        self._call(self._tear())

    def heal(self) -> None:
        """Pass on everything again, at once."""
        self.delay, self.refuse = 0.0, False
        self._loop.call_soon_threadsafe(self._flows.set)

    def _call(self, coroutine: object) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _serve(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)

    async def _end(self) -> None:
        self._server.close()
        await self._tear()
        # Let the passing tasks see that their streams are gone before the loop stops.
        await asyncio.sleep(0.05)

    async def _tear(self) -> None:
        for pair in list(self._pairs):
            for writer in pair:
                if not writer.transport.is_closing():  # else it may have no socket any more
                    # Without this, what is closed is closed politely.
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                writer.transport.abort()
            self.torn += 1

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuse:
            writer.transport.abort()
            return
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:  # the broker is dead: so is whoever speaks for it
            writer.transport.abort()
            return
        self.taken += 1
        pair = (writer, far_writer)
        self._pairs.add(pair)
        try:
            await asyncio.gather(self._pass(reader, far_writer), self._pass(far_reader, writer))
        finally:
            self._pairs.discard(pair)
            for each in pair:
                each.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(_PIECE):
                await self._flows.wait()
                if self.delay:
                    await asyncio.sleep(self.delay)
                writer.write(piece)
                await writer.drain()
        writer.transport.abort()
