"""Listens, and serves until a signal comes."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator, Sequence
from typing import Any

from experiments.common import stopping
from inpaint_jax import runtime
from inpaint_jax.errors import InputError, reason

_MOST_BYTES = 64_000_000  # of a request
_BODY_SECONDS = 60.0
_CONNECTIONS = 128
_PAUSE = 0.1
_LOCAL = ("127.0.0.1", "localhost", "[::1]")
_ALL = ("0.0.0.0", "::")
_USUAL = (80, 443)


def check_available() -> None:
    """Checks that there is what serves.

    Raises:
      InputError: it is not installed, or cannot be imported.
    """
    for name in ("fastapi", "uvicorn"):
        runtime.optional(name, extra="web")


@contextlib.contextmanager
def listening(host: str, port: int) -> Iterator[tuple[socket.socket, str]]:
    """Listens at an address.

    Args:
      host: name or address.
      port: 0 for a free one.

    Yields:
      (the socket, the page's address).

    Raises:
      InputError: the address is taken, or is none of this machine.
    """
    try:
        kind = socket.AF_INET6 if ":" in host else socket.AF_INET
        found = socket.create_server((host, port), family=kind, backlog=_CONNECTIONS)
    except OSError as error:
        raise InputError(
            f"--host={host}, --port={port}: {reason(error)}; give others, or --port=0 "
            "for a free one."
        ) from error
    with found:
        name = f"[{host}]" if ":" in host else host
        shown = "127.0.0.1" if host in _ALL else name
        yield found, f"http://{shown}:{found.getsockname()[1]}"


def serve(app: Any, listener: socket.socket, *, names: Sequence[str]) -> None:
    """Serves until a signal asks to stop.

    Args:
      app: the server, which is put behind its guards.
      listener: from `listening`.
      names: further names of the server, with their port.
    """
    import uvicorn  # what --web installs

    from experiments.page import guards

    host, port = listener.getsockname()[:2]
    hosts = (*_LOCAL, f"[{host}]" if ":" in host else host)
    own = {f"{each}:{port}" for each in hosts}
    if port in _USUAL:  # browsers leave it out
        own.update(hosts)
    guarded = guards.Guard(
        app, hosts=[*own, *names], most_bytes=_MOST_BYTES, seconds=_BODY_SECONDS
    )
    settings = uvicorn.Config(
        guarded,
        log_config=None,
        access_log=False,
        server_header=False,
        limit_concurrency=_CONNECTIONS,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=1,
        lifespan="off",
    )
    asyncio.run(_until_asked_to_stop(uvicorn.Server(settings), listener))


async def _until_asked_to_stop(server: Any, listener: socket.socket) -> None:
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not serving.done():
        # Signals come to a thread of their own, see `stopping`.
        server.should_exit = server.should_exit or bool(stopping.asked)
        await asyncio.sleep(_PAUSE)
    await serving
