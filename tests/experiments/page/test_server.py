"""The server over HTTP, with a search that is played: what it answers to what comes."""

import base64
import contextlib
import http.client
import io
import json
import socket
import threading
import time

import numpy as np
import pytest
from PIL import Image, ImageFile

from experiments.common import cases
from experiments.page import (
    choices,
    completing,
    engines,
    jobs,
    keeping,
    server,
    serving,
    sessions,
)
from inpaint_jax.errors import InputError, OutputError
from inpaint_jax.images import alignment
from inpaint_jax.io import photographs, picture_files
from tests.drawn import noise

SIZE = 64
PHOTO = noise(96, 80, 3)
HOLE = np.zeros((96, 80), bool)
HOLE[30:50, 20:60] = True


def png(pixels):
    stored = io.BytesIO()
    Image.fromarray(pixels).save(stored, "PNG")
    return stored.getvalue()


STENCIL = png(np.uint8(255) * HOLE)


class Engine:
    """Stands for the networks: every photograph has one face, in its middle."""

    def outlines(self, photo):
        return [engines.corners(central(photo), SIZE)]


def central(photo):
    return alignment.central(*photo.shape, crop=128, size=SIZE)


@pytest.fixture
def played(monkeypatch):
    """A search of two steps, each of which waits until it may go on."""
    gate = threading.Event()
    gate.set()

    def complete(engine, damaged, choice):
        frame = central(damaged.photo)
        placement = cases.Placement("a", damaged.photo, damaged.hole, frame, 1, 1)
        yield {"kind": "faces", "outlines": engine.outlines(damaged.photo), "notes": []}
        for step in (1, 2):
            assert gate.wait(20.0)
            yield {"kind": "step", "step": step}
        candidates = [noise(SIZE, SIZE, 3, seed=i) for i in (1, 2)]
        yield completing.Completed([completing.Face(placement, candidates, candidates)])
        yield {"kind": "done", "command": choice.command}

    monkeypatch.setattr(completing, "complete", complete)
    return gate


class Offered:
    """Stands for the choices: every method is there."""

    def described(self):
        return {"methods": [], "settings": []}

    def chosen(self, asked, *, name, hole):
        return choices.Choice(asked, None, f"{asked.method} {name} {hole}")


@pytest.fixture
def parts(played):
    queue = jobs.Queue(most=2, seconds=60.0)
    visitors = sessions.Sessions(most=4)
    return server.Parts(Engine(), Offered(), queue, visitors, 1_000_000, None)


@pytest.fixture
def port(parts, monkeypatch):
    monkeypatch.setattr(serving, "_BODY_SECONDS", 1.0)
    stop = []
    monkeypatch.setattr(serving.stopping, "asked", stop)
    with serving.listening("127.0.0.1", 0) as (listener, address):
        run = threading.Thread(
            target=serving.serve,
            args=(server.app(parts), listener),
            kwargs={"names": ()},
        )
        run.start()
        yield int(address.rpartition(":")[2])
        stop.append(15)
        run.join(20.0)
        assert not run.is_alive()


def ask(port, method, path, body=None, **headers):
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=20.0)
    with contextlib.closing(link):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        link.request(method, path, body, named)
        answer = link.getresponse()
        return answer.status, answer.read()


def told(answer, status=200):
    assert answer[0] == status, answer
    return json.loads(answer[1])


def opened(port, name="a.png"):
    return told(ask(port, "POST", f"/pictures?name={name}", png(PHOTO)))["id"]


def wanted(method="landmark", stencil=STENCIL):
    mask = base64.b64encode(stencil).decode()
    return json.dumps({"mask": mask, "choice": {"method": method}})


def searched(port, session):
    found = told(ask(port, "POST", f"/pictures/{session}/searches", wanted()))
    return f"/pictures/{session}/searches/{found['id']}"


def events(answer):
    assert answer[0] == 200
    lines = answer[1].decode().strip().split("\n\n")
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def test_a_photograph_is_opened_searched_for_and_given_back(port):
    session = opened(port, "my%20face.png")
    assert told(ask(port, "GET", f"/pictures/{session}/faces"))["outlines"]
    job = searched(port, session)
    kinds = [event["kind"] for event in events(ask(port, "GET", job))]
    assert [kind for kind in kinds if kind != "waiting"] == [
        "faces",
        "step",
        "step",
        "done",
    ]
    pictures = []
    for number in (0, 1):
        status, content = ask(port, "GET", f"{job}/{number}.png")
        assert status == 200
        pictures.append(np.asarray(Image.open(io.BytesIO(content))))
        np.testing.assert_array_equal(pictures[-1][~HOLE], PHOTO[~HOLE])
    assert (pictures[0][HOLE] != pictures[1][HOLE]).any()
    assert ask(port, "GET", f"{job}/2.png")[0] == 404
    status, content = ask(port, "GET", f"{job}/search.webp")
    assert status == 200 and Image.open(io.BytesIO(content)).n_frames == 2


