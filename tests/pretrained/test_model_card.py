"""A model card says what model.json says, and is the one that lies beside it."""

import json

import pytest

from inpaint_jax.io import files
from inpaint_jax.pretrained import model_card, releases

RELEASES = sorted(path.parent.name for path in files.ASSETS.glob("*/model.json"))


@pytest.mark.parametrize("name", RELEASES)
def test_the_released_cards_are_those_of_their_descriptions(name):
    folder = files.ASSETS / name
    description = json.loads((folder / "model.json").read_text())
    card = (folder / model_card.NAME).read_text()
    assert card == model_card.text(name, description)
    about = description["provenance"]
    for said in (about["licence"], about["data"], *about["known_biases"]):
        assert said in card
    assert "does not say" not in card and "non-commercial" in card
    for network in description["sha256"]:
        assert f"`{network}.safetensors`" in card


def test_an_export_has_a_card(tmp_path):
    releases.export(tmp_path, {}, description={"architecture": {}, "crop": 128})
    card = (tmp_path / model_card.NAME).read_text()
    assert card.startswith(f"# {tmp_path.name}\n") and "crop of 128 pixels" in card
    assert card.count("model.json does not say") == 5


def test_scores_are_told_in_words():
    scores = {
        "frechet_face": 0.054292,
        "reconstruction": {"psnr": 23.2136, "faces": 100},
    }
    card = model_card.text("mine", {"provenance": {"scores": scores}})
    assert "- frechet face: 0.05429\n" in card
    assert "- reconstruction: psnr 23.21, faces 100\n" in card
