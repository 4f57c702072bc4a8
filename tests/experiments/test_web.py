"""The page in a browser: headless Chromium does what a visitor would."""

import importlib.util
import io
import os
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from inpaint_jax.io import files, picture_files
from inpaint_jax.models import dcgan
from inpaint_jax.pretrained import weights
from tests import drawn
from tests.experiments import launcher

playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright")
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
BROWSER = next(filter(None, map(shutil.which, NAMES)), None)
TINY = dcgan.Architecture(image_size=64, features=2, z_dim=8, kernel_size=4)
WAIT = 120_000  # ms; the first search is compiled
PORTRAIT = files.ASSETS / "portrait.png"

pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason="needs Chromium"),
    pytest.mark.skipif(
        not all(map(importlib.util.find_spec, ("dlib", "uvicorn", "fastapi"))),
        reason="needs the extras landmarks and web",
    ),
    # Its driver leaves a loop behind that Python closes for it.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("web")


@pytest.fixture(scope="module")
def address(folder, environment):
    templates = weights.templates(TINY, encoder=True)
    model = weights.Model(
        TINY, 128, **drawn.variables(templates), source={}, encodes="damaged faces"
    )
    weights.export(folder / "tiny", model, provenance={})
    command = [sys.executable, "-m", "experiments.web", "--port=0"]
    command += [f"--checkpoint={folder / 'tiny'}", f"--keep={folder / 'kept'}"]
    command += ["--lambda_structure=0", "--landmark_term=net", "--restarts=3"]
    process = subprocess.Popen(
        command, cwd=launcher.ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    found = None
    while found is None:
        line = process.stdout.readline()
        assert line, "the server ended"
        found = re.search(r"http://\S+?(?=;)", line)
    yield found[0]
    process.send_signal(signal.SIGTERM)
    assert process.wait(20.0) == 143
    process.stdout.close()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(
            executable_path=BROWSER, args=["--no-sandbox"], timeout=60_000
        )
        yield found
        found.close()


@pytest.fixture
def page(browser, address):
    context = browser.new_context(accept_downloads=True, has_touch=True)
    found = context.new_page()
    errors = []
    found.on("pageerror", lambda error: errors.append(str(error)))
    found.on("console", lambda line: line.type == "error" and errors.append(line.text))
    found.goto(address)
    yield found
    context.close()
    assert not [error for error in errors if "400" not in error]  # refused requests


def expect(page, selector):
    return playwright.expect(page.locator(selector))


def open_portrait(page):
    page.click("#portrait")
    expect(page, "#status").to_contain_text("One face found", timeout=WAIT)


def spot(page, x, y):
    """Where a place of the portrait, in shares of its sides, lies on the screen."""
    box = page.locator("#canvas").bounding_box()
    height, width = picture_files.read(PORTRAIT).shape[:2]
    scale = min(box["width"] / width, box["height"] / height)
    left = box["x"] + (box["width"] - scale * width) / 2
    top = box["y"] + (box["height"] - scale * height) / 2
    return left + x * scale * width, top + y * scale * height


def brush(page, *places):
    page.mouse.move(*spot(page, *places[0]))
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*spot(page, *place), steps=5)
    page.mouse.up()


def complete(page):
    page.click("#start")
    expect(page, "#result").to_be_visible(timeout=WAIT)


def downloaded(page, selector):
    with page.expect_download() as waiting:
        page.click(selector)
    return waiting.value


def pixels(download):
    with open(download.path(), "rb") as file:
        return np.asarray(Image.open(io.BytesIO(file.read())).convert("RGB"))


def hole(page):
    return pixels(downloaded(page, "#mask_save"))[..., 0] > 0


def test_a_hole_is_painted_the_search_moves_and_the_second_candidate_is_saved(
    page, folder
):
    open_portrait(page)
    brush(page, (0.4, 0.5), (0.6, 0.5))
    marked = hole(page)
    page.fill("#set_iterations", "500")
    page.click("#start")
    expect(page, "#progress_text").to_contain_text("step", timeout=WAIT)
    shown = page.get_attribute("#candidate", "src")
    assert not page.inner_text("#progress_text").startswith("step 500 of")
    expect(page, "#candidate").not_to_have_attribute("src", shown, timeout=WAIT)
    expect(page, "#progress_text").to_contain_text("step 500 of 500", timeout=WAIT)
    assert page.locator("#points path.target").count() == 1
    assert page.locator("#curves polyline").count() == 3  # context, prior, landmark
    expect(page, "#result").to_be_visible(timeout=WAIT)
    first = pixels(downloaded(page, "#save"))
    page.get_by_label("Candidate 2").click()
    expect(page, "[data-number='1']").to_have_attribute("aria-pressed", "true")
    expect(page, "#save").to_have_attribute("download", "portrait_completed_2.png")
    second = pixels(downloaded(page, "#save"))
    original = picture_files.read(PORTRAIT)
    for found in (first, second):
        assert found.shape == original.shape
        np.testing.assert_array_equal(found[~marked], original[~marked])
    assert (first[marked] != second[marked]).any()
    assert (first[marked] != original[marked]).any()
    saved = downloaded(page, "#save_search")
    assert saved.suggested_filename == "portrait_search.webp"
    command = page.inner_text("#command_text")
    assert "experiments.inpaint --images=portrait.png" in command
    (kept,) = (path for path in (folder / "kept").iterdir() if path.is_dir())
    np.testing.assert_array_equal(
        picture_files.read(kept / "portrait_completed.png"), first
    )
    assert (kept / "command.txt").read_text().strip() == command