def test_the_mask_of_a_file_comes_back_as_what_it_marks(port):
    session = opened(port)
    palette = Image.fromarray(HOLE.astype(np.uint8))  # levels 0 and 1
    stored = io.BytesIO()
    palette.save(stored, "PNG")
    status, content = ask(port, "POST", f"/pictures/{session}/mask", stored.getvalue())
    assert status == 200
    marks = np.asarray(Image.open(io.BytesIO(content)))
    np.testing.assert_array_equal(marks[..., 0] > 0, HOLE)


def test_a_second_visitor_waits_and_begins_when_the_first_cancels(port, played):
    played.clear()
    first, second = opened(port), opened(port)
    one, other = searched(port, first), searched(port, second)
    found = []
    watch = threading.Thread(
        target=lambda: found.extend(events(ask(port, "GET", other)))
    )
    watch.start()
    time.sleep(0.3)
    assert told(ask(port, "DELETE", one)) == {}
    played.set()
    watch.join(20.0)
    assert found[0] == {"kind": "waiting", "before": 1} and found[-1]["kind"] == "done"
    assert events(ask(port, "GET", one))[-1] == {
        "kind": "failed",
        "error": "cancelled.",
    }
    assert ask(port, "GET", f"{one}/0.png")[0] == 404


def test_one_photograph_has_one_search_at_a_time(port, played):
    played.clear()
    session = opened(port)
    searched(port, session)
    again = ask(port, "POST", f"/pictures/{session}/searches", wanted())
    assert "cancel that first" in told(again, 400)["error"]
    played.set()


def test_more_searches_than_may_wait_are_refused(port, played):
    played.clear()
    for _ in range(3):
        searched(port, opened(port))
    path = f"/pictures/{opened(port)}/searches"
    assert "too many" in told(ask(port, "POST", path, wanted()), 503)["error"]
    played.set()


def test_what_belongs_to_others_is_not_there(port):
    one, other = opened(port), opened(port)
    job = searched(port, one)
    events(ask(port, "GET", job))
    stolen = job.replace(one, other)
    for path in (stolen, f"{stolen}/0.png", f"{stolen}/search.webp"):
        assert ask(port, "GET", path)[0] == 404
    assert ask(port, "DELETE", stolen)[0] == 404
    assert ask(port, "DELETE", f"/pictures/{one}")[0] == 200
    assert ask(port, "GET", f"{job}/0.png")[0] == 404


NO_PICTURES = [b"", b"no picture", STENCIL[:40], b"GIF89a" + bytes(100), bytes(5000)]


@pytest.mark.parametrize("content", NO_PICTURES)
def test_what_is_no_picture_is_refused_in_a_sentence(port, content):
    found = told(ask(port, "POST", "/pictures?name=a.png", content), 400)
    assert found["error"].startswith("a.png: ") and found["error"].endswith(".")


@pytest.mark.parametrize(
    ("stencil", "words"),
    [
        (b"no picture", "the mask"),
        (png(np.zeros((96, 80), np.uint8)), "the mask"),
        (
            png(np.zeros((10, 10), np.uint8)),
            "10 x 10 pixels, but the picture has 80 x 96",
        ),
    ],
)
def test_what_is_no_hole_is_refused_in_a_sentence(port, stencil, words):
    path = f"/pictures/{opened(port)}/searches"
    found = told(ask(port, "POST", path, wanted(stencil=stencil)), 400)
    assert words in found["error"]


def test_pictures_are_measured_before_they_are_decoded(port, monkeypatch):
    large = png(np.zeros((1001, 1000), np.uint8))
    session = opened(port)
    monkeypatch.setattr(
        ImageFile.ImageFile, "load", lambda self: pytest.fail("decoded")
    )
    found = told(ask(port, "POST", "/pictures?name=a.png", large), 400)
    assert "1000 x 1001 pixels; scale it below 1 megapixels" in found["error"]
    found = told(ask(port, "POST", f"/pictures/{session}/mask", large), 400)
    assert "give one of its size" in found["error"]


@pytest.mark.parametrize("error", [OutputError("/secret: disk full."), OSError("full")])
def test_a_search_that_cannot_be_kept_is_not_lost(parts, port, error, capsys):
    session = opened(port)

    def keep(kept):
        raise error

    server_parts = parts._replace(keep=keep)
    kept = server._Routes(server_parts)
    kept._keep(keeping.Kept(None, "", None))
    assert "is not kept" in capsys.readouterr().out
    events(ask(port, "GET", searched(port, session)))


def test_what_is_kept_runs_where_it_lies(tmp_path):
    content, photo = png(PHOTO), photographs.decode_photograph(png(PHOTO), name="a")
    damaged = engines.Damaged("my face.jpg", content, photo, HOLE)
    placement = cases.Placement("a", photo, HOLE, central(photo), 1, 1)
    face = completing.Face(placement, [noise(SIZE, SIZE, 3)], ())
    kept = keeping.Kept(damaged, "do it", completing.Completed([face]))
    for _ in range(2):
        keeping.keep(kept, folder=tmp_path)
    keeping.keep(kept._replace(command=""), folder=tmp_path)
    first, second, third = sorted(tmp_path.iterdir())
    assert (first / "my face.jpg").read_bytes() == content
    assert (second / "command.txt").read_text() == "do it\n"
    assert not (third / "command.txt").exists()
    mask = picture_files.read(first / "my face_mask.png")
    np.testing.assert_array_equal(mask[..., 0] > 0, HOLE)


