"""A page is HTML5 that shows the given pictures, whatever characters texts hold."""

import base64
import hashlib
import html.parser
import io
import os
import re
import urllib.parse

import numpy as np
import pytest
from PIL import Image

from experiments.search import (
    contact_sheet,
    known_results,
    output_names,
    sheet_pages,
)
from inpaint_jax.io import files

VOID = {"meta", "img", "input", "link", "br"}
EVIL = "<script>alert('1')</script>\"&amp;\n\x1b[2J\udcff é"
RNG = np.random.default_rng(0)


class Parsed(html.parser.HTMLParser):
    """Elements as (name, attributes, names of those around) and the text in each."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self.open, self.declared = [], [], [], ""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_decl(self, decl):
        self.declared = decl

    def handle_starttag(self, tag, attrs):
        assert len(dict(attrs)) == len(attrs), "an attribute is there twice"
        self.elements.append((tag, dict(attrs), tuple(self.open)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert "svg" in self.open, "only foreign elements close themselves"
        self.elements.append((tag, dict(attrs), tuple(self.open)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append((self.open[-1] if self.open else "", data))

    def of(self, tag):
        return [attributes for name, attributes, _ in self.elements if name == tag]

    def text(self, tag):
        return [data for name, data in self.texts if name == tag]


def picture(side=6):
    return RNG.integers(0, 256, (side, side, 3), np.uint8)


def shown(name="anna", **changes):
    captions = ("input", "restart 1", "completed", "original")
    values = {
        "name": name,
        "pictures": {caption: picture() for caption in captions},
        "landmarks": {"target": np.array([[1.0, 2.0]]), "result": np.array([[3.0, 4]])},
        "trace": [
            {"step": 5, "loss": [2.0, 4.0], "best_loss": [2.0, 3.0]},
            {"step": 10, "loss": [1.0, 3.0], "best_loss": [1.0, 3.0]},
        ],
        "scores": {"PSNR, dB": 21.25, "SSIM": float("nan"), "steps": 10},
    }
    return contact_sheet.Face(**(values | changes))


def run(**changes):
    values = {
        "described": {"mask": "left", "settings": {"restarts": 2}},
        "faces": 1,
        "mean": {"PSNR, dB": 21.25},
        "skipped": ["b.png: damaged"],
    }
    return contact_sheet.Run(**(values | changes))


def page(*faces, of=None, number=1):
    drawn = [contact_sheet.face(each) for each in faces]
    return contact_sheet.page(of or run(), drawn, number=number, links={})


def decoded(attributes):
    head, data = attributes["src"].split(",", 1)
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data, validate=True))))


def test_a_page_is_whole_and_has_the_parts_that_it_promises():
    found = Parsed(page(shown(), shown("berta")))
    assert found.declared == "DOCTYPE html"
    assert [name for name, _, around in found.elements if around == ("html",)] == [
        "head",
        "body",
    ]
    assert found.text("h2") == ["anna", "berta"]
    assert len(found.of("article")) == 2 and len(found.of("input")) == 2
    cells = found.text("td")
    for text in ("left", "21.25", "2", "1 face", "-", "10"):
        assert text in cells
    assert "settings.restarts" in found.text("th")
    assert found.text("li") == ["b.png: damaged"]
    curves = [each for each in found.of("svg") if each["class"] == "curves"]
    assert len(curves) == 2


def test_a_page_loads_nothing():
    text = page(shown())
    found = Parsed(text)
    assert not found.of("link") and "://" not in text and "@import" not in text
    assert "url(" not in text
    for tag, attributes, _ in found.elements:
        for name in ("src", "href", "data", "srcset"):
            assert attributes.get(name, "data:").startswith("data:"), tag
        assert not any(name.startswith("on") for name in attributes)
    (script,) = found.of("script")
    assert script == {}


@pytest.mark.parametrize("name", ["a/b c.png", "50%#?.png", "caf\udce9.png", 'x".png'])
def test_a_face_leads_to_its_photograph_whatever_its_name(name):
    found = Parsed(page(shown(file=name)))
    (link,) = found.of("a")
    # A path beside the page, which no scheme of a name can make another address.
    assert link["href"].startswith("./")
    path = urllib.parse.unquote_to_bytes(link["href"].removeprefix("./"))
    assert os.fsdecode(path) == name
    assert not Parsed(page(shown())).of("a")


def test_pictures_are_those_given_to_the_pixel():
    face = shown()
    found = [decoded(each) for each in Parsed(page(face)).of("img")]
    given = face.pictures
    small = found[-len(given) :]
    for have, want in zip(small, given.values(), strict=True):
        np.testing.assert_array_equal(have, want)
    # The slider has both over each other, and the landmarks are on the result.
    for have, name in zip(found, ("completed", "input", "completed"), strict=False):
        np.testing.assert_array_equal(have, given[name])


def test_landmarks_lie_on_the_centres_of_their_pixels():
    found = Parsed(page(shown()))
    (box,) = (each for each in found.of("svg") if "points" in each["class"])
    assert box["viewbox"] == "0 0 6 6"
    dots = {each["class"]: each["d"] for each in found.of("path") if "class" in each}
    assert dots["target"] == "M1.50,2.50h0" and dots["result"] == "M3.50,4.50h0"
    without = Parsed(page(shown(landmarks={})))
    assert len(without.of("svg")) == 1


def test_texts_with_any_character_are_escaped():
    plain = page(shown(), of=run())
    evil = page(
        shown(EVIL, scores={EVIL: 1.0}, notes=[EVIL]),
        of=run(described={EVIL: EVIL}, mean={EVIL: 1.0}, skipped=[EVIL]),
    )
    evil.encode("utf-8", "strict")
    before, after = Parsed(plain), Parsed(evil)
    assert len(before.of("script")) == len(after.of("script")) == 1
    assert after.text("h2") == [
        r"""<script>alert('1')</script>"&amp;\n\x1b[2J\udcff é"""
    ]
    assert evil.count(r"\x1b[2J\udcff") == 7 and "\x1b" not in evil
    captioned = shown(pictures={**shown().pictures, EVIL: picture()})
    *_, last = Parsed(page(captioned)).of("img")
    assert last["alt"] == after.text("h2")[0]


