r"""Completes damaged faces.

python -m experiments.inpaint
python -m experiments.inpaint --flagfile=experiments/flags/landmark.flags \
    --images=faces --mask=left --output_dir=outputs/left
"""

import contextlib
import dataclasses
import functools
import pathlib
import shlex
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from experiments.common import (
    application,
    chosen_faces,
    input_listing,
    input_paths,
    mask_specs,
    options,
    output_folders,
    photo_cases,
    progress,
    skipping,
    stopping,
)
from experiments.common.options import option
from experiments.search import (
    face_finder,
    landmark_figure,
    landmark_options,
    output_names,
    picture_report,
    picture_results,
    picture_search,
    resuming,
    search_methods,
    searches,
    sheet_pages,
)
from inpaint_jax.errors import InputError
from inpaint_jax.images import masks
from inpaint_jax.io import files
from inpaint_jax.search import answers as different

_PORTRAIT = files.ASSETS / "portrait.png"


@dataclasses.dataclass(frozen=True)
class Pictures:
    """The pictures that are completed, their mask, and the output."""

    images: tuple[str, ...] = option(
        (),
        "Pictures, folders with an optional [start:stop], paths with *, ? or **, or "
        "@FILE for a text file with a path on each line; commas join several, or the "
        "flag is repeated. By default the portrait that comes with the package.",
        repeated=True,
    )
    mask: str = option(
        "centre",
        f"Name of a mask ({', '.join(masks.MASKS)}); a picture that marks the hole, or "
        "a folder with one for each picture (its name, or NAME_mask); alpha: the "
        "picture's transparent pixels; or rect:X,Y,W,H in pixels of the picture.",
    )
    grow_mask: int = option(
        0,
        "Pixels of the photograph by which a hole that is no preset is enlarged.",
        least=0,
        most=10_000,
    )
    mask_hole: Literal["white", "black"] = option(
        "white", "Colour that marks the hole in a picture given as --mask."
    )
    original_known: bool | None = option(
        None,
        "Whether the pictures are undamaged, so that the result can be scored; by "
        "default yes for a named mask, no for a mask file.",
    )
    face: str = option(
        "all",
        "Which faces of a photograph are completed, where the hole touches them: all, "
        "largest, the number of one, from 1 by size; or none to take each picture as "
        "it is framed, as aligned CelebA pictures always are.",
    )
    output_dir: str = option("outputs", "Folder to write to.")
    seed: int = option(0, "Seed of masks and starting points.", least=0, most=2**32 - 1)
    landmark_figure: bool = option(
        False, "Draw the landmarks in the course of each search."
    )
    answers: int = option(
        1,
        "Number of different completions of each picture, NAME.png, NAME_2.png and so "
        "on: the best restarts that differ in the hole by a root mean square of at "
        f"least {different.DIFFERENT:g} (from black to white it is 2).",
        least=1,
        most=100,
    )
    animate: bool = option(
        False,
        "Write each search as an animated picture NAME.webp, with a frame after each "
        "--chunk (give a small one).",
    )
    images_at_once: int = option(
        1,
        "Number of images that one program searches for, if memory allows.",
        least=1,
    )
    max_memory: float | None = option(
        None,
        "Memory in GB for that program; by default 80 % of the free memory.",
        least=0.0,
    )


@dataclasses.dataclass(frozen=True)
class GoingOn:
    """Whether an earlier run goes on.

    It is not among the flags that a run leaves: results do not depend on it.
    """

    resume: bool = option(
        False,
        "Pass over the pictures that an earlier run in --output_dir has finished, and "
        "go on with the others. A picture is computed anew if anything has changed: "
        "it, its mask, a flag, a network or a result.",
    )


options.define(Pictures, heading="Pictures")
options.define(GoingOn, heading="Interrupted runs")


def main() -> int:
    """Completes every input; returns 1 if some were skipped."""
    wanted = options.read(Pictures)
    with output_folders.claim(wanted.output_dir) as output:
        return _complete(wanted, output)


