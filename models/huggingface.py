"""A bundle as a model of transformers: verified, calibrated, without remote code. A leaf: nothing of ours imports it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NoReturn

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoConfig, AutoModelForSequenceClassification, PreTrainedConfig, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from corpus.errors import BundleError, UsageError
from models.bundle import Bundle, load_bundle
from models.calibration import Calibration, Floats, sigmoid, softmax, stable
from models.card import MODEL_TYPE, hub_config

# What the library's own loaders pass along and what means nothing for a folder that lies here.
_WITHOUT_MEANING = {
    "adapter_kwargs",
    "cache_dir",
    "code_revision",
    "config",
    "force_download",
    "local_files_only",
    "proxies",
    "revision",
    "token",
    "trust_remote_code",  # nothing of a bundle is run, whatever is allowed
    "use_safetensors",
    "weights_only",
}
_DECIMALS = 4  # of a logit, as models.calibration.stable rounds it
_STEP = 0.0625  # survives that rounding unchanged


class StanceConfig(PreTrainedConfig):  # type: ignore[no-untyped-call]  # the library leaves its hook untyped
    """What the bundle's ``config.json`` says to other tools: stances as labels, concerns with their thresholds.

    ``max_tokens`` is the length that the bundle was trained with, special tokens included. ``sep_token_id`` ends the
    statement; ``token_types`` says whether the tokenizer numbers segments. ``empty_context`` are the tokens that follow a
    statement without context where the bundle was trained with context.
    """

    model_type: ClassVar[str] = MODEL_TYPE

    concern_labels: tuple[str, ...] | list[str] = ()
    concern_thresholds: tuple[float, ...] | list[float] = ()
    max_tokens: int | None = None
    sep_token_id: int | None = None
    token_types: bool = True
    empty_context: tuple[int, ...] | list[int] = ()


@dataclass
class StanceOutput(SequenceClassifierOutput):
    """``logits`` (b, stances): their softmax is the calibrated stance. ``concern_logits`` (b, concerns): their sigmoid is
    the calibrated probability of each concern.
    """

    concern_logits: Tensor | None = None


class StanceForSequenceClassification(PreTrainedModel):  # type: ignore[no-untyped-call]  # as above
    """The network of a bundle behind the interface of a sequence classifier, calibration folded into the logits.

    ``pipeline("text-classification", model=..., tokenizer=...)`` gives the stance and probability that the bundle's
    predictor gives for passages without context. A second segment is the context, as the recipe's ``context`` orders it.
    """

    config_class = StanceConfig
    base_model_prefix = "network"
    main_input_name = "input_ids"

    def __init__(self, config: StanceConfig, bundle: Bundle) -> None:
        """Take a loaded bundle; :meth:`from_pretrained` is the usual way."""
        super().__init__(config)
        self.network = bundle.network
        self._stance = _stance_map(bundle.calibration, len(bundle.codebook.stances))
        self._concerns = _concern_map(bundle.calibration, len(bundle.codebook.concerns))

    @classmethod
    def from_pretrained(  # type: ignore[override]  # the base's list of options is a list of downloads and devices
        cls, pretrained_model_name_or_path: str | os.PathLike[str], *model_args: Any, **kwargs: Any
    ) -> StanceForSequenceClassification:
        """Verify a bundle and load it. Nothing is fetched or executed.

        Args:
            pretrained_model_name_or_path: The bundle's folder.
            model_args: None is known.
            kwargs: ``dtype`` of the weights, a torch type or its name (default: 32-bit floats). Options that only matter
                for downloads are taken and have no effect.

        Raises:
            UsageError: when there is no such folder, or an option is not known.
            BundleError: when the bundle is incomplete or altered, or its tokenizer or calibration has a form that cannot
                be carried over.
        """
        dtype = kwargs.pop("dtype", None)
        dtype = getattr(torch, dtype, dtype) if isinstance(dtype, str) and dtype != "auto" else dtype
        if dtype not in (None, "auto") and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
            raise UsageError(f"dtype {dtype!r}: expected a floating type of torch; leave it out for 32-bit floats")
        unknown = [k for k in kwargs if k not in _WITHOUT_MEANING and not k.startswith("_") and kwargs[k] is not None]
        if unknown or model_args:
            raise UsageError(
                f"option {unknown[0] if unknown else model_args[0]!r}: expected a folder and dtype at most, since a bundle "
                "is loaded as it is; leave the option out, and move the model with .to() afterwards"
            )
        bundle = load_bundle(Path(pretrained_model_name_or_path))
        config = StanceConfig(
            **hub_config(bundle.codebook, bundle.calibration.thresholds, max_tokens=bundle.recipe.max_length),
            sep_token_id=bundle.tokenizer.sep_token_id,
            token_types="token_type_ids" in bundle.tokenizer.model_input_names,
            empty_context=_empty_context(bundle),
        )
        config.name_or_path = str(bundle.folder)
        model = cls(config, bundle)
        model.train(False)
        if isinstance(dtype, torch.dtype):
            nn.Module.to(model, dtype=dtype)  # in place; the library wraps its own so that types are lost
        return model

    def save_pretrained(self, *_: Any, **__: Any) -> NoReturn:
        """Refuse: a bundle's hashes hold for its files as they are.

        Raises:
            UsageError: always.
        """
        raise UsageError(
            f"{self.name_or_path}: a loaded bundle is not written again, since its hashes hold for the files as they are; "
            "copy or upload the folder itself"
        )

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        labels: Tensor | None = None,
        return_dict: bool | None = None,
    ) -> StanceOutput | tuple[Tensor, ...]:
        """Score a batch.

        Args:
            input_ids: (b, t) as the bundle's tokenizer gives them; the statement is the first segment.
            attention_mask: (b, t), 1 for tokens and 0 for padding; all ones when left out.
            token_type_ids: (b, t), 0 for the statement and 1 for its context, where the tokenizer gives them.
            labels: (b,) stance indices; ``loss`` is then the mean log loss of the calibrated stance.
            return_dict: False for a plain tuple.

        Raises:
            UsageError: when a passage is longer than the bundle was trained with.
        """
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        longest = int(mask.sum(1).max())
        if self.config.max_tokens is not None and longest > self.config.max_tokens:
            raise UsageError(
                f"a passage has {longest} tokens, expected at most {self.config.max_tokens}, the length of training; call "
                f"tokenizer or pipeline with truncation=True, max_length={self.config.max_tokens}"
            )
        own = self._own(input_ids, mask.bool(), token_type_ids)
        if self.config.empty_context:
            input_ids, mask, own = self._with_context(input_ids, mask.bool(), own)
        raw = self.network(input_ids, mask.long(), own)
        stance, concerns = _rounded(raw.stance), _rounded(raw.concerns)
        weight, bias = (torch.as_tensor(v).to(stance) for v in self._stance)
        logits = (stance @ weight.T + bias).float()
        scale, shift = (torch.as_tensor(v).to(concerns) for v in self._concerns)
        loss = None if labels is None else functional.cross_entropy(logits, labels)
        out = StanceOutput(loss=loss, logits=logits, concern_logits=(concerns * scale + shift).float())
        plain = return_dict is False or (return_dict is None and not self.config.return_dict)
        return out.to_tuple() if plain else out

    def _own(self, ids: Tensor, mask: Tensor, types: Tensor | None) -> Tensor:
        """Return which tokens are the statement's: the first segment without the special token at either end of it."""
        if types is not None and self.config.token_types:
            segment = mask & (types == 0)
        else:
            ends = mask & (ids == self.config.sep_token_id)
            segment = mask & (ends.cumsum(1) - ends.long() == 0)
        place = segment.cumsum(1)
        return segment & (place > 1) & (place < place[:, -1:])

    def _with_context(self, ids: Tensor, mask: Tensor, own: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Give each statement that stands alone the empty second segment that the predictor gives it, within the length."""
        tail = ids.new_tensor(list(self.config.empty_context))
        room = self.config.max_tokens - 1 - len(tail)
        rows = []
        for tokens, mine in ((i[m], o[m]) for i, m, o in zip(ids, mask, own, strict=True)):
            if int(mine.sum()) + 2 == len(tokens):
                statement = tokens[:-1][:room]
                rows.append((torch.cat([statement, tokens[-1:], tail]), mine[:-1][:room]))
            else:
                rows.append((tokens, mine))
        padded = nn.utils.rnn.pad_sequence([tokens for tokens, _ in rows], batch_first=True)
        lengths = torch.tensor([len(tokens) for tokens, _ in rows], device=ids.device)
        attended = torch.arange(padded.shape[1], device=ids.device) < lengths[:, None]
        marked = nn.utils.rnn.pad_sequence([mine for _, mine in rows], batch_first=True)
        return padded, attended, functional.pad(marked, (0, padded.shape[1] - marked.shape[1]))


def register() -> None:
    """Make ``AutoConfig``, ``AutoModelForSequenceClassification`` and ``pipeline`` know bundles, in this process."""
    AutoConfig.register(MODEL_TYPE, StanceConfig, exist_ok=True)
    AutoModelForSequenceClassification.register(StanceConfig, StanceForSequenceClassification, exist_ok=True)


def _rounded(logits: Tensor) -> Tensor:
    """Round as calibration does, in 64-bit floats where the device has them; the gradient passes as if it did not."""
    exact = logits.float() if logits.device.type == "mps" else logits.double()
    return exact + (exact.round(decimals=_DECIMALS) - exact).detach()


def _stance_map(calibration: Calibration, n: int) -> tuple[Floats, Floats]:
    """Return weight (n, n) and bias (n,) such that softmax(weight z + bias) is the calibrated stance.

    They are read off the calibration's answers to zero and to the unit vectors, so that temperature, vector and matrix
    scaling are all carried over: for softmax(A z + c), log p(e_i) - log p(0) is column i of A, up to one number a column
    that softmax does not see.
    """
    bias = np.log(calibration.stance(np.zeros((1, n))))[0]
    weight = (np.log(calibration.stance(np.eye(n))) - bias).T
    probe = _probe(n)
    _check_map(softmax(probe @ weight.T + bias), calibration.stance(probe), "stance")
    return weight, bias


def _concern_map(calibration: Calibration, n: int) -> tuple[Floats, Floats]:
    """Return scale (n,) and shift (n,) such that sigmoid(scale z + shift) is the calibrated concern.

    They are read off the answers to zero and to a small step, where no probability is so near to one that it says nothing.
    """
    shift, stepped = (_logit(calibration.concerns(np.full((1, n), z)))[0] for z in (0.0, _STEP))
    scale = (stepped - shift) / _STEP
    probe = _probe(n)
    _check_map(sigmoid(probe * scale + shift), calibration.concerns(probe), "concern")
    return scale, shift


def _probe(n: int) -> Floats:
    return stable(np.stack([np.linspace(-1.5, 2.5, n), np.linspace(2.0, -1.0, n), np.where(np.arange(n) % 2, 1.25, -0.75)]))


def _check_map(found: Floats, expected: Floats, what: str) -> None:
    if not np.allclose(found, expected, rtol=0, atol=1e-6):
        raise BundleError(
            f"calibration.json: the {what} calibration is not a linear map of logits, expected one that can be folded into "
            "the model; use models.predictor instead"
        )


def _logit(p: Floats) -> Floats:
    return np.asarray(np.log(p) - np.log1p(-p))


def _empty_context(bundle: Bundle) -> tuple[int, ...]:
    """Return the tokens of an empty second segment, none where the bundle reads no context.

    Raises:
        BundleError: when the tokenizer does not put one special token before and one behind a statement.
    """
    segments = list(bundle.tokenizer("a", "a").sequence_ids(0))
    behind = 1 + segments.count(0)
    if segments[:1] != [None] or segments[1:behind] != [0] * (behind - 1) or segments[behind] is not None:
        raise BundleError(
            f"{bundle.folder / 'tokenizer.json'}: expected one special token before and one behind a statement, found "
            f"segments {segments}; use models.predictor instead"
        )
    alone, pair = bundle.tokenizer(["a"])["input_ids"][0], bundle.tokenizer(["a"], [""])["input_ids"][0]
    return tuple(pair[len(alone) :]) if bundle.recipe.context != "none" else ()
