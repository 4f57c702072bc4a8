"""Reported cases about faces that are not seen from the front, or are half hidden."""

import numpy as np
from PIL import Image, ImageDraw

from tests.reported import running
from tests.reported.running import Case, Check, Checks

_LESS = 0.5  # dB by which an unaligned face may be worse
# Pictures of the case: by how much the face is turned, moved to the right, and down.
_MOVED = {
    "b_tilt15": (15, 0, 0),
    "b_tilt30": (30, 0, 0),
    "b_tilt45": (45, 0, 0),
    "c_right25": (0, 25, 0),
    "c_down25": (0, 0, 25),
}
_WIDTH, _HEIGHT, _HALF = 178, 218, 32  # of its pictures, and half the side of the hole


def tilted_head(case: Case) -> Checks:
    """06: four faces, upright, tilted, moved and scaled, in pictures as CelebA's."""
    case.make()
    flags = ("--restarts=4", "--output_dir=out")
    yield case.inpaint("--images=in", "--mask=centre", *flags).done()
    drawn = _by_variant(case.report("out"))
    seen = ", ".join(f"{name} {value:.1f}" for name, value in sorted(drawn.items()))
    # Each face has another hole here, and a small one shows less.
    yield Check(len(drawn) == 8, f"the centre of each frame: {seen} dB")
    case.make("control.py")
    _square().save(case.here / "square.png")
    for variant, moved in _MOVED.items():
        yield _same_holes(case, variant, moved)


def _same_holes(case: Case, variant: str, moved: tuple[int, int, int]) -> Check:
    """Compares with the same holes in faces that are aligned by their making."""
    _square(*moved).save(case.here / f"mask_{variant}.png")
    flags = ("--restarts=4", "--original_known")
    aligned = case.inpaint(
        *(*flags, "--images=control/faces", f"--output_dir=aligned_{variant}"),
        f"--mask=mask_{variant}.png",
    )
    found = case.inpaint(
        *(*flags, f"--images=in/*_{variant}.png", f"--output_dir={variant}"),
        "--mask=square.png",
    )
    if aligned.code or found.code:
        return Check(False, f"{variant}: {aligned.done().seen}, {found.done().seen}")
    goal, value = (
        np.mean([entry["psnr_hole"] for entry in case.report(folder)["images"]])
        for folder in (f"aligned_{variant}", variant)
    )
    seen = f"{variant}, same holes: {value:.1f} dB, {goal:.1f} if aligned first"
    return Check(bool(value >= goal - _LESS), seen)


def _square(turn: float = 0, right: float = 0, down: float = 0) -> Image.Image:
    """The picture's central square as a face sees it that was turned and moved."""
    hole = Image.new("L", (_WIDTH, _HEIGHT))
    cos, sin = np.cos(np.deg2rad(turn)), np.sin(np.deg2rad(turn))
    corners = _HALF * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)])
    turned = (corners - [right, down]) @ [[cos, sin], [-sin, cos]]
    place = turned + [_WIDTH / 2, _HEIGHT / 2]
    ImageDraw.Draw(hole).polygon([tuple(x) for x in place.tolist()], fill=255)
    return hole


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
    hole = np.asarray(Image.open(case.here / "mask.png")) > 0
    for path in sorted((case.here / "in").iterdir()):
        result = case.picture(f"out/{path.name}")
        check = running.put_back(case.picture(f"in/{path.name}"), result, hole)
        yield Check(check.holds, f"{path.name}: {check.seen}")
    # No measure that was tried tells eyes from what is left of the glasses.
    if case.two_eyes is None:
        raise running.NotRun("look at out/grid.png, and count with --two_eyes=N")
    yield Check(case.two_eyes == 4, f"two eyes in {case.two_eyes} of 4, by looking")
