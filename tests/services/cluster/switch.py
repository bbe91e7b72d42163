"""What connects the machines: a bridge in a network of its own, and a way in from this machine's loopback.

`switch.py ADDRESS [DESCRIPTOR:ADDRESS:PORT]...`: what connects to the listening socket of a descriptor, which was opened
outside, is passed on to the address and port inside. So nothing of the cluster's network is seen outside. It says "ready".
"""

import asyncio
import contextlib
import socket
import subprocess
import sys

CHUNK_BYTES = 65536


async def main(address: str, *published: str) -> None:
    for command in (
        ["ip", "link", "set", "lo", "up"],
        ["ip", "link", "add", "switch", "type", "bridge"],
        ["ip", "address", "add", f"{address}/24", "dev", "switch"],
        ["ip", "link", "set", "switch", "up"],
    ):
        subprocess.run(command, check=True)  # noqa: ASYNC221 - nobody is connected yet
    for descriptor, inside, port in (one.split(":") for one in published):
        await listen(socket.socket(fileno=int(descriptor)), inside, int(port))
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


async def listen(outside: socket.socket, inside: str, port: int) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A machine that is down refuses: so does this, by closing.
        with contextlib.suppress(OSError):
            there, to_there = await asyncio.wait_for(asyncio.open_connection(inside, port), 5)
            await asyncio.gather(passed_on(reader, to_there), passed_on(there, writer))
        writer.close()

    await asyncio.start_server(connected, sock=outside)


async def passed_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError), contextlib.closing(writer):
        while chunk := await reader.read(CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