def test_the_script_is_the_one_that_the_policy_allows():
    text = page(shown())
    script = re.search(r"<script>(.*?)</script>", text, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = Parsed(text).of("meta")[1]
    assert policy["http-equiv"] == "Content-Security-Policy"
    assert f"'sha256-{digest}'" in policy["content"]
    assert "default-src 'none'" in policy["content"]


def names_on(folder, number):
    text = (folder / output_names.sheet(number)).read_text()
    found = Parsed(text)
    return found.text("h2"), {each["href"] for each in found.of("a")}, text


def test_pages_hold_all_faces_at_any_moment(tmp_path, monkeypatch):
    monkeypatch.setattr(sheet_pages, "FACES_A_PAGE", 2)
    results, faces = known_results.Results(tmp_path), "abcdef"
    for number in (4, 5):
        results.path(f"contact_sheet_{number}.html").write_text("of an earlier run")
    pages = sheet_pages.Pages(results)
    for count, name in enumerate(faces, start=1):
        pages.add(shown(name), run(faces=count))
        on_pages = [names_on(tmp_path, i + 1)[0] for i in range((count + 1) // 2)]
        assert sum(on_pages, []) == list(faces[:count])
    pages.close(run(faces=6, skipped=["late.png: damaged"]))
    left = {path.name for path in tmp_path.glob("[!.]*")}
    assert left == {output_names.sheet(i) for i in (1, 2, 3)}
    for number, here in enumerate(("ab", "cd", "ef"), start=1):
        names, links, _ = names_on(tmp_path, number)
        assert names == list(here) and links <= left
    first = names_on(tmp_path, 1)[2]
    assert "6 faces" in first and "late.png" in first
    assert names_on(tmp_path, 2)[1] == {output_names.sheet(i) for i in (1, 3)}


def test_a_page_that_cannot_be_written_leaves_the_one_before(tmp_path, monkeypatch):
    pages = sheet_pages.Pages(known_results.Results(tmp_path))
    pages.add(shown("a"), run())
    before = (tmp_path / "contact_sheet.html").read_bytes()

    def full(path, text):
        with files.replacing(path) as temporary:
            temporary.write_text(text[: len(text) // 2])
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sheet_pages.files, "write_text", full)
    with pytest.raises(Exception, match="No space left"):
        pages.add(shown("b"), run())
    assert [path.name for path in tmp_path.glob("[!.]*")] == ["contact_sheet.html"]
    assert (tmp_path / "contact_sheet.html").read_bytes() == before
