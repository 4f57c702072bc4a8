"""The server of the page: its addresses, each a few lines."""

import asyncio
import functools
import importlib.resources
import json
import re
from collections.abc import AsyncIterator, Callable
from typing import Any, NamedTuple

import anyio
import fastapi
import msgspec
from anyio import to_thread
from fastapi import responses
from fastapi.exceptions import RequestValidationError
from starlette.requests import ClientDisconnect

from experiments.common import failures, mask_specs, progress
from experiments.page import (
    choices,
    completing,
    engines,
    guards,
    jobs,
    keeping,
    sessions,
)
from inpaint_jax.errors import InputError, OutputError
from inpaint_jax.images import stencils
from inpaint_jax.io import files, photographs, picture_files

_FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/editor.js": ("editor.js", "text/javascript; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
}
_MALFORMED = "the request is not one of this page."
_PAUSE = 0.1  # seconds between two looks at what has happened
_DECODERS = 2
_NAME = 120  # bytes of a file's name
_QUALITY = 95  # of the JPEG that shows a photograph; results are PNG


class Parts(NamedTuple):
    """What the server is made of.

    Attributes:
      engine: the networks.
      offered: the methods and settings.
      queue: of searches.
      visitors: the photographs in memory.
      most_pixels: of a photograph.
      keep: writes a finished search; None to keep nothing.
    """

    engine: engines.Engine
    offered: choices.Choices
    queue: jobs.Queue
    visitors: sessions.Sessions
    most_pixels: int
    keep: Callable[[keeping.Kept], None] | None


class _Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """A search that is asked for; the mask is a PNG, white in the hole."""

    mask: bytes
    choice: choices.Asked


def app(parts: Parts) -> fastapi.FastAPI:
    """Returns the server without its guards.

    Args:
      parts: what it is made of.
    """
    found = fastapi.FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    routes = _Routes(parts)
    for path, (name, kind) in _FILES.items():
        content = importlib.resources.files("experiments.page") / "files" / name
        found.add_route(path, _answering(content.read_bytes(), kind))
    for method, path, answer in (
        ("GET", "/portrait.png", routes.portrait),
        ("GET", "/choices", routes.choices),
        ("POST", "/pictures", routes.open),
        ("GET", "/pictures/{session}", routes.picture),
        ("DELETE", "/pictures/{session}", routes.close),
        ("GET", "/pictures/{session}/faces", routes.faces),
        ("POST", "/pictures/{session}/mask", routes.mask),
        ("POST", "/pictures/{session}/searches", routes.search),
        ("GET", "/pictures/{session}/searches/{job}", routes.watch),
        ("DELETE", "/pictures/{session}/searches/{job}", routes.cancel),
        ("GET", "/pictures/{session}/searches/{job}/search.webp", routes.animation),
        ("GET", "/pictures/{session}/searches/{job}/{number}.png", routes.result),
    ):
        found.add_api_route(path, answer, methods=[method], response_model=None)
    for kind, status, sentence in (
        (sessions.Unknown, 404, "not there, or forgotten; open the picture again."),
        (jobs.Full, 503, "too many searches wait; try again in a minute."),
    ):
        found.add_exception_handler(kind, _saying(status, sentence))
    found.add_exception_handler(guards.Refused, lambda _, e: e.response())  # type: ignore[attr-defined]
    for kind in (RequestValidationError, ClientDisconnect):
        found.add_exception_handler(kind, _saying(400, _MALFORMED))
    found.add_exception_handler(InputError, _failed)
    found.add_exception_handler(Exception, _failed)
    return found


