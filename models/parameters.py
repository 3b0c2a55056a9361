"""Parameter groups: which parameter learns how fast."""

from __future__ import annotations

from typing import Any

from torch import nn


def parameter_groups(
    network: nn.Module,
    *,
    learning_rate: float,
    head_learning_rate: float,
    layer_decay: float,
    weight_decay: float,
) -> list[dict[str, Any]]:
    """Return optimizer groups for a network whose ``encoder`` is one of transformers: heads have a rate of their own.

    A layer's rate is multiplied by ``layer_decay`` once for each layer further from the heads, the embeddings' once more
    than the lowest layer's (Howard & Ruder 2018, section 3.2). Biases and norms are not shrunk. ``base`` repeats the rate
    for a schedule to multiply. What asks for no gradient is left out.
    """
    layers = int(network.encoder.config.num_hidden_layers)  # type: ignore[union-attr, arg-type]
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        rate = head_learning_rate
        if name.startswith("encoder."):
            layer = layer_number(name)
            rate = learning_rate * layer_decay ** (layers if layer is None else layers - 1 - layer)
        groups.setdefault((rate, weight_decay if parameter.ndim > 1 else 0.0), []).append(parameter)
    return [
        {"params": members, "lr": rate, "base": rate, "weight_decay": decay} for (rate, decay), members in groups.items()
    ]


def freeze(network: nn.Module, *, word_embeddings: bool, layers: int = 0) -> None:
    """Keep the encoder's word embeddings, or all its embeddings and its lowest layers, as they are."""
    if word_embeddings:
        network.encoder.get_input_embeddings().weight.requires_grad_(False)  # type: ignore[operator, union-attr]
    for name, parameter in network.named_parameters():
        layer = layer_number(name)
        if layers and name.startswith("encoder.") and (layer is None or layer < layers):
            parameter.requires_grad_(False)


def layer_number(name: str) -> int | None:
    """Return the number of the layer that a parameter's name tells, None for one outside the layers."""
    numbers = [int(part) for part in name.split(".") if part.isdigit()]
    return numbers[0] if numbers else None
