"""Reported cases about photographs of people, whose faces must be found first."""

import numpy as np

from experiments.search import face_finder
from inpaint_jax.images import alignment
from tests.reported import running
from tests.reported.running import Box, Case, Check, Checks

_CROP, _SIZE = 128, 64
_NEAR = 0.35  # of the distance of the eyes: how far a frame may be off
_GIGABYTES = 4
_EYES = (slice(36, 42), slice(42, 48))  # of the 68 landmarks


def offcentre_person(case: Case) -> Checks:
    """02: a couple; the eyes of the woman, far from the middle, are the hole."""
    yield from _one_face(case, "couple.jpg", (1100, 1150, 1290, 1280))


def three_people(case: Case) -> Checks:
    """03: three people; the eyes of the one in the middle."""
    yield from _one_face(case, "three.jpg", (910, 850, 1160, 1000))


def full_body(case: Case) -> Checks:
    """04: a group from head to foot; the lower half of one face."""
    yield from _one_face(case, "group.jpg", (835, 960, 960, 1050))


def original_size(case: Case) -> Checks:
    """17: a portrait of 1024 x 1024 pixels."""
    yield from _one_face(case, "portrait.jpg", (430, 640, 640, 760))


def _one_face(case: Case, name: str, box: Box) -> Checks:
    """Completes one face of a photograph, and compares its frame with what is seen."""
    case.make()
    photo = case.picture(f"in/{name}")
    hole = running.box_hole(photo.shape, box)
    flags = (f"--images=in/{name}", "--mask=in/mask.png", "--output_dir=out")
    ended = case.inpaint("--restarts=4", *flags)
    yield ended.done()
    if ended.code:
        return
    stem = name.partition(".")[0]
    yield running.put_back(photo, case.picture(f"out/{stem}.png"), hole)
    entries = case.report("out")["images"]
    yield Check(len(entries) == 1, f"{len(entries)} face completed")
    away, side = _frame_error(photo, np.array(entries[0]["frame"]), box)
    yield Check(
        away < _NEAR,
        f"a frame of {side:.0f} pixels, its eyes {away:.2f} eye distances from where "
        "they are without the hole",
    )


def _frame_error(
    photo: running.Picture, matrix: np.ndarray, box: Box
) -> tuple[float, float]:
    """Compares a frame with that of the face which is found at a box without a hole.

    Returns:
      How far the eyes of the two frames are apart, over the distance of the eyes, and
      the side of the frame in the photograph; infinite if there is no face.
    """
    find = face_finder.Finder(_CROP, _SIZE).faces
    eyes = np.array(
        [alignment.template(crop=_CROP, size=_SIZE)[eye].mean(axis=0) for eye in _EYES]
    )
    found = alignment.Similarity(matrix)
    side = _SIZE / found.scale
    here = found.inverse.apply(eyes)
    middle = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])
    distances = []
    for face, _ in find(photo, None):
        inside = face.apply(middle[None])[0]
        if (inside >= 0).all() and (inside < _SIZE).all():
            there = face.inverse.apply(eyes)
            apart = np.linalg.norm(there[1] - there[0])
            distances.append(np.linalg.norm(here - there, axis=1).mean() / apart)
    return min(distances, default=np.inf), side


def hole_outside_crop(case: Case) -> Checks:
    """05: a face at the edge of a photograph, a quarter of one, and no face at all."""
    case.make()
    photo = case.picture("in/table.jpg")
    for mask, box in {
        "in/mask_right.png": (440, 165, 490, 215),
        "in/mask_cut.png": (425, 165, 490, 215),
    }.items():
        ended = case.inpaint(
            running.SMOKE,
            "--images=in/table.jpg",
            f"--mask={mask}",
            f"--output_dir={mask}.d",
        )
        told = ended.line("hole", "outside")
        if ended.code == 0:
            found = case.picture(f"{mask}.d/table.png")
            hole = running.box_hole(photo.shape, box)
            check = running.put_back(photo, found, hole, least=0.0 if told else 0.9)
        else:
            check = ended.refused("hole", "outside")
        yield Check(check.holds, f"{mask}: {check.seen}{', ' * bool(told)}{told}")
    flags = ("--images=in/table.jpg", "--mask=rect:0,340,30,30", "--output_dir=out")
    ended = case.inpaint(running.SMOKE, *flags)
    yield ended.refused("table.jpg", "30 x 30 pixels from (0, 340)", "outside")


def megapixels(case: Case) -> Checks:
    """30: a photograph of 48 megapixels."""
    case.make()
    photo = case.picture("in/48mp.jpg")
    kept = f"--compilation_cache_dir={case.programs}"
    flags = (running.SMOKE, "--images=in/48mp.jpg", "--output_dir=out", kept)
    ended, peak = case.measured("experiments.inpaint", *flags)
    yield ended.done()
    found = case.picture("out/48mp.png")
    entry = case.report("out")["images"][0]
    away = alignment.Similarity(np.array(entry["frame"])).inverse
    middle = alignment.corners(_SIZE) / 2 + (_SIZE - 1) / 4
    # The middle half of the frame, with a pixel of the frame beside it.
    x, y = away.apply(middle + np.sign(middle - _SIZE / 2)).T
    box = int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1
    hole = running.box_hole(photo.shape, box)
    yield running.put_back(photo, found, hole, least=0.7)
    yield Check(
        peak <= 1000 * _GIGABYTES,
        f"{ended.seconds:.0f} s, at most {peak / 1000:.1f} GB (goal: {_GIGABYTES})",
    )
