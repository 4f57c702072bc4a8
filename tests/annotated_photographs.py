"""Completes photographs with annotated points, of which eyes and nose are hidden.

    python -m tests.annotated_photographs --folder=DIR --work=DIR -- --restarts=4

The folder holds pictures, each with 68 points beside it in a `.pts` file of 300-W. What
follows `--` are flags of `experiments.inpaint`. Each photograph is completed twice: by
itself, so that its face is found with the hole in it, and as a crop that the annotation
frames, as a control. Prints a table in Markdown, and draws both into `sheet_N.png`.
"""

import argparse
import json
import pathlib
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from experiments.common import reporting
from inpaint_jax.evaluation import metrics
from inpaint_jax.images import alignment, framing, pixels
from inpaint_jax.io import files, picture_files
from inpaint_jax.landmarks import annotation, dlib_host, frame_settling

CROP, SIZE, MODEL = 128, 256, 64  # CelebA pixels, pixels of the crop, of the model
HIDDEN = slice(27, 48)  # nose and eyes
MARGIN = 0.15  # of the hole around them, in eye distances
FOUND = 0.5  # farthest that the corners of a frame may be off, in eye distances
ROWS = 8

Points = Float[np.ndarray, "68 2"]


def read_points(path: pathlib.Path) -> Points:
    """Reads the points of a `.pts` file; in 300-W the first pixel is (1, 1)."""
    lines = path.read_text().splitlines()
    rows = [line.split() for line in lines if len(line.split()) == 2]
    found = np.array([row for row in rows if row[0][0].isdigit() or row[0][0] == "-"])
    return found.astype(float).reshape(68, 2) - 1


def eye_distance(points: Points) -> float:
    return float(annotation.eye_distance(jnp.asarray(points[None], jnp.float32))[0])


def hole_of(points: Points, shape: tuple[int, ...]) -> Bool[np.ndarray, "rows columns"]:
    """The rectangle around eyes and nose."""
    margin = MARGIN * eye_distance(points)
    left, top = np.floor(points[HIDDEN].min(axis=0) - margin).astype(int).clip(0)
    right, bottom = np.ceil(points[HIDDEN].max(axis=0) + margin).astype(int) + 1
    hole = np.zeros(shape[:2], bool)
    hole[top:bottom, left:right] = True
    return hole


def stencil(hole):
    return np.repeat(np.where(hole, np.uint8(255), np.uint8(0))[..., None], 3, axis=-1)


def prepare(folder: pathlib.Path, work: pathlib.Path) -> dict[str, dict]:
    """Writes photographs without their eyes and noses, crops of them, and masks."""
    found = {}
    for name in ("photographs", "masks", "crops", "crop_masks"):
        files.make_directory(work / name)
    for path in sorted(folder.glob("*.pts")):
        picture = picture_files.read(path.with_suffix(".jpg"))
        points = read_points(path)
        hole = hole_of(points, picture.shape)
        frame = frame_settling.frame_of(points, crop=CROP, size=SIZE)
        crop = alignment.to_frame(picture, frame, size=SIZE)
        crop_hole = alignment.hole_to_frame(hole, frame, size=SIZE)
        damaged = np.where(hole[..., None], np.uint8(255), picture)
        name = f"{path.stem}.png"
        picture_files.write(work / "photographs" / name, damaged)
        picture_files.write(work / "masks" / name, stencil(hole))
        damaged_crop = np.where(crop_hole[..., None], np.uint8(255), crop)
        picture_files.write(work / "crops" / name, damaged_crop)
        picture_files.write(work / "crop_masks" / name, stencil(crop_hole))
        found[path.stem] = {"picture": picture, "points": points, "hole": hole}
        found[path.stem] |= {"frame": frame, "crop": crop, "crop_hole": crop_hole}
    return found


def complete(work: pathlib.Path, name: str, mask: str, flags: list[str]) -> None:
    command = [sys.executable, "-m", "experiments.inpaint", *flags]
    command += [f"--images={work / name}", f"--mask={work / mask}"]
    command += [f"--output_dir={work / 'completed' / name}"]
    files.make_directory(work / "completed")
    code = subprocess.run(command, check=False).returncode
    assert code in (0, 1), f"{name}: exit code {code}"


def frames(folder: pathlib.Path) -> dict[str, list[alignment.Similarity]]:
    """The frames in which each photograph was completed, one for each face."""
    found: dict[str, list[alignment.Similarity]] = {}
    for each in json.loads((folder / "report.json").read_text())["images"]:
        frame = alignment.Similarity(np.array(each["frame"]))
        found.setdefault(pathlib.Path(each["photograph"]).stem, []).append(frame)
    return found


def corners_off(found, true, *, unit):
    """How far the corners of a frame are from where the annotation has them."""
    times = SIZE / MODEL
    half = [[0, 0, (times - 1) / 2]] * 2  # of the first pixel is its centre
    large = alignment.Similarity(times * found.matrix + half)
    return alignment.distance(large, true, size=SIZE) * SIZE / (true.scale * unit)


