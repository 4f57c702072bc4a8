"""Completes damaged faces.

python -m experiments.inpaint
python -m experiments.inpaint --flagfile=experiments/flags/landmark.flags \
    --images=faces --mask=left --output_dir=outputs/left
"""

import dataclasses
import pathlib
import time
from typing import Any

import numpy as np
import tqdm
from absl import flags
from jaxtyping import UInt8

from experiments import application, cases, guides, reporting
from inpaint_jax import (
    completion,
    data,
    files,
    masks,
    metrics,
    pixels,
    weights,
)
from inpaint_jax.errors import InputError

_PORTRAIT = pathlib.Path(data.__file__).parent / "assets" / "portrait.png"
_SHOWN_RESTARTS = 4
_DEFAULTS = completion.Settings()

_IMAGES = flags.DEFINE_string(
    "images",
    None,
    "A picture, or a folder of pictures with an optional [start:stop]; by default the "
    "portrait that comes with the package.",
)
_MASK = flags.DEFINE_string(
    "mask", "centre", f"{', '.join(masks.MASKS)}, or a picture that marks the hole."
)
_MASK_HOLE = flags.DEFINE_enum(
    "mask_hole", "white", ["white", "black"], "Which colour marks the hole in a file."
)
_ORIGINAL = flags.DEFINE_bool(
    "original_known",
    None,
    "Whether the pictures are undamaged, so that the result can be scored; by default "
    "yes for a named mask, no for a mask file.",
)
_OUTPUT = flags.DEFINE_string("output_dir", "outputs", "Folder to write to.")
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", "release", "A --run_dir of experiments.train, or a release folder."
)
_SEED = flags.DEFINE_integer("seed", 0, "Of masks and starting points.", 0, 2**32 - 1)
_BLEND = flags.DEFINE_enum("blend", "poisson", ["poisson", "paste"], "See blending.")
_FIGURE = flags.DEFINE_bool(
    "landmark_figure", False, "Draw the landmarks through each search."
)
_SEARCH = {
    "restarts": flags.DEFINE_integer(
        "restarts", _DEFAULTS.restarts, "Starting points for each image.", 1
    ),
    "iterations": flags.DEFINE_integer(
        "iterations", _DEFAULTS.iterations, "Steps of each restart.", 1
    ),
    "learning_rate": flags.DEFINE_float(
        "learning_rate", _DEFAULTS.learning_rate, "Of the optimizer of z.", 0.0
    ),
    "decay": flags.DEFINE_bool(
        "decay", _DEFAULTS.decay, "Let that rate fall to nothing along half a cosine."
    ),
    "optimizer": flags.DEFINE_enum(
        "optimizer", _DEFAULTS.optimizer, ["adam", "nesterov"], "Of z."
    ),
    "start": flags.DEFINE_enum(
        "start", _DEFAULTS.start, ["uniform", "normal"], "How z is drawn."
    ),
    "init": flags.DEFINE_enum(
        "init",
        _DEFAULTS.init,
        ["random", "encoder", "mixed"],
        "Where restarts begin: anywhere, around the encoder's guess, or half and half.",
    ),
    "spread": flags.DEFINE_float(
        "spread", _DEFAULTS.spread, "Of the restarts around that guess.", 0.0
    ),
    "window": flags.DEFINE_integer(
        "window", _DEFAULTS.window, "Side of eq. 15's neighbourhood, odd.", 1
    ),
    "lambda_context": flags.DEFINE_float(
        "lambda_context", _DEFAULTS.lambda_context, "Weight of eq. 16.", 0.0
    ),
    "lambda_prior": flags.DEFINE_float(
        "lambda_prior", _DEFAULTS.lambda_prior, "Weight of eq. 19.", 0.0
    ),
    "lambda_landmark": flags.DEFINE_float(
        "lambda_landmark", _DEFAULTS.lambda_landmark, "Of the landmark loss.", 0.0
    ),
    "normalised": flags.DEFINE_bool(
        "normalised", _DEFAULTS.normalised, "Divide eq. 16 by its weights."
    ),
    "saturating": flags.DEFINE_bool(
        "saturating", _DEFAULTS.saturating, "Prior log(1 - D), as printed."
    ),
    "chunk": flags.DEFINE_integer(
        "chunk", _DEFAULTS.chunk, "Steps between reports.", 1
    ),
    "patience": flags.DEFINE_integer(
        "patience", _DEFAULTS.patience, "Idle chunks before stopping; 0: never.", 0
    ),
}


