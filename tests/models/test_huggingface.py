"""A bundle in transformers says what the predictor says, and what is altered or misused is refused."""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer, pipeline
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from corpus.errors import BundleError, UsageError
from models.bundle import MANIFEST, _model_id, load_bundle, load_bundle_codebook, save_bundle
from models.calibration import Calibration, sigmoid, softmax, stable
from models.huggingface import (
    StanceConfig,
    StanceForSequenceClassification,
    _concern_map,
    _rounded,
    _stance_map,
    register,
)
from models.passage import Passage
from models.predictor import Predictor

if TYPE_CHECKING:
    from tests.conftest import Small

TEXTS = [
    "Upperton rejects the pact. The price is high.",
    "Ann Gler welcomes the pact gladly at bakeli. Salmon and fish matter.",
    "Tom Trout read the pact",
    "Ünïcode \U0001f41f 漢字 Lowerton warns against it",
    "Lowerton wrote [SEP] and [CLS] into the pact. Fish!",
    "x",
    "Lowerton signs the pact. " * 40,
]


@pytest.fixture(scope="module")
def predictor(small_bundle: Path) -> Predictor:
    return Predictor.load(small_bundle)


@pytest.fixture(scope="module")
def model(small_bundle: Path) -> StanceForSequenceClassification:
    return StanceForSequenceClassification.from_pretrained(small_bundle)


@pytest.fixture(scope="module")
def tokenizer(small_bundle: Path) -> Any:
    return AutoTokenizer.from_pretrained(small_bundle)


@pytest.fixture
def registered() -> Iterator[None]:
    """The library knows bundles during one test, and has forgotten them afterwards."""
    register()
    yield
    CONFIG_MAPPING._extra_content.pop("treaty-stance")
    AutoModelForSequenceClassification._model_mapping._extra_content.pop(StanceConfig)


def probabilities(answer: list[dict[str, Any]], labels: tuple[str, ...]) -> list[float]:
    score = {entry["label"]: entry["score"] for entry in answer}
    return [score[label] for label in labels]


@pytest.mark.parametrize("text", TEXTS)
def test_the_librarys_pipeline_gives_the_predictors_stance_and_probabilities(
    model: StanceForSequenceClassification, tokenizer: Any, predictor: Predictor, text: str
) -> None:
    classify = pipeline("text-classification", model=model, tokenizer=tokenizer, truncation=True)
    expected = predictor.judge([Passage(text)])[0]
    answer = classify(text, top_k=None)
    assert answer[0]["label"] == expected.stance
    assert probabilities(answer, predictor.codebook.stance_ids) == pytest.approx(expected.probabilities, abs=1e-6)


def test_padding_in_a_batch_changes_no_decision(
    model: StanceForSequenceClassification, tokenizer: Any, predictor: Predictor
) -> None:
    classify = pipeline("text-classification", model=model, tokenizer=tokenizer, truncation=True)
    answers = classify(TEXTS, batch_size=len(TEXTS))
    for answer, expected in zip(answers, predictor.judge([Passage(t) for t in TEXTS]), strict=True):
        assert answer["label"] == expected.stance
        assert answer["score"] == pytest.approx(expected.confidence, abs=2e-4)


def test_concerns_are_there_with_the_predictors_probabilities_and_thresholds(
    model: StanceForSequenceClassification, tokenizer: Any, predictor: Predictor
) -> None:
    for text in TEXTS[:4]:
        with torch.inference_mode():
            raised = model(**tokenizer(text, return_tensors="pt")).concern_logits.sigmoid()[0].tolist()
        expected = predictor.judge([Passage(text)])[0]
        assert raised == pytest.approx(expected.concern_probabilities, abs=1e-6)
        config = model.config
        decided = [c for c, p, t in zip(config.concern_labels, raised, config.concern_thresholds, strict=True) if p >= t]
        assert tuple(decided) == expected.concerns


def test_labels_are_the_codebooks_in_its_order(model: StanceForSequenceClassification) -> None:
    assert model.config.id2label == {0: "yes_please", 1: "no_thanks", 2: "silent"}
    assert model.config.label2id == {"yes_please": 0, "no_thanks": 1, "silent": 2}
    assert model.config.num_labels == 3
    assert list(model.config.concern_labels) == ["fish", "money"]


def test_loss_is_the_mean_log_loss_of_the_calibrated_stance(
    model: StanceForSequenceClassification, tokenizer: Any, predictor: Predictor
) -> None:
    gold = [1, 0, 2]
    batch = tokenizer(TEXTS[:3], padding=True, return_tensors="pt")
    out = model(**batch, labels=torch.tensor(gold))
    judged = predictor.judge([Passage(t) for t in TEXTS[:3]])
    expected = -np.mean([np.log(j.probabilities[g]) for j, g in zip(judged, gold, strict=True)])
    assert out.loss.item() == pytest.approx(expected, abs=1e-3)
    assert isinstance(model(**batch, return_dict=False), tuple)
    torch.testing.assert_close(model(**batch, return_dict=False)[0], model(**batch)["logits"])