def test_the_keyboard_alone_paints_undoes_and_completes(page):
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # the example
    expect(page, "#status").to_contain_text("One face found", timeout=WAIT)
    page.focus("#canvas")
    page.keyboard.press("Space")
    one = hole(page)
    page.focus("#canvas")
    for _ in range(4):
        page.keyboard.press("Shift+ArrowRight")
    two = hole(page)
    assert one.any() and two.sum() > one.sum()
    page.focus("#canvas")
    page.keyboard.press("z")
    assert one.sum() < hole(page).sum() < two.sum()
    page.focus("#canvas")
    page.keyboard.press("y")
    np.testing.assert_array_equal(hole(page), two)
    page.focus("#start")
    page.keyboard.press("Enter")
    expect(page, "#result").to_be_visible(timeout=WAIT)


def test_a_finger_paints_and_the_eraser_takes_away(page):
    open_portrait(page)
    page.touchscreen.tap(*spot(page, 0.5, 0.5))
    painted = hole(page)
    assert painted.any()
    page.click("#eraser")
    page.touchscreen.tap(*spot(page, 0.5, 0.5))
    expect(page, "#start").to_be_disabled()
    page.click("#undo")
    np.testing.assert_array_equal(hole(page), painted)


def test_a_hole_outside_every_face_is_told_before_anything_runs(page):
    open_portrait(page)
    page.click("#rectangle")
    brush(page, (0.02, 0.02), (0.1, 0.1))
    expect(page, "#status").to_contain_text("outside every face")
    page.click("#start")
    expect(page, "#status").to_contain_text("outside every face")
    assert page.locator("#watch").is_hidden()


def test_a_mask_of_a_file_is_painted_and_one_of_another_size_is_refused(page):
    open_portrait(page)
    wide = picture_files.read(PORTRAIT).shape[:2]
    marks = np.zeros(wide, bool)
    marks[wide[0] // 2 : wide[0] // 2 + 9, 30:90] = True
    for shape, said in ((wide, ""), ((9, 9), "give one of its size")):
        stored = io.BytesIO()
        Image.fromarray(np.uint8(255) * np.resize(marks, shape)).save(stored, "PNG")
        content = {
            "name": "m.png",
            "mimeType": "image/png",
            "buffer": stored.getvalue(),
        }
        page.set_input_files("#mask_file", content)
        expect(page, "#status").to_contain_text(said)
        np.testing.assert_array_equal(hole(page), marks)


def test_both_faces_of_a_photograph_are_outlined_and_completed(page, tmp_path):
    one = picture_files.read(PORTRAIT)
    picture_files.write(tmp_path / "two.png", np.concatenate([one, one[:, ::-1]], 1))
    page.set_input_files("#file", str(tmp_path / "two.png"))
    expect(page, "#status").to_contain_text("2 faces found", timeout=WAIT)
    page.click("#rectangle")
    page.keyboard.press("b")
    box = page.locator("#canvas").bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.22, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.78, middle, steps=8)
    page.mouse.up()
    complete(page)
    assert page.locator("#candidates button >> nth=0").locator("img").count() == 2
    assert pixels(downloaded(page, "#save")).shape == (len(one), 2 * one.shape[1], 3)


def test_a_second_tab_waits_and_begins_when_the_first_cancels(page, browser, address):
    open_portrait(page)
    brush(page, (0.4, 0.5), (0.6, 0.5))
    page.click("#more summary")
    page.fill("#set_iterations", "20000")
    page.click("#start")
    expect(page, "#progress_text").to_contain_text("step", timeout=WAIT)
    context = browser.new_context()
    other = context.new_page()
    other.goto(address)
    open_portrait(other)
    brush(other, (0.4, 0.5), (0.6, 0.5))
    other.click("#start")
    expect(other, "#status").to_contain_text("next in the queue")
    page.click("#cancel")
    expect(page, "#status").to_contain_text("cancelled")
    expect(other, "#result").to_be_visible(timeout=WAIT)
    context.close()


def test_a_wrong_setting_is_told_by_its_flag(page):
    open_portrait(page)
    brush(page, (0.4, 0.5), (0.6, 0.5))
    page.fill("#set_restarts", "many")
    page.click("#start")
    expect(page, "#status").to_contain_text("--restarts=many: must be a whole number")
    page.fill("#set_restarts", "2")
    complete(page)


def test_a_method_of_one_pass_has_one_candidate_and_no_settings(page):
    open_portrait(page)
    brush(page, (0.4, 0.5), (0.6, 0.5))
    page.select_option("#method", "mean")
    assert page.locator("#settings").is_hidden()
    complete(page)
    assert page.locator("#candidates button").count() == 1
    assert page.locator("#command").is_hidden()


def test_it_fits_the_width_of_a_phone(page):
    page.set_viewport_size({"width": 360, "height": 740})
    open_portrait(page)
    width = page.evaluate("() => document.documentElement.scrollWidth")
    assert width <= 360


@pytest.mark.skipif(
    "AXE" not in os.environ, reason="needs AXE=PATH of axe.min.js (npm)"
)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_axe_finds_nothing_that_keeps_someone_out(browser, address, scheme, width):
    # What is injected here, no page may load.
    context = browser.new_context(bypass_csp=True, color_scheme=scheme)
    page = context.new_page()
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(address)
    page.add_script_tag(path=os.environ["AXE"])
    open_portrait(page)
    brush(page, (0.4, 0.5), (0.6, 0.5))
    page.click("#more summary")
    complete(page)
    found = page.evaluate("() => axe.run()")["violations"]
    context.close()
    assert not [(each["id"], each["impact"], each["help"]) for each in found]
