"""Models of transformers and sentence-transformers in local folders; they are tiny and have random weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    BertConfig,
    BertModel,
    BitImageProcessor,
    ClapConfig,
    ClapFeatureExtractor,
    ClapModel,
    CLIPConfig,
    CLIPImageProcessor,
    CLIPModel,
    Dinov2Config,
    Dinov2Model,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipImageProcessor,
    SiglipModel,
)

from prismrec.content import Sound, encode, encode_contents, make_encoder
from prismrec.content.encoders.neural import NeuralEncoder
from prismrec.data import load
from prismrec.errors import InputError

from plain_encoders import Lengths

pytestmark = pytest.mark.filterwarnings("ignore")
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "red", "blue", "mug", "lamp", "a", "warm"]
SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXT = {**SMALL, "vocab_size": len(WORDS), "max_position_embeddings": 12, "bos_token_id": 2, "eos_token_id": 3}
VISION = {**SMALL, "image_size": 32, "patch_size": 8}
TEXTS = ["a red mug", "a blue lamp", "warm", "a warm red lamp a blue mug a red mug a mug a mug a mug a lamp"]


def save_tokenizer(folder: Path) -> None:
    tokenizer = Tokenizer(WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", model_max_length=12
    ).save_pretrained(folder)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a folder for each model."""
    root = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    size = {"height": 32, "width": 32}
    for name in ("bert", "clip", "siglip"):
        (root / name).mkdir()
        save_tokenizer(root / name)
    BertModel(BertConfig(**SMALL, vocab_size=len(WORDS), max_position_embeddings=12)).save_pretrained(root / "bert")
    CLIPModel(CLIPConfig(text_config=TEXT, vision_config=VISION, projection_dim=12)).save_pretrained(root / "clip")
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=size).save_pretrained(root / "clip")
    SiglipModel(SiglipConfig(text_config=TEXT, vision_config=VISION)).save_pretrained(root / "siglip")
    SiglipImageProcessor(size=size).save_pretrained(root / "siglip")
    Dinov2Model(Dinov2Config(**SMALL, image_size=32, patch_size=8)).save_pretrained(root / "dinov2")
    BitImageProcessor(size={"shortest_edge": 32}, crop_size=size).save_pretrained(root / "dinov2")
    audio = {
        "spec_size": 64,
        "num_mel_bins": 16,
        "patch_embeds_hidden_size": 16,
        "depths": [1, 1],
        "num_attention_heads": [2, 2],
        "hidden_size": 32,
        "window_size": 4,
        "num_hidden_layers": 2,
    }
    ClapModel(ClapConfig(text_config=TEXT, audio_config=audio, projection_dim=12)).save_pretrained(root / "clap")
    ClapFeatureExtractor(16, 8000, max_length_s=1, fft_window_size=256, truncation="rand_trunc").save_pretrained(
        root / "clap"
    )
    return root


def pictures(count: int) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)) for _ in range(count)]


@pytest.mark.parametrize(("model", "width"), [("clip", 12), ("siglip", 16), ("dinov2", 16)])
def test_pictures_by_a_model_in_a_folder(models, model, width):
    encoder = make_encoder(f"transformers:{models / model}", "cpu", "image")
    rows = encode_contents(encoder, pictures(20))
    assert rows.shape == (20, width)
    assert encoder.width == width
    assert rows.std(0).min() > 0
    alone = encode_contents(encoder, pictures(20)[:1])
    np.testing.assert_allclose(alone[0], rows[0], rtol=1e-4, atol=1e-5)


