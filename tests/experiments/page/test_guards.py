"""What is not let through, whatever lies behind."""

import asyncio
import json

import pytest

from experiments.page import guards

HOST = ("host", "127.0.0.1:80")


class Behind:
    """Reads the whole body, and says how much it was."""

    def __init__(self):
        self.asked = 0

    async def __call__(self, scope, receive, send):
        self.asked += 1
        size, more = 0, True
        try:
            while more:
                message = await receive()
                size += len(message.get("body", b""))
                more = message.get("more_body", False)
        except guards.Refused as refused:  # as the server's handler does
            return await refused.response()(scope, receive, send)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": str(size).encode()})


def ask(*headers, parts=(b"",), slow=0.0, behind=None, method="POST", path="/"):
    """Returns (status, headers, body) of the answer to a request."""
    waiting, sent = list(parts), []

    async def receive():
        await asyncio.sleep(slow)
        body = waiting.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(waiting)}

    async def send(message):
        sent.append(message)

    raw = [(name.encode(), value.encode()) for name, value in headers]
    guarded = guards.Guard(
        behind or Behind(), hosts=["127.0.0.1:80"], most_bytes=10_000_000, seconds=0.2
    )
    scope = {"type": "http", "method": method, "path": path, "headers": raw}
    asyncio.run(guarded(scope, receive, send))
    start, *rest = sent
    found = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], found, b"".join(each["body"] for each in rest)


def test_what_may_pass_passes_and_every_answer_has_the_headers():
    status, headers, body = ask(HOST, parts=[b"12", b"345"])
    assert (status, body) == (200, b"5")
    assert headers.items() >= guards.HEADERS.items()
    assert "default-src 'none'" in headers["content-security-policy"]


@pytest.mark.parametrize("origin", ["http://127.0.0.1:80", "https://127.0.0.1:80"])
def test_its_own_page_may_ask(origin):
    assert ask(HOST, ("origin", origin), ("sec-fetch-site", "same-origin"))[0] == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([], 421),
        ([("host", "evil.example")], 421),
        ([("host", "127.0.0.1")], 421),
        ([HOST, ("origin", "http://evil.example")], 403),
        ([HOST, ("origin", "null")], 403),
        ([HOST, ("origin", "http://127.0.0.1:8080")], 403),
        ([HOST, ("origin", "ftp://127.0.0.1:80")], 403),
        ([HOST, ("sec-fetch-site", "cross-site")], 403),
        ([HOST, ("sec-fetch-site", "same-site")], 403),
        ([HOST, ("content-length", "10000001")], 413),
        ([HOST, ("content-length", "9" * 400)], 413),
        ([HOST, ("content-length", "-1")], 413),
    ],
)
def test_what_may_not_pass_is_told_and_never_reaches_the_server(headers, status):
    behind = Behind()
    found, given, body = ask(*headers, behind=behind)
    assert found == status and behind.asked == 0
    assert json.loads(body)["error"].endswith(".")
    assert given.items() >= guards.HEADERS.items()


LINK = [HOST, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")]


@pytest.mark.parametrize(
    ("method", "path", "target", "status"),
    [
        ("GET", "/", "document", 200),
        ("GET", "/", "iframe", 403),
        ("POST", "/", "document", 403),
        ("GET", "/portrait.png", "document", 403),
    ],
)
def test_a_link_from_elsewhere_leads_to_the_page_alone(method, path, target, status):
    headers = [*LINK, ("sec-fetch-dest", target)]
    assert ask(*headers, method=method, path=path)[0] == status


def test_a_body_that_grows_beyond_the_limit_ends():
    status, _, body = ask(HOST, parts=[bytes(3_000_000)] * 5)
    assert status == 413 and "10 MB" in json.loads(body)["error"]


def test_a_body_that_takes_too_long_ends():
    status, _, body = ask(HOST, parts=[b"1"] * 100, slow=0.02)
    assert status == 408 and "0.2 seconds" in json.loads(body)["error"]


def test_other_protocols_are_not_answered():
    behind = Behind()
    guarded = guards.Guard(behind, hosts=[], most_bytes=1, seconds=1.0)
    asyncio.run(guarded({"type": "websocket"}, None, None))
    assert behind.asked == 0
