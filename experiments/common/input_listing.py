"""Lists the pictures to complete, and names what is passed over on the way."""

import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from experiments.common import input_paths, output_folders
from experiments.common.input_paths import Input
from inpaint_jax.errors import InputError, naming, printable, reason
from inpaint_jax.io import files, picture_files, sources

_GIVE = (
    "give pictures, folders of pictures with or without a [start:stop], or paths with "
    "* and ?, with commas between"
)
# Pictures of formats that are not read.
_OTHER_PICTURES = {
    *(".bmp", ".gif", ".tif", ".tiff", ".heic", ".heif", ".avif", ".jxl", ".jp2"),
    *(".psd", ".xcf", ".dng", ".cr2", ".nef", ".arw", ".tga", ".ppm", ".pgm", ".svg"),
}


class PassedOver(NamedTuple):
    """A file that is not taken for a picture to complete.

    Attributes:
      path: the file.
      why: the reason, with a full stop.
      is_picture: whether it is a picture that should have been taken.
    """

    path: pathlib.Path
    why: str
    is_picture: bool = False


class Listing(NamedTuple):
    """What --images names.

    Attributes:
      inputs: the pictures, in the order in which they were given, each once.
      passed_over: the other files among them; hidden ones, results in folders of
        earlier runs, and the mask are not named.
    """

    inputs: list[Input]
    passed_over: list[PassedOver]


def list_inputs(
    images: str | Sequence[str], *, mask: str, output: pathlib.Path
) -> Listing:
    """Lists the pictures to complete.

    Args:
      images: pictures, folders with an optional `[start:stop]`, paths with wildcards,
        and `@FILE` for the lines of a text file; commas join several in one text.
      mask: value of --mask; files that it names are no inputs.
      output: folder of the results.

    Raises:
      InputError: there is no picture, two results would have the same name, or a result
        would overwrite a picture or the mask.
    """
    given = [images] if isinstance(images, str) else images
    found, passed_over = [], []
    excluded = _Excluded(output, input_paths.existing(mask))
    for item in (item for text in given for item in _split(text)):
        with naming("--images", item):
            inputs, passed = _listed(item, excluded)
        found += inputs
        passed_over += passed
    passed_over += _repeated(found)
    found = _distinct(found)
    _check_outputs(found, mask, output)
    return Listing(found, list({each.path: each for each in passed_over}.values()))


def paths_by_stem(inputs: Sequence[Input]) -> list[pathlib.Path]:
    """Returns the paths of inputs whose results are named by the stem alone.

    Raises:
      InputError: two have the same stem.
    """
    known: dict[str, pathlib.Path] = {}
    for path, _ in inputs:
        stem = printable(path.stem)
        if stem in known:
            raise InputError(
                f"--images={path}: would be written as {stem}.png, like {known[stem]}; "
                "rename it."
            )
        known[stem] = path
    return list(known.values())


class _Excluded:
    """What is no input: results, and the mask."""

    def __init__(self, output: pathlib.Path, mask: str) -> None:
        self.output = pathlib.Path(os.path.realpath(output))
        self.mask = pathlib.Path(os.path.realpath(mask)) if mask else None

    def of_folder(self, listed: sources.Survey, top: pathlib.Path) -> sources.Survey:
        """Leaves out the results of runs, and the masks, in a folder."""
        ours = {top: output_folders.holds_results(top)}

        def has_results(folder: pathlib.Path) -> bool:
            if folder not in ours:
                ours[folder] = output_folders.holds_results(folder) or has_results(
                    folder.parent
                )
            return ours[folder]

        def kept(found: list[pathlib.Path]) -> list[pathlib.Path]:
            stems = {path.with_suffix("") for path in found}
            return [
                path
                for path in found
                if not has_results(path.parent)
                and not self._is_one(path, pathlib.Path(os.path.realpath(top)), stems)
            ]

        return sources.Survey(kept(listed.pictures), kept(listed.others))

    def _is_one(
        self, path: pathlib.Path, top: pathlib.Path, stems: set[pathlib.Path]
    ) -> bool:
        real = pathlib.Path(os.path.realpath(path))
        if self.output in real.parents or real == self.mask:
            return True
        if self.mask is None or self.mask not in real.parents:
            return False
        # Masks may lie beside the pictures, and then have other names.
        stem = path.with_suffix("")
        beside = self.mask in (top, *top.parents)
        is_mask = stem.name.endswith("_mask") and (
            stem.with_name(stem.name.removesuffix("_mask")) in stems
        )
        return is_mask if beside else True


def _split(text: str) -> Iterator[str]:
    """Yields the items of a list with commas; a path may have commas itself."""
    parts = text.split(",")
    while parts:
        for count in range(len(parts), 0, -1):
            item = ",".join(parts[:count]).strip()
            path = input_paths.existing(sources.split_slice(item)[0])
            if count == 1 or os.path.lexists(path) or _is_quoted(item):
                break
        parts = parts[count:]
        if item:
            yield item


def _is_quoted(text: str) -> bool:
    return len(text) > 1 and text[0] == text[-1] == '"' and text.count('"') == 2


