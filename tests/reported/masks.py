"""Reported cases about what marks the hole."""

import numpy as np

from tests.reported import running
from tests.reported.running import Case, Check, Checks

_PAINTED = (1250, 2700, 2200, 3350)  # in 01, on the upright photograph
_MARKED = (110, 180, 250, 300)  # in 10
_ERASED = (110, 150, 180, 230)  # in 11
_INVERTED = (60, 95, 120, 130)  # in 12


def exif_mask(case: Case) -> Checks:
    """01: a photograph that EXIF turns, and masks that are turned as it or are not."""
    case.make()
    photo = case.picture("in/photo.jpg")
    hole = running.box_hole(photo.shape, _PAINTED)
    for name in ("mask_upright.png", "mask_exif.jpg"):
        flags = ("--images=in/photo.jpg", f"--mask=in/{name}", f"--output_dir={name}.d")
        yield case.inpaint(running.SMOKE, *flags).done()
        yield running.put_back(photo, case.picture(f"{name}.d/photo.png"), hole)
    flags = ("--images=in/photo.jpg", "--mask=in/mask_stored.png", "--output_dir=out")
    stored = case.inpaint(running.SMOKE, *flags)
    yield stored.refused("mask_stored.png", "EXIF", "4000 x 3000", "3000 x 4000")


def jpeg_mask(case: Case) -> Checks:
    """10: one hole, stored in ten ways."""
    case.make()
    photo = case.picture("in/face.png")
    hole = running.box_hole(photo.shape, _MARKED)
    for path in sorted((case.here / "in").glob("mask_*")):
        flags = ("--images=in/face.png", f"--mask={path}", f"--output_dir={path.stem}")
        ended = case.inpaint(*running.SHORTEST, *flags)
        if ended.code == 0:
            # A quality of 10 leaves rings as far as the blocks of JPEG reach.
            grown = 16 if path.suffix == ".jpg" else 0
            found = case.picture(f"{path.stem}/face.png")
            check = running.put_back(photo, found, hole, grown=grown)
        else:
            check = ended.done()
        yield Check(check.holds, f"{path.name}: {check.seen}")


def erased_hole(case: Case) -> Checks:
    """11: an eye that was erased, and a photograph that is given as its own mask."""
    case.make()
    photo = case.picture("in/erased.png")
    hole = running.box_hole(photo.shape, _ERASED)
    for name, mask in {
        "no --mask": (),
        "--mask=alpha": ("--mask=alpha",),
        "the picture as its mask": ("--mask=in/erased.png",),
    }.items():
        ended = case.inpaint(
            *(running.SMOKE, "--images=in/erased.png", *mask),
            f"--output_dir={name.replace(' ', '_')}",
        )
        check = ended.done()
        if check.holds:
            found = case.picture(f"{name.replace(' ', '_')}/erased.png")
            check = running.put_back(photo, found, hole)
        yield Check(check.holds, f"{name}: {check.seen}")
    flags = ("--images=in/whitened.png", "--mask=in/whitened.png", "--output_dir=white")
    white = case.inpaint(running.SMOKE, *flags)
    yield white.refused("whitened.png", "photograph")


def mask_polarity(case: Case) -> Checks:
    """12: a mask in which black marks the hole."""
    case.make()
    photo = case.picture("in/face.png")
    flags = ("--images=in/face.png", "--mask=in/mask_black_hole.png")
    ended = case.inpaint(running.SMOKE, *flags, "--output_dir=out")
    yield ended.done()
    hint = ended.line("--mask_hole=black")
    yield Check(bool(hint), hint or "no hint at --mask_hole")
    hole = ~running.box_hole(photo.shape, _INVERTED)
    if ended.code == 0:
        found = case.picture("out/face.png")
        framed = (photo != found).any(axis=-1)
        # Only what the face's frame shows can be completed.
        yield running.put_back(photo, found, hole, least=0.3)
        told = ended.line("of the hole", "stays as it is")
        whole = framed[hole].mean() > 0.9
        yield Check(whole or bool(told), told or "all of the hole is filled")


def mask_per_picture(case: Case) -> Checks:
    """31: a folder of masks, and one mask for pictures of two sizes."""
    case.make()
    flags = ("--images=photos", "--mask=masks", "--output_dir=out")
    yield case.inpaint(*running.SHORTEST, *flags).done()
    for k in range(3):
        photo = case.picture(f"photos/p{k}.png")
        hole = running.box_hole(photo.shape, (40 + 20 * k, 90, 90 + 20 * k, 130))
        check = running.put_back(photo, case.picture(f"out/p{k}.png"), hole)
        yield Check(check.holds, f"p{k}: {check.seen}")
    mixed = case.here / "mixed"
    mixed.mkdir()
    for path in (case.here / "photos/p0.png", case.data / "celeba_half/009002.jpg"):
        (mixed / path.name).write_bytes(path.read_bytes())
    flags = ("--images=mixed", "--mask=masks/p0.png", "--output_dir=out2")
    ended = case.inpaint(*running.SHORTEST, *flags)
    yield ended.done(1)
    told = ended.line("skipped", "009002", "p0.png", "178 x 218", "89 x 109")
    yield Check(bool(told), told or "009002.jpg is not named with both sizes")


def grid_of_known_pixels(case: Case) -> Checks:
    """32: one pixel in sixteen is known; two corners are hidden."""
    case.make()
    for mask in ("grid4", "corners"):
        flags = ("--images=faces", "--original_known", f"--mask=in/{mask}.png")
        ended = case.inpaint("--restarts=4", *flags, f"--output_dir={mask}")
        yield ended.done()
        for entry in case.report(mask)["images"]:
            name = entry["image"]
            photo = case.picture(f"faces/{name}.png")
            found = case.picture(f"{mask}/{name}.png")
            changed = (photo != found).any(axis=-1)
            plain = np.where(changed[..., None], _mean(photo, ~changed), photo)
            plain = running.psnr(photo, plain.astype(np.uint8), changed)
            drawn = running.psnr(photo, found, changed)
            # A hole in one colour is what no search is needed for.
            yield Check(
                photo.shape == found.shape and drawn > plain + 3,
                f"{mask}, {name}: {drawn:.1f} dB in the hole ({plain:.1f} in the mean "
                "colour of what is known)",
            )


def _mean(photo: running.Picture, known: running.Hole) -> np.ndarray:
    return photo[known].mean(axis=0)
