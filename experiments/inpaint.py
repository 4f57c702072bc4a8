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

from experiments.common import (
    application,
    input_paths,
    options,
    output_folders,
    photo_cases,
    progress,
    skipping,
    stopping,
)
from experiments.common.options import option
from experiments.search import (
    apparent_gender,
    face_finder,
    finished_records,
    landmark_figure,
    output_names,
    picture_options,
    picture_report,
    picture_results,
    picture_search,
    resuming,
    search_methods,
    searches,
)
from inpaint_jax.errors import InputError


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


options.define(picture_options.Pictures, heading="Pictures")
options.define(GoingOn, heading="Interrupted runs")

_OPTIONS = (picture_options.Pictures, *search_methods.OPTIONS)


def main() -> int:
    """Completes every input; returns 1 if some were skipped."""
    wanted = options.read(picture_options.Pictures)
    with output_folders.claim(wanted.output_dir) as output:
        return _complete(wanted, output)


def _complete(wanted: picture_options.Pictures, output: pathlib.Path) -> int:
    asked = options.read(search_methods.Asked)
    search = asked.search
    inputs, passed_over = picture_options.inputs(wanted, search.settings, output)
    hole = picture_options.mask(wanted)
    model = searches.load()
    size = model.architecture.image_size
    guides, scorer = search_methods.guiding(asked, model)
    figure = landmark_figure.of(guides) if wanted.landmark_figure else None
    order = picture_options.order(wanted, crop=model.crop)
    photos = picture_options.photos(wanted, crop=model.crop, size=size)
    most = min(wanted.images_at_once, len(inputs))
    skipped = skipping.Skipped(alone=len(inputs) == 1)
    skipped.pass_over(passed_over)

    @functools.cache
    def finisher() -> picture_results.Finisher:
        return picture_results.Finisher(
            searches.prepare(model, search, guides.terms(), images=most),
            *(search.blend, scorer, figure, guides, wanted.answers, wanted.animate),
            order,
        )

    described = picture_report.describe(search, guides, model)
    described = {"mask": hole.name, "seed": wanted.seed, **described}
    run = resuming.of_run((wanted, asked), model, guides, described)
    run |= {"--images_at_once": most, **_beside(wanted, photos, order)}
    depends = functools.partial(resuming.of_picture, hole=hole, run=run)
    begun = _begun(inputs, depends, output)
    if not begun.finished:
        finisher()  # says what is wrong with it
        _announce(len(inputs), hole.name)
    report = picture_report.Report(output, described, skipped)
    read = functools.partial(photo_cases.read, spec=hole, wanted=photos)
    results = picture_search.search(
        begun.photos,
        picture_search.Reader(read, guides, skipped),
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


def _beside(
    wanted: picture_options.Pictures,
    photos: photo_cases.Wanted,
    order: apparent_gender.Order | None,
) -> finished_records.Identity:
    """Returns what results depend on beside the search and its flags."""
    found: finished_records.Identity = {"--original_known": photos.original_known}
    if wanted.face != "none":
        found["models that find faces"] = face_finder.models()
    if order is not None:
        found["models that order restarts"] = order.models
    return found


def _announce(pictures: int, mask: str) -> None:
    progress.say(
        f"pictures: {pictures}, mask: {mask}; faces are found first, then programs "
        "compiled"
    )


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
            application.write_effective_flags(output, *_OPTIONS)
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
    for note in ("fewer_answers", "looks_otherwise"):
        if note in entry:
            progress.say(f"{entry['image']}: {entry[note]}")


def _close(report: picture_report.Report, records: resuming.Records) -> None:
    output = report.output
    if old := report.close():
        progress.say(f"{len(old)} pictures of earlier runs stay, as {old[0]}")
    records.tidy()
    sheet, figures = output / output_names.sheet(1), output / "report.json"
    progress.say(f"look at {output / 'grid.png'} or {sheet}; figures: {figures}")


if __name__ == "__main__":
    application.run(main, callbacks=search_methods.calls_back)