def _listed(item: str, excluded: _Excluded) -> tuple[list[Input], list[PassedOver]]:
    """Lists what one item names."""
    if item.startswith("@") and not os.path.lexists(item):
        return _of_text(input_paths.existing(item[1:]), excluded)
    path, part = sources.split_slice(input_paths.existing(item))
    path = input_paths.existing(path)
    if os.path.isdir(path):
        return _of_folder(pathlib.Path(path), part, excluded)
    if os.path.lexists(path) and part == slice(None):
        return [Input(pathlib.Path(path), printable(pathlib.Path(path).stem))], []
    if input_paths.is_wild(path):
        return _of_pattern(path, part, excluded)
    raise InputError(f"{item}: no such file or folder; {_GIVE}.")


def _of_text(path: str, excluded: _Excluded) -> tuple[list[Input], list[PassedOver]]:
    files.check_file(path, give="give a text file with a path on each line")
    try:
        text = files.read_text(path)
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path}: cannot be read ({reason(error)}); give a text file in UTF-8 with "
            "a path on each line."
        ) from error
    found, passed_over = [], []
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.startswith("@"):
            raise InputError(f"{path}: {line} is a list again; give pictures.")
        beside = os.path.join(os.path.dirname(path), line)
        near = os.path.lexists(sources.split_slice(input_paths.existing(line))[0])
        inputs, passed = _listed(
            line if near or not os.path.lexists(beside) else beside, excluded
        )
        found += inputs
        passed_over += passed
    if not found:
        raise InputError(f"{path}: names no picture; give a path on each line.")
    return found, passed_over


def _of_folder(
    folder: pathlib.Path, part: slice, excluded: _Excluded
) -> tuple[list[Input], list[PassedOver]]:
    if excluded.output == pathlib.Path(os.path.realpath(folder)):
        raise InputError(
            f"--output_dir={excluded.output}: is the folder of --images, whose "
            "pictures and results would be mixed; give another folder."
        )
    listed = excluded.of_folder(sources.survey(folder), folder)
    return _chosen(listed, folder, folder, part)


def _of_pattern(
    pattern: str, part: slice, excluded: _Excluded
) -> tuple[list[Input], list[PassedOver]]:
    found, top = input_paths.matches(pattern)
    within = [path for path in found if not os.path.isdir(path)]
    if not within:  # so it is folders that were meant
        for folder in found:
            within += [*map(pathlib.Path, sum(sources.survey(folder), []))]
    known = [p for p in within if p.name.lower().endswith(picture_files.SUFFIXES)]
    others = [p for p in within if p not in {*known}]
    listed = excluded.of_folder(sources.Survey(known, others), top)
    return _chosen(listed, pathlib.Path(pattern), top, part)


def _chosen(
    listed: sources.Survey, given: pathlib.Path, top: pathlib.Path, part: slice
) -> tuple[list[Input], list[PassedOver]]:
    """Returns the pictures of a slice, and what is passed over."""
    pictures = listed.pictures
    if not pictures:
        shown = ", ".join(path.name for path in listed.others[:3])
        raise InputError(
            f"{given}: no picture to complete there"
            + (f", only {shown}" if shown else " that is no result of a run")
            + f"; expected {', '.join(picture_files.SUFFIXES)} files."
        )
    chosen = pictures[part]
    if not chosen:
        raise InputError(f"{given}: this slice of {len(pictures)} pictures is empty.")
    inputs = [Input(path, input_paths.name_within(path, top)) for path in chosen]
    return inputs, [*map(_other, listed.others)]


def _other(path: pathlib.Path) -> PassedOver:
    suffix = path.suffix.lower()
    give = "convert it to PNG, JPEG or WebP"
    if suffix in _OTHER_PICTURES:
        return PassedOver(path, f"is a picture in {suffix[1:].upper()}; {give}.", True)
    what = f"{path.suffix} is no suffix" if suffix else "without a suffix"
    return PassedOver(path, f"{what} of a picture.")


def _repeated(inputs: list[Input]) -> Iterator[PassedOver]:
    """Yields the inputs that are an earlier one by a link, not those given again."""
    first: dict[str, pathlib.Path] = {}
    for path, _ in inputs:
        known = first.setdefault(os.path.realpath(path), path)
        if os.path.abspath(known) != os.path.abspath(path):
            yield PassedOver(path, f"is the same file as {known}, by a link.")


def _distinct(inputs: list[Input]) -> list[Input]:
    """Leaves out repetitions; names that clash become paths from a common folder."""
    real = {os.path.realpath(each.path): each for each in reversed(inputs)}
    unique = [real[path] for path in reversed(real)]
    if len({each.name for each in unique}) == len(unique):
        return unique
    absolute = [pathlib.Path(os.path.abspath(each.path)) for each in unique]
    common = pathlib.Path(os.path.commonpath([path.parent for path in absolute]))
    return [
        Input(each.path, input_paths.name_within(path, common))
        for each, path in zip(unique, absolute, strict=True)
    ]


def _check_outputs(inputs: Sequence[Input], mask: str, output: pathlib.Path) -> None:
    written: dict[str, pathlib.Path] = {}
    for path, name in inputs:
        if name in written:
            raise InputError(
                f"--images={path}: would be written as {name}.png, like "
                f"{written[name]}; rename it."
            )
        written[name] = path
    outputs = {os.path.realpath(output / f"{name}.png") for name in written}
    for path in (*(path for path, _ in inputs), mask):
        if os.path.exists(path) and os.path.realpath(path) in outputs:
            raise InputError(
                f"--output_dir={output}: {path} would be overwritten by a result; give "
                "another folder."
            )