def _complete(wanted: Pictures, output: pathlib.Path) -> int:
    asked = options.read(searches.Search)
    landmarks = options.read(landmark_options.LandmarkOptions)
    inputs, passed_over = _inputs(wanted, asked, output)
    hole = _mask(wanted)
    model = searches.load()
    size = model.architecture.image_size
    guidance, scorer = landmark_options.load(landmarks, size=size, crop=model.crop)
    figure = landmark_figure.of(guidance) if wanted.landmark_figure else None
    photos = _photos(wanted, hole, crop=model.crop, size=size)
    most = min(wanted.images_at_once, len(inputs))
    skipped = skipping.Skipped(alone=len(inputs) == 1)
    skipped.pass_over(passed_over)

    @functools.cache
    def finisher() -> picture_results.Finisher:
        return picture_results.Finisher(
            searches.prepare(model, asked, guidance.loss(), images=most),
            *(asked.blend, scorer, figure, guidance, wanted.answers, wanted.animate),
        )

    described = picture_report.describe(asked, guidance, model)
    described = {"mask": hole.name, "seed": wanted.seed, **described}
    run = resuming.of_run((wanted, asked, landmarks), model, guidance, described)
    run |= {"--original_known": photos.original_known, "--images_at_once": most}
    if wanted.face != "none":
        run["models that find faces"] = face_finder.models()
    depends = functools.partial(resuming.of_picture, hole=hole, run=run)
    begun = _begun(inputs, depends, output)
    if not begun.finished:
        finisher()  # says what is wrong with it
        progress.say(f"pictures: {len(inputs)}, mask: {hole.name}; compiling")
    report = picture_report.Report(output, described, skipped)
    read = functools.partial(photo_cases.read, spec=hole, wanted=photos)
    results = picture_search.search(
        begun.photos,
        picture_search.Reader(read, guidance, skipped),
        lambda: finisher().compiled,
        most=most,
        memory=wanted.max_memory,
        together=begun.together,
    )
    records = resuming.Records(output)
    with _saying_how_to_go_on(report):
        _report(results, finisher, report, records)
    if not report.entries:
        given = ",".join(wanted.images)
        raise InputError(f"--images={given}: none of the pictures can be used.")
    _close(report, records)
    return skipped.exit_code


def _begun(
    inputs: Sequence[input_paths.Input], depends: resuming.Depends, output: pathlib.Path
) -> resuming.Resumed:
    if options.read(GoingOn).resume:
        return resuming.resumed(inputs, depends, output)
    return resuming.anew(inputs, depends)


def _report(
    results: Iterator[picture_search.Result],
    finisher: Callable[[], picture_results.Finisher],
    report: picture_report.Report,
    records: resuming.Records,
) -> None:
    """Completes faces and reports them, and those that an earlier run has finished."""
    output, begun = report.output, False
    for result in results:
        finished = None
        if result.found is not None:
            try:
                finished = finisher().finish(result.found)
            except InputError as error:
                name = result.found.task.case.name
                report.skipped.add(pathlib.Path(name), error)
                continue
        if not report.entries:
            application.write_effective_flags(output, Pictures, *search_methods.OPTIONS)
        if finished is None:
            report.pass_over(records.finished(result))
            continue
        if not begun:
            report.begin()
            begun = True
        report.add(finished)
        records.add(result, finished)
        _say(finished.entry, output)


@contextlib.contextmanager
def _saying_how_to_go_on(report: picture_report.Report) -> Iterator[None]:
    try:
        yield
    except stopping.Stopped as stopped:
        if report.entries:
            flags = f"--flagfile={report.output / application.FLAG_FILE}"
            given = ["python", "-m", application.name(), flags, "--resume"]
            stopped.add_note(f"{shlex.join(given)} goes on.")
        raise


def _say(entry: picture_results.Entry, output: pathlib.Path) -> None:
    progress.say(picture_results.line(entry, output))
    if fewer := entry.get("fewer_answers"):
        progress.say(f"{entry['image']}: {fewer}")


def _close(report: picture_report.Report, records: resuming.Records) -> None:
    output = report.output
    if old := report.close():
        progress.say(f"{len(old)} pictures of earlier runs stay, as {old[0]}")
    records.tidy()
    sheet, figures = output / sheet_pages.name(1), output / "report.json"
    progress.say(f"look at {output / 'grid.png'} or {sheet}; figures: {figures}")


def _photos(
    wanted: Pictures, hole: mask_specs.MaskSpec, *, crop: int, size: int
) -> photo_cases.Wanted:
    """Returns how photographs become cases."""
    choice = chosen_faces.Choice(
        wanted.face, face_finder.Finder(crop, size), crop, size
    )
    chosen_faces.check(choice)
    known = wanted.original_known
    return photo_cases.Wanted(
        functools.partial(chosen_faces.frames, choice=choice),
        crop=crop,
        size=size,
        seed=wanted.seed,
        original_known=hole.make is not None if known is None else known,
    )


def _mask(wanted: Pictures) -> mask_specs.MaskSpec:
    white = wanted.mask_hole == "white"
    return mask_specs.read_mask(wanted.mask, hole_is_white=white, grow=wanted.grow_mask)


def _inputs(
    wanted: Pictures, asked: searches.Search, output: pathlib.Path
) -> input_listing.Listing:
    """Lists the pictures to complete; no result may overwrite one of them."""
    listing = input_listing.list_inputs(
        wanted.images or str(_PORTRAIT), mask=wanted.mask, output=output
    )
    output_names.check(
        listing.inputs,
        mask=wanted.mask,
        output=output,
        answers=wanted.answers,
        animate=wanted.animate,
    )
    output_names.check_count(wanted.answers, asked.settings)
    return listing


if __name__ == "__main__":
    application.run(main)