def main() -> int:
    """Completes every input; returns 1 if some had to be skipped."""
    settings = _settings()
    output = files.make_directory(_OUTPUT.value)
    inputs = cases.list_inputs(
        _IMAGES.value or str(_PORTRAIT), mask=_MASK.value, output=output
    )
    hole = cases.read_hole(_MASK.value, hole_is_white=_MASK_HOLE.value == "white")
    model = weights.load(_CHECKPOINT.value)
    guide = guides.from_flags(size=model.architecture.image_size, crop=model.crop)
    if _FIGURE.value:
        guide.check_figure()
    compiled = completion.prepare(
        model.generate,
        model.discriminate,
        z_dim=model.architecture.z_dim,
        settings=settings,
        landmark=guide.loss(model.generate),
        encode=_encode(model, settings),
    )
    application.write_effective_flags(
        output, "experiments.inpaint", "experiments.guides"
    )
    for earlier in ("report.json", "grid.png"):
        (output / earlier).unlink(missing_ok=True)
    trace = reporting.JsonLines(output / "trace.jsonl")
    entries, rows, skipped = [], [], []
    for path in inputs:
        try:
            case = cases.read(
                path,
                hole,
                crop=model.crop,
                size=model.architecture.image_size,
                seed=_SEED.value,
                original_known=_ORIGINAL.value,
            )
            entry, row = complete(case, compiled, guide, trace, output)
        except InputError as error:
            if len(inputs) == 1:
                raise
            print(f"skipped {error}")
            skipped.append(str(error))
            continue
        entries.append(entry)
        rows.append(row)
        _print_entry(entry, output)
    if not entries:
        raise InputError(f"--images={_IMAGES.value}: none of the pictures can be used.")
    files.write_picture(output / "grid.png", reporting.sheet(rows, enlarge=2))
    report = {
        "mask": hole.name,
        "ranking": _ranking(settings, guide),
        "seed": _SEED.value,
        "settings": dataclasses.asdict(settings),
        "blend": _BLEND.value,
        "model": {
            **model.source,
            "architecture": dataclasses.asdict(model.architecture),
            "crop": model.crop,
        },
        "landmarks": guide.describe(),
        **reporting.environment(),
        "mean": _mean(entries),
        "images": entries,
        "skipped": skipped,
    }
    files.write_json(output / "report.json", report)
    return 1 if skipped else 0


