"""Pages of completed faces for a browser: pictures, landmarks, loss curves, scores.

A page is one file of HTML5 that loads nothing: pictures are PNG inside it, and a policy
in its head forbids all else. Without JavaScript only the slider is missing. Texts may
hold any character; all are escaped here.
"""

import base64
import hashlib
import html
import io
import os
import urllib.parse
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from experiments.search import loss_curves, page_style
from inpaint_jax.errors import printable

Picture = UInt8[np.ndarray, "height width 3"]
Points = Float[np.ndarray, "points 2"]

# What the head says before all else, and how it calls it.
_ABOUT = {name: name for name in ("mask", "seed", "ranking", "blend", "device")}
_ABOUT["model.path"] = "model"
_LOSS_KEY = (
    '<span class="key loss"></span>each restart '
    '<span class="key best"></span>lowest so far'
)


class Face(NamedTuple):
    """What a page shows of a completed picture.

    Attributes:
      name: its name.
      pictures: {caption: picture} in their order; "input" and "completed" are among
        them and have one size.
      landmarks: {"target" or "result": landmarks (x, y) in pixels of "completed"}; may
        be empty.
      trace: the lines of its search in the log.
      scores: {name: number}; None or NaN for one that is not known.
      notes: sentences about it.
      file: name of the file with the completed photograph, beside the page; or "".
    """

    name: str
    pictures: Mapping[str, Picture]
    landmarks: Mapping[str, Points]
    trace: loss_curves.Trace
    scores: Mapping[str, float | None]
    notes: Sequence[str] = ()
    file: str = ""


class Run(NamedTuple):
    """What the head of a page says of the run.

    Attributes:
      described: the report's description of the search, as JSON values.
      faces: number of completed faces so far.
      mean: {score: its mean over these}.
      skipped: the reason for each picture that was left out.
    """

    described: Mapping[str, Any]
    faces: int
    mean: Mapping[str, float]
    skipped: Sequence[str]


def face(shown: Face) -> str:
    """Returns the part of a page about one face."""
    before, after = shown.pictures["input"], shown.pictures["completed"]
    blocks = [_compare(before, after)]
    if shown.landmarks:
        blocks.append(_landmarks(after, shown.landmarks))
    curves = loss_curves.svg(shown.trace)
    blocks.append(_figure(curves, f"loss against step: {_LOSS_KEY}"))
    blocks.append(_table(shown.scores))
    small = [_figure(_img(p, name), _text(name)) for name, p in shown.pictures.items()]
    notes = "".join(f"<p>{_text(note)}</p>\n" for note in shown.notes)
    name = _text(shown.name)
    if shown.file:
        address = urllib.parse.quote(os.fsencode(shown.file))
        name = f'{name} <a href="./{address}">the photograph</a>'
    return (
        f'<article class="face">\n<h2>{name}</h2>\n'
        f'<div class="row">\n{_lines(blocks)}</div>\n{notes}'
        f'<div class="row small">\n{_lines(small)}</div>\n</article>\n'
    )


def page(
    run: Run, faces: Iterable[str], *, number: int, links: Mapping[str, str]
) -> str:
    """Returns a whole page.

    Args:
      run: what its head says.
      faces: its faces, from `face`.
      number: of the page, from 1.
      links: {words: file of another page}.
    """
    title = "Completed faces" + (f", page {number}" if number > 1 else "")
    others = " ".join(
        f'<a href="{_text(file)}">{_text(words)}</a>' for words, file in links.items()
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy()}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{page_style.STYLE}</style>\n</head>\n"
        f"<body>\n<header>\n<h1>{title}</h1>\n{_head(run)}</header>\n"
        f"<main>\n{''.join(faces)}</main>\n"
        + (f"<nav>{others}</nav>\n" if others else "")
        + f"<script>{page_style.SCRIPT}</script>\n</body>\n</html>\n"
    )


def _policy() -> str:
    digest = hashlib.sha256(page_style.SCRIPT.encode()).digest()
    return (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{base64.b64encode(digest).decode()}'"
    )


def _head(run: Run) -> str:
    flat = dict(_flat(run.described))
    short = {text: flat[name] for name, text in _ABOUT.items() if name in flat}
    rest = {name: value for name, value in flat.items() if name not in _ABOUT}
    faces = "1 face" if run.faces == 1 else f"{run.faces} faces"
    short = {
        "completed": faces,
        **short,
        **{f"mean {k}": v for k, v in run.mean.items()},
    }
    reasons = "".join(f"<li>{_text(reason)}</li>\n" for reason in run.skipped)
    skipped = f"<p>Skipped: {len(run.skipped)}</p>\n"
    if reasons:
        skipped += f"<ul>\n{reasons}</ul>\n"
    return (
        f'<div class="about">\n{_table(short)}\n{skipped}'
        f"<details>\n<summary>All settings, model and versions</summary>\n"
        f"{_table(rest)}\n</details>\n</div>\n"
    )


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _compare(before: Picture, after: Picture) -> str:
    stack = _img(after, "completed") + _img(before, "input", "over before")
    slider = (
        '<input type="range" min="0" max="100" value="50" hidden '
        'aria-label="share of the input that is shown">'
    )
    return (
        f'<figure class="compare"><div class="stack">{stack}</div>{slider}'
        "<figcaption>left: input, right: completed</figcaption></figure>"
    )


def _landmarks(picture: Picture, landmarks: Mapping[str, Points]) -> str:
    height, width = picture.shape[:2]
    dots, keys = [], []
    for i, (whose, points) in enumerate(landmarks.items()):
        size = (0.03 if i == 0 else 0.016) * width  # so that both are seen
        # A line of no length is drawn as a dot. Places are centres of pixels.
        path = "".join(f"M{x + 0.5:.2f},{y + 0.5:.2f}h0" for x, y in points)
        dots += [
            f'<path class="edge" d="{path}" stroke-width="{1.4 * size:.2f}"/>',
            f'<path class="{_text(whose)}" d="{path}" stroke-width="{size:.2f}"/>',
        ]
        keys.append(f'<span class="key {_text(whose)}"></span>{_text(whose)}')
    over = (
        f'<svg class="points over" viewBox="0 0 {width} {height}">{"".join(dots)}</svg>'
    )
    stack = f'<div class="stack">{_img(picture, "landmarks on the result")}{over}</div>'
    return _figure(stack, f"landmarks: {''.join(keys)}")


def _figure(content: str, caption: str) -> str:
    return f"<figure>{content}<figcaption>{caption}</figcaption></figure>"


def address(picture: Picture) -> str:
    """Returns a picture as an address that holds it, as PNG."""
    stored = io.BytesIO()
    Image.fromarray(picture).save(stored, format="PNG")
    return f"data:image/png;base64,{base64.b64encode(stored.getvalue()).decode()}"


def _img(picture: Picture, alt: str, names: str = "") -> str:
    kind = f' class="{names}"' if names else ""
    height, width = picture.shape[:2]
    return (
        f'<img{kind} width="{width}" height="{height}" alt="{_text(alt)}" '
        f'src="{address(picture)}">'
    )


def _table(values: Mapping[str, Any]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{_text(name)}</th><td>{_text(_value(value))}</td></tr>\n'
        for name, value in values.items()
    )
    return f"<table>\n<tbody>\n{rows}</tbody>\n</table>" if rows else ""


def _value(value: Any) -> str:
    if value is None or value != value:  # NaN
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _lines(parts: Iterable[str]) -> str:
    return "".join(f"{part}\n" for part in parts)


def _text(text: str) -> str:
    """Escapes a text, in which what is no visible character has become an escape."""
    return html.escape(printable(text))
