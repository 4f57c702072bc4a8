"""Measures limitation 2 of the thesis: the sizes of eyes, nose and mouth in the face.

    python -m tests.part_sizes --ablation=outputs/structure --masks=centre,left

For each method of a finished ablation it compares completions with their originals by
dlib's points, in the original's box. For eyes, nose and mouth: the mean over faces of
the difference in log(size of the part / size of the face). For the shape: the distance
after the best shift, turn and scale, over the distance of the eyes. Beside each stands
the 95 % interval of the paired difference to the first method.
"""

import argparse
import pathlib

import numpy as np

from experiments.common import statistics
from inpaint_jax.images import framing
from inpaint_jax.io import picture_files
from inpaint_jax.landmarks import annotation, dlib_host

PARTS = {
    "eyes": (annotation.RIGHT_EYE, annotation.LEFT_EYE),
    "nose": (annotation.NOSE,),
    "mouth": (annotation.MOUTH,),
}


def log_size(points):
    apart = points - points.mean(axis=1, keepdims=True)
    return 0.5 * np.log((apart**2).sum(-1).mean(-1))


def errors(found, wanted):
    """{measure: error of each face}, NaN where the original has no landmarks."""
    relative = [
        [log_size(points[:, part]) - log_size(points) for points in (found, wanted)]
        for parts in PARTS.values()
        for part in parts
    ]
    right, left, nose, mouth = (np.abs(a - b) for a, b in relative)
    eyes = np.linalg.norm(
        wanted[:, annotation.RIGHT_EYE].mean(1)
        - wanted[:, annotation.LEFT_EYE].mean(1),
        axis=-1,
    )
    x, y = (points @ [1, 1j] for points in (found, wanted))
    x, y = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
    fit = (x.conj() * y).sum(1) / (np.abs(x) ** 2).sum(1)
    shape = np.sqrt((np.abs(fit[:, None] * x - y) ** 2).mean(1)) / eyes
    return {"eyes": (right + left) / 2, "nose": nose, "mouth": mouth, "shape": shape}


def read(folder, names):
    return np.stack([picture_files.read(folder / f"{name}.png") for name in names])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ablation", type=pathlib.Path, required=True)
    parser.add_argument("--masks", default="centre,left")
    parser.add_argument("--seed", default="0")
    parser.add_argument("--crop", type=int, default=128)
    asked = parser.parse_args()
    originals = asked.ablation / "originals"
    names = sorted(path.stem for path in originals.glob("*.png"))
    images = read(originals, names)
    detector, predictor = dlib_host.Detector(), dlib_host.Predictor()
    found = [detector.boxes(image) for image in images]
    usual = np.array(
        framing.aligned_box(crop=asked.crop, size=images.shape[1]), np.int32
    )
    boxes = np.stack([each[0] if len(each) == 1 else usual for each in found])
    wanted = predictor.predict(images, boxes)[0].astype(float)
    wanted[[len(each) == 0 for each in found]] = np.nan
    for mask in asked.masks.split(","):
        print(f"\n| {mask} | {' | '.join((*PARTS, 'shape'))} |\n|{5 * ' --- |'}")
        folders = sorted((asked.ablation / "completions" / mask).iterdir())
        folders.sort(key=lambda folder: folder.name != "none")
        baseline = None
        for folder in folders:
            seen = predictor.predict(read(folder / asked.seed, names), boxes)[0]
            scores = errors(seen.astype(float), wanted)
            baseline = baseline or scores
            cells = []
            for name, values in scores.items():
                differ = values - baseline[name]
                known = differ[np.isfinite(differ)]
                cell = f"{np.nanmean(values):.4f}"
                if scores is not baseline:
                    known = statistics.interval(known, np.random.default_rng(0))
                    cell += f" [{known['low']:+.4f}, {known['high']:+.4f}]"
                cells.append(cell)
            print(f"| {folder.name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