def test_gradients_reach_the_encoder_through_the_rounding(small_bundle: Path, tokenizer: Any) -> None:
    model = StanceForSequenceClassification.from_pretrained(small_bundle)
    model(**tokenizer(TEXTS[0], return_tensors="pt")).logits[0, 0].backward()
    gradient = model.network.encoder.get_input_embeddings().weight.grad
    assert gradient is not None
    assert gradient.abs().sum() > 0


def test_logits_are_rounded_as_calibration_rounds_them() -> None:
    z = torch.linspace(-9, 9, 4001) * 0.777
    np.testing.assert_allclose(_rounded(z).numpy(), stable(z.numpy()), rtol=0, atol=1e-12)


@given(
    temperature=st.floats(0.05, 20),
    scale=st.floats(0.01, 50),
    shift=st.floats(-10, 10),
    z=st.lists(st.floats(-12, 12), min_size=4, max_size=4),
)
def test_the_folded_calibration_is_the_calibration(temperature: float, scale: float, shift: float, z: list[float]) -> None:
    calibration = Calibration(temperature=temperature, concern_scale=scale, concern_shift=shift)
    logits = stable(np.array([z]))
    weight, bias = _stance_map(calibration, 4)
    np.testing.assert_allclose(softmax(logits @ weight.T + bias), calibration.stance(logits), rtol=0, atol=1e-9)
    slope, offset = _concern_map(calibration, 4)
    np.testing.assert_allclose(sigmoid(logits * slope + offset), calibration.concerns(logits), rtol=0, atol=1e-7)


class Linear:
    """A calibration by a matrix for stance, and by a scale and shift of its own for each concern."""

    A = np.array([[1.5, -0.25, 0.0], [0.5, 0.75, 0.25], [0.0, 0.125, 2.0]])
    c = np.array([0.3, -1.0, 0.2])
    scale, shift = np.array([0.5, 2.0, 1.0]), np.array([-3.0, 0.0, 1.0])

    def stance(self, z: Any) -> Any:
        return softmax(stable(z) @ self.A.T + self.c)

    def concerns(self, z: Any) -> Any:
        return sigmoid(stable(z) * self.scale + self.shift)


class Bent(Linear):
    """A calibration that no linear map can stand for."""

    def stance(self, z: Any) -> Any:
        return softmax(stable(z) ** 3)

    def concerns(self, z: Any) -> Any:
        return np.clip(sigmoid(stable(z)), 0.2, 0.8)


def test_matrix_and_per_concern_calibration_are_carried_over_and_others_refused() -> None:
    linear: Any = Linear()
    bent: Any = Bent()
    z = np.array([[0.5, -2.0, 1.0], [3.0, 0.25, -1.5]])
    weight, bias = _stance_map(linear, 3)
    np.testing.assert_allclose(softmax(z @ weight.T + bias), linear.stance(z), atol=1e-12)
    np.testing.assert_allclose(_concern_map(linear, 3), (linear.scale, linear.shift), atol=1e-9)
    with pytest.raises(BundleError, match="the stance calibration is not a linear map"):
        _stance_map(bent, 3)
    with pytest.raises(BundleError, match="the concern calibration is not a linear map"):
        _concern_map(bent, 3)


def test_the_statements_own_tokens_are_found_with_and_without_segment_numbers(
    model: StanceForSequenceClassification,
) -> None:
    sep = model.config.sep_token_id
    # start, two words, end, one word of context, end; then the same padded on the left; then no context at all
    ids = torch.tensor([[2, 9, 9, sep, 9, sep, 0, 0], [0, 0, 2, 9, 9, sep, 9, sep], [2, 9, 9, 9, 9, 9, 9, sep]])
    mask = torch.tensor([[1, 1, 1, 1, 1, 1, 0, 0], [0, 0, 1, 1, 1, 1, 1, 1], [1] * 8]).bool()
    types = torch.tensor([[0, 0, 0, 0, 1, 1, 0, 0], [0, 0, 0, 0, 0, 0, 1, 1], [0] * 8])
    expected = [[0, 1, 1, 0, 0, 0, 0, 0], [0, 0, 0, 1, 1, 0, 0, 0], [0, 1, 1, 1, 1, 1, 1, 0]]
    assert model._own(ids, mask, types).long().tolist() == expected
    assert model._own(ids, mask, None).long().tolist() == expected


