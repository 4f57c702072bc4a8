"""Reported cases about how pictures store their colours."""

import numpy as np
from PIL import Image

from tests.reported import running
from tests.reported.running import SHORTEST, Case, Check, Checks

_GREY = ("grey", "grey16", "la")  # in 16
# Levels by which JPEG of quality 75, CMYK and palettes may differ on the average.
_NOISE = 6.0


def grey_photo(case: Case) -> Checks:
    """08: five grey photographs."""
    case.make()
    flags = ("--images=in", "--mask=centre", "--output_dir=out")
    yield case.inpaint("--restarts=4", *flags).done()
    for path in sorted((case.here / "in").iterdir()):
        with Image.open(case.here / "out" / path.name) as opened:
            mode = opened.mode
            pixels = np.asarray(opened.convert("RGB")).astype(int)
        before = case.picture(f"in/{path.name}")
        coloured = int((pixels.max(axis=-1) - pixels.min(axis=-1)).max())
        filled = float((pixels != before).any(axis=-1).mean())
        yield Check(
            coloured == 0 and pixels.shape == before.shape and filled > 0.05,
            f"{path.name}: {coloured} levels of colour, mode {mode}, {filled:.0%} new",
        )


def colour_profile(case: Case) -> Checks:
    """15: one picture in sRGB and in Display P3."""
    case.make()
    yield case.inpaint(*SHORTEST, "--images=in", "--output_dir=out").done()
    before = case.picture("in/srgb.png")
    known = (before == case.picture("out/srgb.png")).all(axis=-1)
    one, other = (case.picture(f"out/{name}.png") for name in ("srgb", "p3"))
    away = np.abs(one[known].astype(int) - other[known])
    with Image.open(case.here / "out/p3.png") as opened:
        profile = "icc_profile" in opened.info
    yield Check(known.mean() > 0.6, f"{known.mean():.0%} of the pixels are known")
    yield Check(
        int(away.max()) <= 1 and not profile,
        f"known pixels are {away.max()} levels apart at most, {away.mean():.2f} on the "
        f"average; profile in the result: {profile}",
    )


def pixel_modes(case: Case) -> Checks:
    """16: modes, two pictures in one file, 16 bits, a file that was cut off."""
    case.make()
    ended = case.inpaint(*SHORTEST, "--images=in", "--output_dir=out")
    yield ended.done(1)
    before, after = case.picture("in/ref.png"), case.picture("out/ref.png")
    known = (before == after).all(axis=-1)
    grey = np.asarray(Image.fromarray(before).convert("L").convert("RGB"))
    for path in sorted((case.here / "in").iterdir()):
        if case.wrote(f"out/{path.stem}.png"):
            truth = grey if path.stem in _GREY else before
            found = case.picture(f"out/{path.stem}.png")[known].astype(int)
            away = float(np.abs(found - truth[known]).mean())
            yield Check(away < _NOISE, f"{path.name} read, {away:.1f} levels off")
        else:
            told = ended.line("skipped", path.name)
            yield Check(bool(told), told or f"{path.name} is not named")


def batch_invariance(case: Case) -> Checks:
    """25: a picture alone, and beside others that are searched for at once."""
    (case.here / "in").mkdir()
    for k in range(1, 6):
        name = f"00900{k}.jpg"
        content = (case.data / "celeba_half" / name).read_bytes()
        (case.here / "in" / name).write_bytes(content)
    wanted = (running.SMOKE, "--mask=free-form")
    written = {}
    for name, flags in {
        "alone": ("--images=in/009003.jpg",),
        "five": ("--images=in",),
        "two at once": ("--images=in", "--images_at_once=2"),
        "three at once": ("--images=in", "--images_at_once=3"),
    }.items():
        yield case.inpaint(*wanted, *flags, f"--output_dir={name}").done()
        written[name] = case.here / name / "009003.png"
    alone = case.picture("alone/009003.png").astype(int)
    for name, path in list(written.items())[1:]:
        same = path.read_bytes() == written["alone"].read_bytes()
        away = np.abs(case.picture(f"{name}/009003.png") - alone).max()
        yield Check(same, f"{name}: same bytes {same}, at most {away} levels apart")
