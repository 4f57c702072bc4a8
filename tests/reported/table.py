"""The reported cases: what must come out, who checks it, and which test holds it."""

from collections.abc import Callable
from typing import NamedTuple

from tests.reported import (
    colours,
    faces,
    machines,
    masks,
    models,
    paths,
    photographs,
    training,
)
from tests.reported.running import Case, Checks


class Reported(NamedTuple):
    """One case.

    Attributes:
      folder: its folder, with its number first.
      goal: what must come out.
      run: runs it and checks that.
      test: the test of the suite that holds it, `FILE::NAME` below `tests`.
    """

    folder: str
    goal: str
    run: Callable[[Case], Checks]
    test: str


CASES = (
    Reported(
        "01-exif-mask",
        "the hole lies where it was painted; a mask in the stored orientation: told "
        "about the turn and both sizes",
        masks.exif_mask,
        "experiments/common/test_mask_specs.py::"
        "test_a_mask_of_another_size_is_refused_with_both_sizes",
    ),
    Reported(
        "02-offcentre-person",
        "the face under the hole is found, completed, put back; the photo keeps its "
        "size",
        photographs.offcentre_person,
        "experiments/test_reported.py::"
        "test_a_face_beside_the_middle_is_completed_where_it_is",
    ),
    Reported(
        "03-three-people",
        "the face at the hole is completed",
        photographs.three_people,
        "experiments/common/test_photo_cases.py::"
        "test_only_faces_that_the_hole_meets_are_completed",
    ),
    Reported(
        "04-full-body",
        "the face under the hole is found, completed, put back; the photo keeps its "
        "size",
        photographs.full_body,
        "landmarks/test_face_finding.py::"
        "test_the_portrait_is_found_where_it_is_aligned_and_with_its_eyes_hidden",
    ),
    Reported(
        "05-hole-outside-crop",
        "a hole outside every face is named; none is dropped silently",
        photographs.hole_outside_crop,
        "experiments/common/test_photo_cases.py::"
        "test_what_cannot_be_completed_is_refused",
    ),
    Reported(
        "06-tilted-head",
        "within 0.5 dB of the same holes in faces that are aligned first",
        faces.tilted_head,
        "landmarks/test_face_finding.py::test_a_face_is_found_at_any_turn_and_aligned",
    ),
    Reported(
        "07-sunglasses",
        "two eyes on 4 of 4",
        faces.sunglasses,
        "experiments/test_reported.py::test_hidden_eyes_are_drawn_where_they_belong",
    ),
    Reported(
        "08-grey-photo",
        "grey in, grey out",
        colours.grey_photo,
        "io/test_photographs.py::test_what_is_read_is_written_again",
    ),
    Reported(
        "10-jpeg-mask",
        "two-level files are read by their levels; red or blue on black too; else told "
        "what was found",
        masks.jpeg_mask,
        "images/test_stencils.py::test_two_levels_are_enough",
    ),
    Reported(
        "11-erased-hole",
        "a transparent hole in the photo is the hole; a photo given as a mask is "
        "refused",
        masks.erased_hole,
        "images/test_stencils.py::test_layers_and_erased_pictures",
    ),
    Reported(
        "12-mask-polarity",
        "a hole of 89 %: done, with a hint at --mask_hole",
        masks.mask_polarity,
        "experiments/common/test_mask_specs.py::test_a_large_hole_is_hinted_at_once",
    ),
    Reported(
        "13-formats-in-folder",
        "every file that is passed over is named once, with why; .jfif is a JPEG",
        paths.formats_in_folder,
        "experiments/common/test_input_listing.py::"
        "test_what_is_passed_over_is_named_once",
    ),
    Reported(
        "15-colour-profile",
        "colours converted to sRGB on reading: same bytes within 1 level",
        colours.colour_profile,
        "io/test_photographs.py::test_other_profiles_are_converted",
    ),
    Reported(
        "16-pixel-modes",
        "read, or skipped with a reason",
        colours.pixel_modes,
        "io/test_pixel_modes.py::test_colours_of_any_mode_are_read",
    ),
    Reported(
        "17-original-size",
        "the result is as large as the photo, known pixels equal",
        photographs.original_size,
        "experiments/test_inpaint.py::test_known_pixels_are_those_of_the_photograph",
    ),
    Reported(
        "18-torch-conversions",
        ".pth state dicts read safely (weights only), ngf != ndf; the printed command "
        "works for 128 px and for another crop",
        models.torch_conversions,
        "experiments/test_convert.py::"
        "test_a_search_takes_the_release_with_the_flags_that_are_told",
    ),
    Reported(
        "20-checkpoint-mismatch",
        "refused in a sentence",
        models.checkpoint_mismatch,
        "experiments/test_train.py::test_resuming_with_other_settings_is_refused",
    ),
    Reported(
        "21-paths-and-flagfiles",
        "`~`, wildcards, several pictures, quotes, a byte-order mark work or are named",
        paths.paths_and_flag_files,
        "experiments/common/test_input_listing.py::test_pictures_are_found_and_named",
    ),
    Reported(
        "22-second-run-subfolder",
        "a second run as the first; subfolders kept apart",
        paths.second_run_and_subfolders,
        "experiments/test_reported.py::"
        "test_equal_names_in_two_subfolders_are_kept_apart",
    ),
    Reported(
        "23-few-images",
        "progress lines without a terminal; a moved data folder can be resumed",
        training.few_images,
        "experiments/test_train.py::test_a_run_goes_on_when_its_pictures_have_moved",
    ),
    Reported(
        "24-collapsed-generator",
        'no line says "passed" of a constant picture',
        models.collapsed_generator,
        "experiments/training/test_health.py::"
        "test_nothing_is_passed_by_a_generator_that_draws_a_picture_or_two",
    ),
    Reported(
        "25-batch-invariance",
        "same bytes",
        colours.batch_invariance,
        "search/test_completion.py::test_company_of_one_number_changes_no_bit",
    ),
    Reported(
        "26-memory-growth",
        "flat",
        machines.memory_growth,
        "experiments/test_reported.py::test_pictures_of_further_sizes_compile_nothing",
    ),
    Reported(
        "27-no-gpu",
        "one sentence, exit 2",
        machines.no_gpu,
        "experiments/common/test_application.py::"
        "test_a_device_that_is_not_there_is_refused_in_one_sentence",
    ),
    Reported(
        "28-diverging-training",
        "stopped with the step and the loss",
        training.diverging_training,
        "experiments/test_train.py::"
        "test_a_training_that_diverges_stops_with_exit_code_2",
    ),
    Reported(
        "30-48-megapixels",
        "completed within a stated memory, or refused clearly",
        photographs.megapixels,
        "experiments/test_reported.py::test_a_large_photograph_takes_few_bytes_a_pixel",
    ),
    Reported(
        "31-mask-per-picture",
        "a folder of masks is paired by name",
        masks.mask_per_picture,
        "experiments/common/test_mask_specs.py::"
        "test_a_folder_has_a_mask_for_each_picture",
    ),
    Reported(
        "32-grid-of-known-pixels",
        "sane",
        masks.grid_of_known_pixels,
        "experiments/test_reported.py::test_one_known_pixel_in_sixteen_is_kept",
    ),
    Reported(
        "33-gpu-warning-hidden",
        "JAX's warning is shown; the device is printed",
        machines.gpu_warning_hidden,
        "experiments/common/test_application.py::test_what_jax_warns_of_is_shown",
    ),
    Reported(
        "34-tfds-missing",
        "a way out",
        training.tfds_missing,
        "io/test_tfds.py::test_a_folder_without_the_set_says_how_to_prepare_it",
    ),
    Reported(
        "35-thumbnail",
        "a face below 32 px is named",
        paths.thumbnail,
        "experiments/test_reported.py::test_a_face_below_32_pixels_is_named",
    ),
)