def hidden_psnr(crop, original, hole):
    one, other = (pixels.from_bytes(x)[None] for x in (crop, original))
    return float(
        metrics.psnr(one, other, jnp.asarray(hole, jnp.float32)[None, ..., None])[0]
    )


def point_error(predictor, crop, true):
    """The mean error of dlib's points at eyes and nose, in eye distances."""
    box = np.array([framing.aligned_box(crop=CROP, size=SIZE)], np.int32)
    points = predictor.predict(crop[None], box)[0][0]
    error = np.linalg.norm(points - true, axis=1)
    return float(error.mean()) / eye_distance(true), float(
        error[HIDDEN].mean()
    ) / eye_distance(true)


def measure(work: pathlib.Path, case: dict, name: str, predictor, found) -> dict:
    """What one photograph says."""
    frame, hole = case["frame"], case["hole"]
    control = picture_files.read(work / "completed" / "crops" / f"{name}.png")
    true = frame.apply(case["points"])
    row = {
        "control": control,
        "control psnr": hidden_psnr(control, case["crop"], case["crop_hole"]),
    }
    row["original nme"], row["original hidden"] = point_error(
        predictor, case["crop"], true
    )
    row["control nme"], row["control hidden"] = point_error(predictor, control, true)
    path = work / "completed" / "photographs" / f"{name}.png"
    if name not in found or not path.exists():
        return row
    result = picture_files.read(path)
    crop = alignment.to_frame(result, frame, size=SIZE)
    row["size kept"] = result.shape == case["picture"].shape
    row["known kept"] = row["size kept"] and np.array_equal(
        result[~hole], case["picture"][~hole]
    )
    unit = eye_distance(case["points"])
    row["off"] = min(corners_off(each, frame, unit=unit) for each in found[name])
    row["completed"] = crop
    row["psnr"] = hidden_psnr(crop, case["crop"], case["crop_hole"])
    row["nme"], row["hidden"] = point_error(predictor, crop, true)
    return row


def sheets(work: pathlib.Path, cases: dict, rows: dict) -> None:
    names = list(rows)
    for page, first in enumerate(range(0, len(names), ROWS), start=1):
        shown = names[first : first + ROWS]
        tiles = []
        for name in shown:
            hole = cases[name]["crop_hole"][..., None]
            damaged = np.where(hole, np.uint8(255), cases[name]["crop"])
            missing = np.zeros_like(damaged)
            completed = rows[name].get("completed", missing)
            tiles.append(
                [damaged, completed, rows[name]["control"], cases[name]["crop"]]
            )
        headings = ["damaged", "photograph", "control", "original"]
        sheet = reporting.captioned_sheet(
            tiles, headings=headings, names=shown, enlarge=1
        )
        picture_files.write(work / f"sheet_{page}.png", sheet)


def summary(rows: dict) -> str:
    """The table: means over the photographs, the control beside them."""
    done = [row for row in rows.values() if "psnr" in row]
    near = [row for row in done if row["off"] <= FOUND]

    def mean(key, among):
        return f"{np.mean([row[key] for row in among]):.3f}"

    lines = [("what", "photographs", "the same, framed by the annotation")]
    lines += [("completed", f"{len(done)} of {len(rows)}", f"{len(rows)}")]
    lines += [("corners within 0.5 eye distances", f"{len(near)} of {len(rows)}", "")]
    lines += [
        (text, str(sum(row[key] for row in done)), "")
        for key, text in (
            ("size kept", "size kept"),
            ("known kept", "pixels outside the hole equal"),
        )
    ]
    off = np.median([row["off"] for row in done])
    lines += [("corners off, median in eye distances", f"{off:.3f}", "0")]
    for key, text in (
        ("nme", "landmark error, all points"),
        ("hidden", "landmark error, eyes and nose"),
        ("psnr", "PSNR of the hole, dB"),
    ):
        lines += [(text, mean(key, done), mean(f"control {key}", done))]
    lines += [
        (
            "the same of the original",
            mean("original nme", done),
            mean("original hidden", done),
        )
    ]
    return reporting.table(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=pathlib.Path, required=True)
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--measure_only", action="store_true")
    parser.add_argument("flags", nargs="*")
    asked = parser.parse_args()
    cases = prepare(asked.folder, asked.work)
    if not asked.measure_only:
        complete(asked.work, "photographs", "masks", asked.flags)
        complete(asked.work, "crops", "crop_masks", [*asked.flags, "--face=none"])
    predictor = dlib_host.Predictor()
    found = frames(asked.work / "completed" / "photographs")
    rows = {
        name: measure(asked.work, case, name, predictor, found)
        for name, case in cases.items()
    }
    sheets(asked.work, cases, rows)
    for name, row in rows.items():
        numbers = {k: round(v, 3) for k, v in row.items() if isinstance(v, float)}
        print(name, json.dumps(numbers))
    print(summary(rows))


if __name__ == "__main__":
    main()