def test_pictures_of_clip_are_its_projected_features(models):
    encoder = make_encoder(f"transformers:{models / 'clip'}", "cpu", "image")
    network = CLIPModel.from_pretrained(models / "clip").eval()
    processor = CLIPImageProcessor.from_pretrained(models / "clip")
    pixels = processor(pictures(3), return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        expected = network.visual_projection(network.vision_model(pixel_values=pixels).pooler_output)
    np.testing.assert_allclose(encode_contents(encoder, pictures(3)), expected.numpy(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("model", "width"), [("clip", 12), ("siglip", 16), ("bert", 16)])
def test_texts_by_a_model_in_a_folder(models, model, width):
    encoder = make_encoder(f"transformers:{models / model}", "cpu", "text")
    rows = encode_contents(encoder, TEXTS)
    assert rows.shape == (4, width)
    alone = np.concatenate([encode_contents(encoder, [text]) for text in TEXTS])
    np.testing.assert_allclose(alone, rows, rtol=1e-3, atol=1e-5)


def test_texts_of_other_models_are_means_over_tokens(models):
    encoder = make_encoder(f"transformers:{models / 'bert'}", "cpu", "text")
    network = BertModel.from_pretrained(models / "bert").eval()
    tokens = torch.tensor([[WORDS.index(word) for word in ["a", "red", "mug"]]])
    with torch.no_grad():
        expected = network(tokens).last_hidden_state.mean(1)
    np.testing.assert_allclose(encode_contents(encoder, ["a red mug"]), expected.numpy(), rtol=1e-4, atol=1e-5)


def test_a_model_of_sentence_transformers_in_a_folder(models):
    encoder = make_encoder(f"sentence-transformers:{models / 'bert'}", "cpu")
    rows = encode_contents(encoder, TEXTS)
    assert rows.shape == (4, encoder.width) == (4, 16)
    with_transformers = encode_contents(make_encoder(f"transformers:{models / 'bert'}", "cpu", "text"), TEXTS[:3])
    np.testing.assert_allclose(rows[:3], with_transformers, rtol=1e-3, atol=1e-5)


def test_sounds_by_clap_in_a_folder(models):
    encoder = make_encoder(f"transformers:{models / 'clap'}", "cpu", "audio")
    rng = np.random.default_rng(0)
    sounds = [Sound(rng.normal(0, 0.1, 8000 + 4000 * each).astype(np.float32), 16000) for each in range(3)]
    rows = encode_contents(encoder, sounds)
    assert rows.shape == (3, 12)
    assert np.array_equal(encode_contents(encoder, sounds), rows), "no random part of a long sound"


def test_a_folder_of_pictures_and_texts_in_one_space(models, folder):
    name = f"transformers:{models / 'clip'}"
    made = encode(folder, encoders={"text": name, "image": name}, device="cpu")
    assert made["text"].manifest.weights == made["image"].manifest.weights
    assert {rows.shape for rows in load(folder).features.values()} == {(12, 12)}


def test_other_weights_are_another_encoder(models, tmp_path):
    before = make_encoder(f"transformers:{models / 'bert'}", "cpu", "text")
    torch.manual_seed(1)
    other = tmp_path / "bert"
    other.mkdir()
    for path in (models / "bert").iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    same = make_encoder(f"transformers:{other}", "cpu", "text")
    assert same.weights == before.weights
    BertModel(BertConfig(**SMALL, vocab_size=len(WORDS), max_position_embeddings=12)).save_pretrained(other)
    assert make_encoder(f"transformers:{other}", "cpu", "text").weights != before.weights


@pytest.mark.parametrize(
    ("name", "modality", "message"),
    [
        ("transformers:openai/clip-vit-base-patch32", "image", "a revision, so that rows stay comparable"),
        ("sentence-transformers:all-MiniLM-L6-v2", "text", "OWNER/NAME@REVISION"),
        ("transformers:nowhere", "text", "OWNER/NAME@REVISION"),
    ],
)
def test_names_without_a_revision_are_refused(name, modality, message):
    with pytest.raises(InputError, match=message):
        make_encoder(name, "cpu", modality)


def test_a_model_that_cannot_be_downloaded_is_named(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match="encoder owner/name@abc"):
        make_encoder("transformers:owner/name@abc", "cpu", "text")


def test_pickled_weights_are_refused(models, tmp_path):
    (tmp_path / "config.json").write_text((models / "bert" / "config.json").read_text())
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(InputError, match="safetensors, without pickle"):
        make_encoder(f"transformers:{tmp_path}", "cpu", "text")


def test_a_batch_that_does_not_fit_into_memory_is_halved():
    class Small(NeuralEncoder):
        """Has memory for three contents."""

        modality = "text"
        width = 2
        batch_size = 16
        sizes: tuple[int, ...] = ()

        def run(self, batch):
            self.sizes = (*self.sizes, len(batch))
            if len(batch) > 3:
                raise torch.OutOfMemoryError
            return torch.from_numpy(Lengths().encode(batch))

    encoder = Small()
    texts = [f"text {number}" for number in range(100, 116)]
    assert np.array_equal(encoder.encode(texts), Lengths().encode(texts))
    assert encoder.sizes[:3] == (16, 8, 4)
    assert set(encoder.sizes[3:]) == {2}