def test_the_events_of_a_closed_photograph_end(port, played, capfd):
    played.clear()
    session = opened(port)
    job, found = searched(port, session), []
    watch = threading.Thread(target=lambda: found.extend(events(ask(port, "GET", job))))
    watch.start()
    time.sleep(0.3)
    assert ask(port, "DELETE", f"/pictures/{session}")[0] == 200
    watch.join(20.0)
    played.set()
    assert not watch.is_alive() and "internal" not in capfd.readouterr().out


def test_names_of_files_lose_their_folders(port):
    for given, kept in (
        ("..%2F..%2Fetc%2Fpasswd", "passwd"),
        ("%3Cscript%3E.png", "_script_.png"),
        ("C:%5Cme%5Ca.png", "a.png"),
        ("my%20photo%20(1).jpg", "my photo (1).jpg"),
        ("%F0%A0%80%80" * 70 + ".jpg", "\U00020000" * 29 + ".jpg"),
        ("%00.png", "_.png"),
        ("", "photograph.png"),
    ):
        found = told(ask(port, "POST", f"/pictures?name={given}", png(PHOTO)))
        assert found["name"] == kept


def hostile(session):
    """Yields (method, path, body, headers) of requests that no page would send."""
    rng = np.random.default_rng(0)
    bodies = [b"", b"{", b"[]", b"null", b'{"mask": 3}', b"\xff" * 50, rng.bytes(3000)]
    bodies += [json.dumps({"mask": "%%", "choice": {"method": "x"}}).encode()]
    bodies += [json.dumps({"mask": "", "choice": {"method": "si"}}).encode()]
    bodies += [b'{"mask": "", "choice": ' + b"[" * 5000 + b"]" * 5000 + b"}"]
    paths = ["/pictures", "/pictures?name=", f"/pictures/{session}/searches"]
    paths += [f"/pictures/{session}/mask", "/pictures/../searches", "/choices"]
    for path in paths:
        for body in bodies:
            yield "POST", path, body, {}
    for path in (
        "/pictures/x",
        "/pictures/x/faces",
        "/pictures/%2e%2e%2f/x",
        "/x" * 900,
    ):
        for method in ("GET", "DELETE", "PUT", "OPTIONS", "BREW"):
            yield method, path, None, {}
    for name in ("-1", "1e9", "999999999999999999999", "a", "%00"):
        yield "GET", f"/pictures/{session}/searches/x/{name}.png", None, {}
    for headers in (
        {"Host": "evil.example"},
        {"Origin": "http://evil.example"},
        {"Content_Length": "99999999999"},
        {"Content_Type": "multipart/form-data"},
        {"Transfer_Encoding": "gzip"},
        {"Cookie": "a" * 5000},
        {"Range": "bytes=0-0"},
        {"X": "\x7f"},
    ):
        yield "POST", f"/pictures/{session}/searches", b"{}", headers
        yield "GET", "/", None, headers


def test_a_hundred_malformed_requests_end_in_a_sentence_and_the_server_lives(
    port, capfd
):
    session = opened(port)
    statuses, tried = [], list(hostile(session))
    for method, path, body, headers in tried:
        try:
            status, content = ask(port, method, path, body, **headers)
        except (http.client.HTTPException, OSError):
            continue  # it hung up
        statuses.append(status)
        assert status < 500, (method, path, content)
        assert b"Traceback" not in content and b"/experiments/" not in content
    assert len(tried) > 100 and len(statuses) > 90 and statuses.count(200) < 20
    told_here = capfd.readouterr()
    assert "Traceback" not in told_here.err + told_here.out
    events(ask(port, "GET", searched(port, session)))


def raw(port, content, *, wait):
    """Sends bytes, waits, and hangs up; returns what was answered by then."""
    with socket.create_connection(("127.0.0.1", port), timeout=5.0) as link:
        link.sendall(content)
        link.settimeout(wait)
        with contextlib.suppress(OSError):
            return link.recv(10_000)
    return b""


def test_slow_uploads_and_those_that_end_in_the_middle_leave_the_server_alive(port):
    head = f"POST /pictures?name=a.png HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
    begun = (head + "Content-Length: 100000\r\n\r\n123").encode()
    for _ in range(10):
        raw(port, begun, wait=0.01)
    raw(port, b"\x16\x03\x01 this is no HTTP \r\n\r\n", wait=0.1)
    answer = raw(port, begun, wait=5.0)
    assert b" 408 " in answer.split(b"\r\n")[0]
    session = opened(port)
    job = searched(port, session)
    raw(
        port,
        f"GET {job} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode(),
        wait=0.01,
    )
    assert events(ask(port, "GET", job))[-1]["kind"] == "done"


def test_an_address_that_is_taken_is_told(port):
    with pytest.raises(InputError, match=f"--port={port}: .*--port=0"):
        with serving.listening("127.0.0.1", port):
            pass
