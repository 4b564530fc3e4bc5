"""The encoders that need no hub: what their rows say, and that they are the same after saving."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from prismrec.content import encode_contents, encoder_names, make_encoder
from prismrec.content.registry import require_decoder
from prismrec.demo import Shop, ShopConfig, make_shop
from prismrec.demo.traits import TRAITS, Colour, Kind
from prismrec.errors import InputError

TEXTS = ["a red coffee mug", "a crimson cup for tea", "the stock market crashed", "shares fell in New York"]


@pytest.fixture(scope="module")
def shop() -> Shop:
    return make_shop(ShopConfig(users=20, items=200, interactions=200))


@pytest.fixture(scope="module")
def contents(shop: Shop) -> dict[str, list]:
    return {
        "image": [Image.fromarray(pixels) for pixels in shop.pictures],
        "text": [f"{item.title}. {item.description}" for item in shop.items],
    }


def agreement(rows: np.ndarray, values: list) -> float:
    """How often the most similar other item has the same value."""
    unit = rows - rows.mean(0)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -2)
    nearest = similarity.argmax(1)
    return float(np.mean([values[row] == values[other] for row, other in enumerate(nearest)]))


@pytest.mark.parametrize(
    ("name", "trait", "times_chance"),
    [
        ("histograms", Kind, 5),
        ("histograms", Colour, 2),
        ("tfidf", Kind, 3),
        ("wordllama", Kind, 4),
        ("wordllama", Colour, 1.5),
        ("minilm", Kind, 4),
        ("efficientnet-lite0", Kind, 5),
    ],
)
def test_similar_items_have_similar_rows(shop, contents, name, trait, times_chance):
    encoder = make_encoder(name)
    rows = encode_contents(encoder, contents[encoder.modality])
    values = [item.traits[TRAITS.index(trait)] for item in shop.items]
    assert rows.dtype == np.float32
    assert rows.shape == (200, encoder.width)
    assert agreement(rows, values) > times_chance / len(trait)


@pytest.mark.parametrize("name", ["histograms", "tfidf"])
def test_a_fitted_encoder_gives_the_same_rows_with_its_state(contents, name):
    fitted, loaded = make_encoder(name), make_encoder(name)
    rows = encode_contents(fitted, contents[fitted.modality])
    loaded.load(fitted.state())
    prepared = [loaded.prepare(content) for content in contents[loaded.modality]]
    np.testing.assert_allclose(loaded.encode(prepared), rows, rtol=1e-6, atol=1e-7)
    assert loaded.weights == fitted.weights


@pytest.mark.parametrize("name", ["histograms", "tfidf"])
def test_rows_of_fitted_encoders_have_length_one(contents, name):
    encoder = make_encoder(name)
    rows = encode_contents(encoder, contents[encoder.modality])
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)


def test_principal_directions_are_those_of_the_singular_value_decomposition(contents):
    encoder = make_encoder("histograms")
    prepared = np.stack([encoder.prepare(content) for content in contents["image"]])
    rows = encode_contents(encoder, contents["image"])
    centred = prepared - prepared.mean(0)
    left, values, _ = np.linalg.svd(centred, full_matrices=False)
    expected = left[:, :64] * values[:64]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(np.abs(rows), np.abs(expected), atol=1e-4)


@pytest.mark.parametrize("name", ["wordllama", "minilm"])
def test_words_of_similar_meaning_are_similar(name):
    rows = make_encoder(name).encode(TEXTS)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    similarity = unit @ unit.T
    assert similarity[0, 1] > max(similarity[0, 2], similarity[0, 3], similarity[1, 2]) + 0.2
    assert similarity[2, 3] > similarity[0, 3] + 0.2


def test_a_text_without_known_words_has_a_row_of_zeros(contents):
    encoder = make_encoder("tfidf")
    encode_contents(encoder, contents["text"])
    assert not encoder.encode(["zyxwv"]).any()


def test_contents_without_anything_to_learn_are_refused(contents):
    pictures = make_encoder("histograms")
    with pytest.raises(InputError, match="encoder histograms: found 3 pictures without a difference"):
        pictures.fit([pictures.prepare(contents["image"][0])] * 3)
    with pytest.raises(InputError, match="encoder tfidf: found 3 texts with 0 terms in common"):
        make_encoder("tfidf").fit(["one", "two", "three"])


@pytest.mark.parametrize(
    ("name", "package", "install"),
    [
        ("wordllama", "wordllama", "pip install wordllama"),
        ("efficientnet-lite0", "efficientnet_lite_pytorch", "pip install pillow efficientnet-lite-pytorch"),
        ("tfidf", "sklearn", "pip install scikit-learn"),
    ],
)
def test_a_missing_package_is_named_with_the_command_that_installs_it(name, package, install):
    script = f"""
import sys
sys.modules["{package}"] = None
from prismrec.content import make_encoder
from prismrec.errors import InputError
try:
    make_encoder("{name}")
except InputError as error:
    assert "{install}" in str(error) and "{package}" in str(error), error
else:
    raise SystemExit("no error")
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_encoders_of_other_packages_are_found_by_their_path():
    encoder = make_encoder("plain_encoders:Lengths")
    assert encoder.encode(["eel"]).tolist() == [[3, 2]]
    assert encoder.name == "plain_encoders:Lengths"
    with pytest.raises(InputError, match="a subclass of prismrec"):
        make_encoder("prismrec.errors:InputError")


def test_an_unknown_encoder_is_refused_with_all_names():
    with pytest.raises(InputError) as error:
        make_encoder("word2vec")
    for name in encoder_names():
        assert name in str(error.value)


def test_encoding_does_not_depend_on_other_contents_of_the_batch(contents):
    for name in ("wordllama", "efficientnet-lite0"):
        encoder = make_encoder(name)
        some = [encoder.prepare(content) for content in contents[encoder.modality][:5]]
        together = encoder.encode(some)
        alone = np.concatenate([encoder.encode([each]) for each in some])
        np.testing.assert_allclose(together, alone, rtol=1e-3, atol=1e-4 * np.abs(alone).max())


@pytest.mark.parametrize(("kind", "package"), [("image", "PIL"), ("audio", "soundfile"), ("video", "av")])
def test_a_missing_decoder_is_named_with_the_command_that_installs_it(kind, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.delitem(sys.modules, "PIL.Image" if package == "PIL" else package + ".none", raising=False)
    with pytest.raises(InputError, match=f"decoding of {kind}.*pip install"):
        require_decoder(kind)
