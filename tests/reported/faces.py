"""Reported cases about faces that are not seen from the front, or are half hidden."""

import numpy as np
from PIL import Image

from inpaint_jax.images import framing
from inpaint_jax.io import files
from tests.reported import running
from tests.reported.running import Case, Check, Checks

_LESS = 0.5  # dB by which an unaligned face may be worse
_SAME_HOLES = {"b_tilt30": "tilt30", "c_down25": "down25"}
_SIZE = 64
# Boxes of the eyes in the mean face, in pixels of its frame, and how much what is drawn
# there must look like them: three in four eyes of aligned faces do, and few cheeks.
# Sunglasses do too, so a likeness shows at most that something dark is there: look.
_EYES = {"left": (16, 26, 31, 37), "right": (33, 26, 48, 37)}
_LIKE, _MOVED = 0.6, 3


def tilted_head(case: Case) -> Checks:
    """06: four faces, upright, tilted, moved and scaled, in pictures as CelebA's."""
    case.make()
    flags = ("--restarts=4", "--output_dir=out")
    yield case.inpaint("--images=in", "--mask=centre", *flags).done()
    drawn = _by_variant(case.report("out"))
    upright = drawn.pop("a_upright")
    yield Check(True, f"upright {upright:.1f} dB in the hole")
    for name, value in sorted(drawn.items()):
        seen = f"{name} {value:.1f} dB"
        yield Check(value >= upright - _LESS, seen)
    yield from _same_holes(case)


def _same_holes(case: Case) -> Checks:
    """Compares with the same holes in faces that are aligned by their making."""
    case.make("control.py")
    hole = Image.new("L", (178, 218))
    hole.paste(255, (57, 77, 121, 141))
    hole.save(case.here / "square.png")
    for variant, control in _SAME_HOLES.items():
        flags = ("--restarts=4", "--original_known")
        aligned = case.inpaint(
            *(*flags, "--images=control/faces", f"--output_dir={control}"),
            f"--mask=control/mask_{control}.png",
        )
        moved = case.inpaint(
            *(*flags, f"--images=in/*_{variant}.png", f"--output_dir={variant}"),
            "--mask=square.png",
        )
        if aligned.code or moved.code:
            yield Check(False, f"{variant}: {aligned.done().seen}, {moved.done().seen}")
            continue
        goal = np.mean([e["psnr_hole"] for e in case.report(control)["images"]])
        found = np.mean([e["psnr_hole"] for e in case.report(variant)["images"]])
        yield Check(
            bool(found >= goal - _LESS),
            f"{variant}, same holes: {found:.1f} dB, {goal:.1f} if aligned first",
        )


def _by_variant(report: dict) -> dict[str, float]:
    """Returns {variant: mean PSNR of the hole in dB}."""
    found: dict[str, list[float]] = {}
    for entry in report["images"]:
        variant = entry["image"].partition("_")[2]
        found.setdefault(variant, []).append(entry["psnr_hole"])
    return {name: float(np.mean(values)) for name, values in found.items()}


def sunglasses(case: Case) -> Checks:
    """07: four faces with sunglasses, which are the hole."""
    case.make()
    flags = ("--images=in", "--mask=mask.png", "--output_dir=out")
    yield case.inpaint("--restarts=4", *flags).done()
    two = 0
    for path in sorted((case.here / "in").iterdir()):
        likeness = eyes_in(case.picture(f"out/{path.name}"))
        two += all(value >= _LIKE for value in likeness.values())
        shown = ", ".join(f"{name} {value:.2f}" for name, value in likeness.items())
        yield Check(True, f"{path.name}: likeness of the eyes {shown}")
    yield Check(two == 4, f"two eyes in {two} of 4, by their likeness to a mean face's")


def eyes_in(picture: running.Picture) -> dict[str, float]:
    """Returns how much each eye's place in an aligned face looks like an eye.

    Args:
      picture: an aligned CelebA picture.

    Returns:
      {eye: the largest normalised correlation with the mean face's eye, nearby}.
    """
    with Image.open(files.ASSETS / "mean_face.png") as opened:
        mean = np.asarray(opened.convert("L").resize((_SIZE, _SIZE))).astype(float)
    frame = framing.frame(picture, crop=128, size=_SIZE)
    face = np.asarray(Image.fromarray(frame).convert("L")).astype(float)
    found = {}
    for name, (left, top, right, bottom) in _EYES.items():
        eye = mean[top:bottom, left:right]
        found[name] = max(
            np.corrcoef(
                eye.ravel(),
                face[top + y : bottom + y, left + x : right + x].ravel(),
            )[0, 1]
            for y in range(-_MOVED, _MOVED + 1)
            for x in range(-_MOVED, _MOVED + 1)
        )
    return found
