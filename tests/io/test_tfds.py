"""Sets of tensorflow-datasets, read by the package itself, without TensorFlow."""

import importlib.util
import io
import os

import numpy as np
import pytest
from PIL import Image

from inpaint_jax.errors import InputError
from inpaint_jax.images import framing
from inpaint_jax.io import data, sources

tfds = pytest.importorskip(
    "tensorflow_datasets", reason="needs the extra inpaint-jax[data]"
)
pytest.importorskip("array_record", reason="needs the extra inpaint-jax[data]")

# The set's reader prefers OpenCV, whose decoder is another one.
decoded_by_pillow = pytest.mark.skipif(
    importlib.util.find_spec("cv2") is not None, reason="OpenCV is installed"
)
COUNTS = {"train": 23, "test": 4}
DAMAGED = "train 007"


def jpeg(name):
    """The file of one picture: smooth colours, of a size that its name decides."""
    rng = np.random.default_rng(list(name.encode()))
    coarse = Image.fromarray(rng.integers(0, 256, (4, 4, 3), np.uint8))
    file = io.BytesIO()
    coarse.resize((30 + len(name), 40), Image.Resampling.BICUBIC).save(file, "JPEG")
    return file.getvalue()[:300] if name == DAMAGED else file.getvalue()


class TinyFaces(tfds.core.GeneratorBasedBuilder):
    """Two splits of JPEG files; what a user would write for pictures of their own."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        image = tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg")
        features = tfds.features.FeaturesDict({"image": image, "name": np.str_})
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        return {split: self._generate_examples(split) for split in COUNTS}

    def _generate_examples(self, split):
        for i in range(COUNTS[split]):
            name = f"{split} {i:03d}"
            yield name, {"image": io.BytesIO(jpeg(name)), "name": name}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """Folder of a prepared set."""
    folder = tmp_path_factory.mktemp("sets")
    builder = TinyFaces(data_dir=folder)
    builder.download_and_prepare(file_format="array_record")
    return str(folder)


def expected(data_dir, split):
    """Pillow's decoding of a split's files, in the order the set was stored in."""
    rows = TinyFaces(data_dir=data_dir).as_data_source(
        split, decoders={"image": tfds.decode.SkipDecoding()}
    )
    names = [row["name"].decode() for row in rows]
    assert sorted(names) == [f"{split} {i:03d}" for i in range(COUNTS[split])]
    return names, [
        None if name == DAMAGED else np.asarray(Image.open(io.BytesIO(jpeg(name))))
        for name in names
    ]


def refusal(source, data_dir):
    with pytest.raises(InputError) as caught:
        data.load(source, crop=128, size=8, data_dir=str(data_dir))
    sentence = str(caught.value)
    assert sentence.startswith(f"{source}: ") and "\n" not in sentence
    assert f"in data_dir={data_dir}" in sentence
    return sentence


def assert_says_how_to_prepare(sentence, name, data_dir):
    call = f"tfds.builder({name!r}, data_dir={str(data_dir)!r})"
    assert f"{call}.download_and_prepare(file_format='array_record')" in sentence
    assert "give folder:DIR" in sentence


def test_celeb_a_is_read_with_its_own_features():
    with tfds.testing.mock_data(num_examples=5):
        faces = data.load("tfds:celeb_a[1:4]", crop=128, size=64)
        _, read = sources.open_source("tfds:celeb_a/test")
        picture = read(0)
    assert faces.names == ("2", "3", "4") and faces.skipped == ()
    assert faces.images.shape == (3, 64, 64, 3) and faces.images.std() > 0
    assert picture.shape == (218, 178, 3)


@decoded_by_pillow
@pytest.mark.parametrize("split", COUNTS)
def test_pictures_are_those_of_the_files(data_dir, split):
    names, pictures = expected(data_dir, split)
    found, read = sources.open_source(f"tfds:tiny_faces/{split}", data_dir=data_dir)
    assert len(found) == COUNTS[split]
    for i, (name, picture) in enumerate(zip(names, pictures, strict=True)):
        if name == DAMAGED:
            with pytest.raises(InputError, match=rf"^{found[i]}: damaged \("):
                read(i)
        else:
            np.testing.assert_array_equal(read(i), picture)


@decoded_by_pillow
def test_loading_reads_in_many_threads_and_skips_what_is_damaged(data_dir):
    names, pictures = expected(data_dir, "train")
    faces = data.load("tfds:tiny_faces", crop=128, size=30, data_dir=data_dir)
    good = [i for i, name in enumerate(names) if name != DAMAGED]
    assert faces.names == tuple(f"{i + 1:02d}" for i in good)
    assert len(faces.skipped) == 1
    framed = [framing.frame(pictures[i], crop=128, size=30) for i in good]
    np.testing.assert_array_equal(faces.images, framed)


@decoded_by_pillow
@pytest.mark.parametrize(
    "source, part",
    [
        ("tfds:tiny_faces/test[1:3]", slice(1, 3)),
        ("tfds:tiny_faces/test[-1:]", slice(-1, None)),
        ("tfds:tiny_faces/test[50%:]", slice(2, None)),
    ],
)
def test_slices(data_dir, source, part):
    _, pictures = expected(data_dir, "test")
    faces = data.load(source, crop=128, size=8, data_dir=data_dir)
    framed = [framing.frame(picture, crop=128, size=8) for picture in pictures[part]]
    np.testing.assert_array_equal(faces.images, framed)


def test_a_split_that_is_not_there_is_named_with_those_that_are(data_dir):
    sentence = refusal("tfds:tiny_faces/validation", data_dir)
    assert "(Unknown split 'validation'. Should be one of [" in sentence
    assert "'train'" in sentence and "'test'" in sentence


def test_a_folder_without_the_set_says_how_to_prepare_it(tmp_path):
    for name in ("tiny_faces", "celeb_a"):
        for folder in (tmp_path, tmp_path / "missing"):
            sentence = refusal(f"tfds:{name}", folder)
            assert_says_how_to_prepare(sentence, name, folder)
    assert os.listdir(tmp_path) == []


def test_a_set_that_tensorflow_datasets_does_not_know_is_refused(tmp_path):
    assert "knows no such set" in refusal("tfds:tiny_fakes", tmp_path)


def test_files_in_tfrecord_format_say_how_to_prepare_the_set_again(data_dir, tmp_path):
    """Writing that format takes TensorFlow; it is refused by the description alone."""
    version = os.path.join("tiny_faces", "1.0.0")
    folder = tmp_path / version
    folder.mkdir(parents=True)
    for name in ("dataset_info.json", "features.json"):
        with open(os.path.join(data_dir, version, name), encoding="utf-8") as file:
            text = file.read()
        (folder / name).write_text(text.replace("array_record", "tfrecord"))
    sentence = refusal("tfds:tiny_faces", tmp_path)
    assert "TFRECORD" in sentence
    assert_says_how_to_prepare(sentence, "tiny_faces", tmp_path)


@pytest.mark.parametrize("content", ["", "{", '{"name": 3}'])
def test_a_damaged_description_is_refused(data_dir, tmp_path, content):
    folder = tmp_path / "tiny_faces" / "1.0.0"
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text(content)
    refusal("tfds:tiny_faces", tmp_path)