def complete(
    case: cases.Case,
    compiled: completion.Search,
    guide: guides.Guides,
    trace: reporting.JsonLines,
    output: pathlib.Path,
) -> tuple[dict[str, Any], list[UInt8[np.ndarray, "height width 3"]]]:
    """Completes one image and writes it.

    Args:
      case: the input.
      compiled: the search.
      guide: of the landmarks.
      trace: where the progress goes.
      output: folder for the picture.

    Returns:
      The report's entry and the row of the grid: the damaged image, G(z) under the same
      mask, the best restarts, the completed image, the original where known.
    """
    started = time.monotonic()
    image = pixels.from_bytes(case.picture)[None] * case.mask
    target, described = guide.guide(case, image)
    scene = completion.Scene(image, case.mask, target)
    last, steps = None, []
    bar = tqdm.tqdm(
        total=compiled.settings.iterations, desc=case.name, unit="step", disable=None
    )
    with bar:
        for last in completion.search(case.key, scene, compiled=compiled):
            trace.append(
                image=case.name,
                step=last.iteration,
                loss=last.loss.tolist(),
                best_loss=last.best_loss.tolist(),
                seconds=round(time.monotonic() - started, 3),
            )
            bar.update(last.iteration - bar.n)
            bar.set_postfix(best=f"{last.best_loss.min():.4f}")
            if _FIGURE.value:
                steps.append(last.state.best_z[int(np.nanargmin(last.best_loss))])
    assert last is not None
    result = completion.finish(last, scene, compiled=compiled, blend=_BLEND.value)
    completed = pixels.to_bytes(result.completed)
    files.write_picture(output / f"{case.name}.png", np.asarray(completed[0]))
    entry = {
        "image": case.name,
        "hole_share": float(masks.hole_share(case.mask)[0]),
        **described,
        "iterations": result.iterations,
        "score": float(result.score[0]),
        "terms": {name: float(value[0]) for name, value in result.terms.items()},
        "scores_of_restarts": np.asarray(result.score).tolist(),
        "seconds": round(time.monotonic() - started, 3),
    }
    if _FIGURE.value:
        drawn = guide.figure(scene, [compiled.generate(z[None]) for z in steps])
        files.write_picture(output / f"{case.name}_landmarks.png", drawn)
    shown = np.asarray(pixels.to_bytes(result.generated[:_SHOWN_RESTARTS]))
    row = [
        np.asarray(pixels.to_bytes(image[0])),
        np.asarray(pixels.to_bytes(case.mask[0] * result.generated[0])),
        *shown,
        np.asarray(completed[0]),
    ]
    if case.original is not None:
        entry |= _scores(completed, pixels.from_bytes(case.original)[None], case.mask)
        error = guide.error(case, pixels.from_bytes(completed))
        if error is not None:
            entry["nme"] = error
        row.append(case.original)
    return entry, row


def _scores(completed, original, mask):
    scored = pixels.from_bytes(completed)
    return {
        "psnr": float(metrics.psnr(scored, original)[0]),
        "psnr_hole": float(metrics.psnr(scored, original, 1.0 - mask)[0]),
        "ssim": float(metrics.ssim(scored, original)[0]),
    }


def _settings():
    values = {name: flag.value for name, flag in _SEARCH.items()}
    if values["window"] % 2 == 0:
        raise InputError(f"--window={values['window']}: must be odd, as 7.")
    application.check_numbers(*_SEARCH.values())
    return completion.Settings(**values)


def _encode(model, settings):
    if settings.init == "random":
        return None
    if model.encodes != "damaged faces":
        without = model.encodes == "nothing"
        has = "no encoder" if without else f"an encoder of {model.encodes}"
        raise InputError(
            f"--init={settings.init}: the model of --checkpoint={_CHECKPOINT.value} "
            f"has {has}; train one with experiments.train "
            "--model=encoder, or give --init=random --iterations=200."
        )
    return model.encode


def _ranking(settings, guide):
    terms = f"{settings.lambda_context:g} context + {settings.lambda_prior:g} prior"
    if guide.settings is not None:
        terms += f" + {settings.lambda_landmark:g} landmark"
    return f"lowest {terms} (eq. 20)"


def _mean(entries):
    scores = [n for n in ("psnr", "psnr_hole", "ssim", "nme") if n in entries[0]]
    return {name: float(np.mean([e[name] for e in entries])) for name in scores}


def _print_entry(entry, output):
    line = (
        f"{output / entry['image']}.png: hole {entry['hole_share']:.0%}, "
        f"{entry['iterations']} iterations, {entry['seconds']:.1f} s"
    )
    if "psnr" in entry:
        line += (
            f", PSNR {entry['psnr']:.1f} dB, in the hole {entry['psnr_hole']:.1f} dB"
        )
    print(line)


if __name__ == "__main__":
    application.run(main)