class _Routes:
    """The answers of the server."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._decoders = anyio.CapacityLimiter(_DECODERS)

    def portrait(self) -> responses.Response:
        content = (files.ASSETS / "portrait.png").read_bytes()
        return responses.Response(content, media_type="image/png")

    def choices(self) -> dict[str, Any]:
        return self._parts.offered.described()

    async def open(self, request: fastapi.Request, name: str) -> dict[str, Any]:
        content, name = await request.body(), _safe(name)
        most = self._parts.most_pixels
        photo = await self._decoding(_photograph, content, name, most)
        session = self._parts.visitors.add(name, content, photo)
        height, width = photo.shape
        size = {"width": width, "height": height}
        return {"id": session.id, "name": name, "remark": photo.remark, **size}

    def picture(self, session: str) -> responses.Response:
        photo = self._parts.visitors.get(session).photo
        content = completing.jpeg(photo.on_white(), quality=_QUALITY)
        return responses.Response(content, media_type="image/jpeg")

    def close(self, session: str) -> dict[str, Any]:
        self._parts.visitors.drop(session)
        return {}

    def faces(self, session: str) -> dict[str, Any]:
        visitor = self._parts.visitors.get(session)
        if visitor.outlines is None:
            visitor.outlines = self._parts.engine.outlines(visitor.photo)
        return {"outlines": visitor.outlines}

    async def mask(self, request: fastapi.Request, session: str) -> responses.Response:
        photo, content = self._parts.visitors.get(session).photo, await request.body()
        marks = await self._decoding(_stencil, content, photo)
        return responses.Response(marks, media_type="image/png")

    async def search(self, request: fastapi.Request, session: str) -> dict[str, Any]:
        visitor, body = self._parts.visitors.get(session), await request.body()
        try:
            wanted = msgspec.json.decode(body, type=_Wanted)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise InputError(f"the request: {error}.") from error
        photo = visitor.photo
        hole = await self._decoding(_hole, wanted.mask, photo)
        damaged = engines.Damaged(visitor.name, visitor.content, photo, hole)
        stem = visitor.name.rpartition(".")[0] or visitor.name
        choice = self._parts.offered.chosen(
            wanted.choice, name=visitor.name, hole=f"{stem}_mask.png"
        )

        def work() -> Any:
            for event in completing.complete(self._parts.engine, damaged, choice):
                yield event
                if isinstance(event, completing.Completed):
                    self._keep(keeping.Kept(damaged, choice.command, event))

        return {"id": visitor.begin(self._parts.queue, work).id}

    async def watch(self, session: str, job: str) -> responses.StreamingResponse:
        found = self._parts.visitors.job(session, job)
        stream = _events(self._parts.queue, found, self._parts.visitors, session)
        return responses.StreamingResponse(stream, media_type="text/event-stream")

    def cancel(self, session: str, job: str) -> dict[str, Any]:
        self._parts.visitors.job(session, job).cancel()
        return {}

    def result(self, session: str, job: str, number: int) -> responses.Response:
        completed = self._completed(session, job)
        try:
            content = completed.photograph(number)
        except IndexError as error:
            raise sessions.Unknown from error
        return responses.Response(content, media_type="image/png")

    def animation(self, session: str, job: str) -> responses.Response:
        content = self._completed(session, job).animation()
        if content is None:
            raise sessions.Unknown
        return responses.Response(content, media_type="image/webp")

    async def _decoding(self, decode: Callable[..., Any], *given: Any) -> Any:
        """Decodes in a thread; of large pictures only a few are decoded at once."""
        return await to_thread.run_sync(
            functools.partial(decode, *given), limiter=self._decoders
        )

    def _keep(self, kept: keeping.Kept) -> None:
        if self._parts.keep is None:
            return
        try:
            self._parts.keep(kept)
        except (OutputError, OSError) as error:
            progress.say(f"a finished search is not kept: {error}")

    def _completed(self, session: str, job: str) -> completing.Completed:
        found = self._parts.visitors.job(session, job).completed
        if found is None:
            raise sessions.Unknown
        return found


async def _events(
    queue: jobs.Queue, job: jobs.Job, visitors: sessions.Sessions, session: str
) -> AsyncIterator[bytes]:
    """Yields what happens, as server-sent events, to the end of a search."""
    told, waiting = 0, None
    while True:
        ended = job.ended  # before its events are read
        for event in jobs.described(queue, job, told=told):
            if event["kind"] == "waiting":
                if event == waiting:
                    continue
                waiting = event
            else:
                told += 1
            yield f"data: {json.dumps(event, allow_nan=False)}\n\n".encode()
        if ended:
            return
        try:
            visitors.get(session)  # whoever watches is there
        except sessions.Unknown:
            return  # the photograph was closed
        await asyncio.sleep(_PAUSE)


def _hole(content: bytes, photo: photographs.Photograph) -> mask_specs.HolePixels:
    """Decodes the picture of a hole, of a photograph's size."""
    name = "the mask"
    height, width = picture_files.dimensions(content, name=name)
    if (height, width) != photo.shape:
        raise InputError(
            f"{name}: {width} x {height} pixels, but the picture has {photo.shape[1]} "
            f"x {photo.shape[0]}; give one of its size."
        )
    rgba = picture_files.decode_stencil(content, name=name)
    return stencils.find_hole(rgba, name=name)


def _stencil(content: bytes, photo: photographs.Photograph) -> bytes:
    """Returns the hole that a picture marks as a picture, white in the hole."""
    return completing.png(completing.stencil(_hole(content, photo)))


def _photograph(content: bytes, name: str, most: int) -> photographs.Photograph:
    """Decodes a photograph of at most so many pixels."""
    height, width = picture_files.dimensions(content, name=name)
    if height * width > most:
        raise InputError(
            f"{name}: {width} x {height} pixels; scale it below {most // 1_000_000} "
            "megapixels."
        )
    return photographs.decode_photograph(content, name=name)


def _safe(name: str) -> str:
    """Returns the last part of a file's name, with plain characters alone."""
    last = re.split(r"[\\/]", name)[-1]
    plain = re.sub(r"[^\w. ()&'+-]", "_", last).strip(". -")
    short = plain.encode()[-_NAME:].decode(errors="ignore").strip(". -")
    return short or "photograph.png"


def _answering(content: bytes, kind: str) -> Callable[..., responses.Response]:
    return lambda _: responses.Response(content, media_type=kind)


def _saying(status: int, sentence: str) -> Callable[..., responses.JSONResponse]:
    return lambda *_: responses.JSONResponse({"error": sentence}, status)


def _failed(_: fastapi.Request, error: Exception) -> responses.JSONResponse:
    if isinstance(error, InputError | OutputError):
        return responses.JSONResponse({"error": str(error)}, 400)
    progress.say(failures.of(error).sentence)
    return responses.JSONResponse({"error": "the server failed."}, 500)
