"""What every request has to pass, and what every response says to the browser.

Only pages of this server may ask it anything: a browser names the page's origin, and a
name that was made to point here (DNS rebinding) is not among the hosts. Bodies end
within a size and a time. The browser stores nothing, and the page may load nothing from
elsewhere.
"""

import time
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

import anyio
from starlette.responses import JSONResponse

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
    "cache-control": "no-store",
}
"""Of every response."""


class Refused(Exception):
    """A request that is refused.

    Attributes:
      status: of the response.
    """

    def __init__(self, status: int, sentence: str) -> None:
        """Takes the status and what is said."""
        super().__init__(sentence)
        self.status = status

    def response(self) -> JSONResponse:
        """Returns the response."""
        return JSONResponse({"error": str(self)}, self.status)


def _follows_a_link(scope: Message, headers: dict[bytes, bytes]) -> bool:
    """Returns whether someone comes to the page from another one."""
    mode = headers.get(b"sec-fetch-mode"), headers.get(b"sec-fetch-dest")
    first = scope.get("method") == "GET" and scope.get("path") == "/"
    return first and mode == (b"navigate", b"document")


class Guard:
    """The server behind its guards."""

    def __init__(
        self, app: Any, *, hosts: Sequence[str], most_bytes: int, seconds: float
    ) -> None:
        """Takes what lies behind.

        Args:
          app: the server.
          hosts: its names with their port, as browsers give them.
          most_bytes: of a request's body.
          seconds: in which a body must come.
        """
        self._app, self._most_bytes, self._seconds = app, most_bytes, seconds
        self._hosts = frozenset(hosts)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        begun = False

        async def sending(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                given = [(k.encode(), v.encode()) for k, v in HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *given]}
            await send(message)

        try:
            self._check(scope, dict(scope["headers"]))
            await self._app(scope, self._limited(receive), sending)
        except Refused as refused:
            if not begun:
                await refused.response()(scope, receive, sending)

    def _check(self, scope: Message, headers: dict[bytes, bytes]) -> None:
        host = headers.get(b"host", b"").decode("latin-1")
        if host not in self._hosts:
            raise Refused(421, "this server has another name; see what it printed.")
        origin = headers.get(b"origin", b"").decode("latin-1")
        scheme, _, own = origin.partition("://")
        if origin and not (scheme in ("http", "https") and own in self._hosts):
            raise Refused(403, "only this server's own page may ask it.")
        site = headers.get(b"sec-fetch-site", b"none")
        if site not in (b"none", b"same-origin") and not _follows_a_link(
            scope, headers
        ):
            raise Refused(403, "only this server's own page may ask it.")
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length[:20]) > self._most_bytes:
            self._too_large()

    def _limited(self, receive: Receive) -> Receive:
        deadline, got, whole = time.monotonic() + self._seconds, 0, False

        async def receiving() -> Message:
            nonlocal got, whole
            if whole:
                return await receive()  # waits until the browser goes away
            with anyio.move_on_after(deadline - time.monotonic()) as scope:
                message = await receive()
            if scope.cancelled_caught:
                raise Refused(408, f"the request took over {self._seconds:g} seconds.")
            got += len(message.get("body", b""))
            if got > self._most_bytes:
                self._too_large()
            whole = not message.get("more_body", False)
            return message

        return receiving

    def _too_large(self) -> None:
        most = self._most_bytes // 1_000_000
        raise Refused(413, f"more than {most} MB; scale the picture down.")
