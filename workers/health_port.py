"""Whether this process is alive, for whoever supervises it: `GET /healthz` answers 200 on the loopback address."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

HOST: Final = "127.0.0.1"
_PATIENCE_SECONDS: Final = 5.0
_MOST_HEADER_LINES: Final = 100
_BODY: Final = b'{"status":"ok"}'


@asynccontextmanager
async def serve_health(port: int | None) -> AsyncIterator[int | None]:
    """Answer for as long as the block runs; yields the port listened on (0 asks for any free one), None for none."""
    if port is None:
        yield None
        return
    server = await asyncio.start_server(_answer, HOST, port)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            asked = (await reader.readline()).split()
            for _ in range(_MOST_HEADER_LINES):
                if (await reader.readline()).strip() == b"":
                    break
            found = len(asked) > 1 and asked[0] in {b"GET", b"HEAD"} and asked[1].split(b"?")[0] == b"/healthz"
            status, body = (b"200 OK", _BODY) if found else (b"404 Not Found", b"")
            writer.write(
                b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
                % (status, len(body))
            )
            if asked[:1] != [b"HEAD"]:
                writer.write(body)
            await writer.drain()
    except (TimeoutError, ConnectionError, ValueError):
        return
    finally:
        writer.close()
