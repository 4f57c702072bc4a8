"""Reported cases about the files that are given, and the folders of results."""

import os
import pathlib
import shutil

from tests.reported.running import SHORTEST, Case, Check, Checks, Ended

_READ = ("a.JPG", "e.jfif", "f.jpe", "k.webp", "wrong_name.jpg")


def formats_in_folder(case: Case) -> Checks:
    """13: eleven formats in one folder, and some of the files alone."""
    case.make()
    ended = case.inpaint(*SHORTEST, "--images=in", "--output_dir=folder")
    names = sorted(os.listdir(case.here / "in"))
    yield ended.done(1)
    for name in names:
        told = [x for x in ended.output.splitlines() if f"/{name}: " in x]
        told = [line for line in told if line.startswith("skipped ")]
        result = case.wrote(f"folder/{pathlib.Path(name).stem}.png")
        if name in _READ:
            yield Check(
                result and not told, f"{name} " + ("read" if result else "lost")
            )
        else:
            said = told[0].partition(f"{name}: ")[2] if told else "not named"
            yield Check(len(told) == 1 and not result, f"{name}: {said}")
    for name in ("b.bmp", "g.avif", "h.heic"):
        if name in names:
            ended = case.inpaint(*SHORTEST, f"--images=in/{name}", "--output_dir=one")
            yield ended.refused(name, "convert")
    yield case.inpaint(*SHORTEST, "--images=in/e.jfif", "--output_dir=one").done()


def paths_and_flag_files(case: Case) -> Checks:
    """21: blanks, brackets, wildcards, `~`, flag files from Windows, slips."""
    folder = case.here / "my faces (1)"
    folder.mkdir()
    bracket, plain = "photo [1] ü.jpg", "IMG_0002.JPEG"
    shutil.copyfile(case.data / "celeba_half/009001.jpg", folder / bracket)
    shutil.copyfile(case.data / "celeba_half/009002.jpg", folder / plain)
    (case.here / "home").mkdir()
    shutil.copytree(folder, case.here / "home/zz_faces")
    for what, images, count in (
        ("a folder with blanks and brackets", folder.name, 2),
        ("a name with brackets", f"{folder.name}/{bracket}", 1),
        ("a wildcard", f"{folder.name}/*.JPEG", 1),
        ("~", "~/zz_faces", 2),
        ("quotes", f'"{folder.name}"', 2),
    ):
        flags = (*SHORTEST, f"--images={images}", "--output_dir=a")
        ended = case.inpaint(*flags, HOME=str(case.here / "home"))
        counted = f"pictures: {count}" in ended.output
        yield Check(ended.done().holds and counted, f"{what}: {ended.done().seen}")
    several = (f"{folder.name}/{bracket}", f"{folder.name}/{plain}")
    ended = case.inpaint(*SHORTEST, "--output_dir=b", "--images", *several)
    yield ended.refused(plain)
    joined = f"--images={','.join(several)}"
    yield case.inpaint(*SHORTEST, "--output_dir=b", joined).done()
    yield from _flag_files(case, folder)
    yield case.inpaint("--image=x.jpg").refused("image", "images")
    yield case.inpaint("--landmark-term=none").refused("landmark-term", "landmark_term")
    told = case.inpaint("-h")
    yield Check(told.code == 0 and "--images" in told.output, f"-h: exit {told.code}")


def _flag_files(case: Case, folder: pathlib.Path) -> Checks:
    lines = (
        "--landmark_term=none",
        "--lambda_structure=0",
        "--restarts=1",
        "--iterations=1",
    )
    quoted = f'--images="{folder}"'
    for name, content in {
        "Windows line ends and a blank": "\r\n".join(
            (*lines[:3], "# n", f"{lines[3]} ")
        ),
        "a byte-order mark": "\ufeff" + "\n".join(lines),
        "quotes": "\n".join((quoted, *lines)),
    }.items():
        path = case.here / "given.flags"
        path.write_bytes(content.encode())
        ended = case.inpaint(f"--flagfile={path}", "--output_dir=c")
        iterations = ", 1 iterations" in ended.output
        check = ended.done()
        yield Check(check.holds and iterations, f"flag file with {name}: {check.seen}")


def second_run_and_subfolders(case: Case) -> Checks:
    """22: results below the pictures' folder, twice; equal names in two subfolders."""
    faces = case.here / "faces"
    faces.mkdir()
    sources = [case.data / f"celeba_half/00900{k}.jpg" for k in (1, 2)]
    for path in sources:
        shutil.copyfile(path, faces / path.name)
    written = []
    for _ in range(2):
        flags = ("--images=faces", "--output_dir=faces/out")
        yield case.inpaint(*SHORTEST, *flags).done()
        results = sorted((faces / "out").glob("*.png"))
        written.append({path.name: path.read_bytes() for path in results})
    names = sorted(written[1])
    same = written[0] == written[1] and names == [
        "009001.png",
        "009002.png",
        "grid.png",
    ]
    yield Check(same, f"second run: {', '.join(names)}, " + ("the same bytes" * same))
    for name, path in zip("ab", sources, strict=True):
        (case.here / "two" / name).mkdir(parents=True)
        shutil.copyfile(path, case.here / "two" / name / "1.jpg")
    yield case.inpaint(*SHORTEST, "--images=two", "--output_dir=out2").done()
    apart = [name for name in "ab" if case.wrote(f"out2/{name}/1.png")]
    yield Check(apart == ["a", "b"], f"results in the subfolders {', '.join(apart)}")
    for name in apart:
        photo = case.picture(f"two/{name}/1.jpg")
        share = (photo == case.picture(f"out2/{name}/1.png")).all(axis=-1).mean()
        yield Check(
            share > 0.5, f"{name}/1.png shows its own picture ({share:.0%} equal)"
        )


def thumbnail(case: Case) -> Checks:
    """35: a face of 24 pixels, one of 50, and a picture of one pixel."""
    case.make()
    ended = case.inpaint(*SHORTEST, "--images=in", "--output_dir=out")
    yield ended.done(1)
    told, result = ended.line("pixel.png"), case.wrote("out/pixel.png")
    yield Check(bool(told) and not result, told or "pixel.png is not named")
    yield Check(case.wrote("out/avatar50.png"), "avatar50.png completed")
    # A small face may be completed, as is asked for, but not silently.
    yield from _small_face(case, ended, "out")
    flags = ("--face=none", "--images=in/avatar24.png", "--output_dir=framed")
    ended = case.inpaint(*SHORTEST, *flags)
    yield ended.done()
    yield from _small_face(case, ended, "framed")


def _small_face(case: Case, ended: Ended, folder: str) -> Checks:
    """Whether a face below 32 pixels is named with its size, and stays in its place."""
    told = ended.line("avatar24.png", "framed by only", "pixels")
    yield Check(bool(told), told or "avatar24.png is not named with its size")
    before, after = (case.picture(f"{x}/avatar24.png") for x in ("in", folder))
    equal = (before == after).all(axis=-1).mean() if before.shape == after.shape else 0
    yield Check(0.5 < equal < 1, f"completed, {equal:.0%} of its pixels as they were")