def test_context_is_the_second_segment(small: Small, tmp_path: Path) -> None:
    recipe = msgspec.structs.replace(small.recipe, context="title")
    save_bundle(tmp_path / "b", dataclasses.replace(small.trained, recipe=recipe), small.codebook, small.split, facts={})
    predictor = Predictor.load(tmp_path / "b")
    classify = pipeline(
        "text-classification",
        model=StanceForSequenceClassification.from_pretrained(tmp_path / "b"),
        tokenizer=AutoTokenizer.from_pretrained(tmp_path / "b"),
    )
    title = "River news and fish"
    expected = predictor.judge([Passage(TEXTS[0], title)])[0]
    answer = classify({"text": TEXTS[0], "text_pair": title}, top_k=None)
    assert probabilities(answer, predictor.codebook.stance_ids) == pytest.approx(expected.probabilities, abs=1e-6)
    for text in TEXTS:  # without a title, the longest one cut
        expected = predictor.judge([Passage(text)])[0]
        answer = classify(text, top_k=None, truncation=True)
        assert probabilities(answer, predictor.codebook.stance_ids) == pytest.approx(expected.probabilities, abs=1e-6)
    answers = classify([{"text": TEXTS[0], "text_pair": title}, {"text": TEXTS[1]}], batch_size=2)
    both = predictor.judge([Passage(TEXTS[0], title), Passage(TEXTS[1])])
    assert [a["label"] for a in answers] == [j.stance for j in both]
    assert [a["score"] for a in answers] == pytest.approx([j.confidence for j in both], abs=2e-4)


def test_a_passage_longer_than_training_is_refused_and_truncation_cuts_where_the_predictor_does(
    model: StanceForSequenceClassification, tokenizer: Any
) -> None:
    assert tokenizer.model_max_length == 128
    with pytest.raises(UsageError, match=r"expected at most 128, the length of training; call .* truncation=True"):
        model(**tokenizer(TEXTS[-1], return_tensors="pt"))


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "encoder.json", "codebook.json", "calibration.json"])
def test_an_altered_bundle_is_refused(small_bundle: Path, tmp_path: Path, name: str) -> None:
    copy = Path(shutil.copytree(small_bundle, tmp_path / "copy"))
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(BundleError, match=f"{name}: its SHA-256 is not the one in manifest.json"):
        StanceForSequenceClassification.from_pretrained(copy)


def test_what_cannot_be_meant_is_refused(small_bundle: Path, model: StanceForSequenceClassification, tmp_path: Path) -> None:
    load = StanceForSequenceClassification.from_pretrained
    with pytest.raises(UsageError, match="no such folder"):
        load("someone/some-model")
    with pytest.raises(UsageError, match="option 'device_map': expected a folder"):
        load(small_bundle, device_map="auto")
    with pytest.raises(UsageError, match=r"dtype torch.int64: expected a floating type of torch"):
        load(small_bundle, dtype="int64")
    with pytest.raises(UsageError, match="copy or upload the folder itself"):
        model.save_pretrained(tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_weights_can_be_asked_for_in_another_type(small_bundle: Path) -> None:
    assert StanceForSequenceClassification.from_pretrained(small_bundle, dtype="bfloat16").dtype is torch.bfloat16
    assert StanceForSequenceClassification.from_pretrained(small_bundle, dtype="auto").dtype is torch.float32


def test_tools_that_do_not_know_bundles_refuse_them_and_do_not_guess(small_bundle: Path) -> None:
    with pytest.raises(ValueError, match="treaty-stance"):
        AutoModelForSequenceClassification.from_pretrained(small_bundle)


def test_once_registered_the_librarys_own_loaders_load_and_verify(
    registered: None, small_bundle: Path, tmp_path: Path, predictor: Predictor, caplog: pytest.LogCaptureFixture
) -> None:
    config = AutoConfig.from_pretrained(small_bundle)
    assert isinstance(config, StanceConfig)
    assert config.id2label[1] == "no_thanks"
    assert isinstance(AutoModelForSequenceClassification.from_pretrained(small_bundle), StanceForSequenceClassification)
    logger = logging.getLogger("transformers")
    logger.addHandler(caplog.handler)
    try:
        classify = pipeline("text-classification", model=str(small_bundle))
    finally:
        logger.removeHandler(caplog.handler)
    assert "not supported" not in caplog.text
    assert classify(TEXTS[0])[0]["label"] == predictor.judge([Passage(TEXTS[0])])[0].stance
    copy = Path(shutil.copytree(small_bundle, tmp_path / "copy"))
    (copy / "model.safetensors").unlink()
    with pytest.raises(BundleError, match="but it is missing"):
        AutoModelForSequenceClassification.from_pretrained(copy)


def test_a_bundle_whose_config_is_the_encoders_still_loads(small_bundle: Path, tmp_path: Path, predictor: Predictor) -> None:
    copy = Path(shutil.copytree(small_bundle, tmp_path / "copy"))
    (copy / "encoder.json").replace(copy / "config.json")
    manifest = json.loads((copy / MANIFEST).read_text())
    manifest["files"]["config.json"] = manifest["files"].pop("encoder.json")
    manifest["model_id"] = _model_id(load_bundle_codebook(copy), {n: e["sha256"] for n, e in manifest["files"].items()})
    (copy / MANIFEST).write_text(json.dumps(manifest))
    assert Predictor(load_bundle(copy)).judge([Passage(TEXTS[0])]) == predictor.judge([Passage(TEXTS[0])])
    model = StanceForSequenceClassification.from_pretrained(copy)
    assert model.config.id2label[0] == "yes_please"
