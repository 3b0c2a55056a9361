"""The network as an ONNX graph: exported after training for fast labelling, and checked against the network itself.

A graph holds no weights of its own where the bundle has them already: it points into ``model.safetensors``.
"""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.encoding import Encoded
from models.network import Lexicon, StanceNetwork

OUTPUTS = ("stance", "concerns", "holder_type", "span")

_FUSED = "treaty_stance_fused"  # the name under which transformers knows our attention
_LONGEST = 4096
_SMALL = 1024  # bytes; smaller constants stay in the graph
_NARROW = 8  # columns; a narrower matrix gains nothing from 8 bits
_EVEN = 0.85  # least decisions to compute again, of 0.4 to 1, on the shipped bundle's development part
_LEAST = 1e-5


class GraphError(Exception):
    """The network cannot be exported: an operation that ONNX lacks. It can still label, on torch."""


class _Exported(nn.Module):
    """The network's forward pass for statements of the same length, so that nothing is padded.

    Sums over a statement's tokens and the label heads are products of one statement at a time: so a statement's scores are
    the same numbers, bit for bit, whatever is in the batch. ``network`` says the same with sums over the batch.
    """

    def __init__(self, network: StanceNetwork) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("logs", torch.arange(_LONGEST + 1).clamp(min=1).float().log())

    def forward(self, ids: Tensor, own: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        net = self.network
        hidden: Tensor = net.encoder(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        weight = own.unsqueeze(1).to(hidden.dtype)
        pooled = (weight @ hidden) / weight.sum(2, keepdim=True).clamp(min=1)
        first = torch.arange(ids.shape[1]).unsqueeze(0) == 0
        span = net.span(hidden).transpose(1, 2).masked_fill(~(own | first).unsqueeze(1), -1e4)
        named = span.softmax(-1).mean(1, keepdim=True) @ hidden
        parts = [
            _head(net.stance, pooled),
            _head(net.concerns, pooled),
            _head(net.holder_type, torch.cat([pooled, named], dim=-1)),
        ]
        if net.lexicon is not None:
            widths = [p.shape[1] for p in parts]
            other = torch.split(self._words(net.lexicon, ids, own), widths, dim=1)
            parts = [w[0] * a + w[1] * b for w, a, b in zip(net.lexicon.blend, parts, other, strict=True)]
        return parts[0], parts[1], parts[2], span.transpose(1, 2)

    def _words(self, lexicon: Lexicon, ids: Tensor, own: Tensor) -> Tensor:
        """As :meth:`Lexicon.forward`, with logarithms from a table."""
        same = (ids.unsqueeze(2) == ids.unsqueeze(1)) & own.unsqueeze(1)
        count = same.to(torch.int64).sum(-1).clamp(min=1)
        logs: Tensor = self.logs  # type: ignore[assignment]  # a buffer
        value = (1 + logs[count]) * lexicon.idf[ids] * own
        share = value / count.to(value.dtype)
        length = (value.unsqueeze(1) @ share.unsqueeze(2)).sqrt().clamp(min=1e-12)
        scores: Tensor = (share.unsqueeze(1) / length) @ functional.embedding(ids, lexicon.weight)
        return scores.squeeze(1) + lexicon.bias


def _head(head: nn.Linear, x: Tensor) -> Tensor:
    return (head.weight @ x.transpose(1, 2)).squeeze(2) + head.bias


def export(network: StanceNetwork, weights: Path, target: Path, *, fuse: bool = True) -> dict[str, object]:
    """Write the network as a graph whose batch and length are free; return how it was made.

    Args:
        network: Is put into evaluation mode.
        weights: The network's ``model.safetensors``, in the folder of ``target``.
        target: The file to write.
        fuse: Let attention be one operation of ONNX Runtime's, where the encoder lets its attention be replaced.

    Raises:
        GraphError: when the network has an operation that cannot be exported.
    """
    import onnx

    network.eval()
    for fused in (True, False) if fuse else (False,):
        try:
            with _fused(network) if fused else nullcontext():
                model = _program(network)
            bypass_reshapes(model.graph)
            break
        except Exception as error:  # torch's exporter raises errors of a dozen kinds
            reason = " ".join(str(error).split())[:200] or type(error).__name__
    else:
        raise GraphError(reason)
    _drop_unused(model.graph)
    kept = share_weights(model, weights)
    onnx.save(model, target)
    together = any(node.op_type == "MultiHeadAttention" for node in model.graph.node)
    return {
        "opset": {(entry.domain or "ai.onnx"): entry.version for entry in model.opset_import},
        "attention": "fused" if together else "as exported",
        "own_bytes": kept,
    }


def quantise(graph: Path, weights: Path, target: Path, encoded: Sequence[Encoded]) -> None:
    """Write the graph with the encoder's matrix products in 8-bit integers.

    Weights are quantised once, by column; what they are multiplied with is quantised at run time from its own range
    (dynamic quantisation), which is why such a graph is given one statement at a time. A few columns of it are many times
    as wide as the others and would take the range for themselves, so columns are made more even first, and the rows of the
    weights the other way round (SmoothQuant, Xiao et al. 2023, equation 4).

    Args:
        graph: The graph in 32 bits.
        weights: The file that it points to.
        target: The file to write.
        encoded: Passages from which the width of each column is taken.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    model = onnx.load(graph)  # with the weights that it points to
    _fold_transposes(model)
    constants = {t.name: t for t in model.graph.initializer}
    products = [n for n in model.graph.node if n.op_type == "MatMul"]
    ours = [n for n in products if n.input[1] in constants and _is_matrix(constants[n.input[1]])]
    whole = target.with_suffix(".whole")
    try:
        _even_out(model, ours, _widths(model, ours, encoded, whole))
        onnx.save(model, whole)
        with _quiet():
            quantize_dynamic(
                whole,
                target,
                weight_type=QuantType.QInt8,
                per_channel=True,
                op_types_to_quantize=["MatMul"],
                nodes_to_exclude=[n.name for n in products if n not in ours],
                extra_options={"DefaultTensorType": onnx.TensorProto.FLOAT},
            )
    finally:
        whole.unlink(missing_ok=True)
    model = onnx.load(target)
    share_weights(model, weights)
    onnx.save(model, target)


def _is_matrix(tensor: Any) -> bool:
    return len(tensor.dims) == 2 and min(tensor.dims) >= _NARROW


def _widths(model: Any, products: Sequence[Any], encoded: Sequence[Encoded], scratch: Path) -> dict[str, Any]:
    """Return the greatest absolute number (columns,) of each column of what the products are given."""
    import onnx
    import onnxruntime
    from onnx import helper

    names = list(dict.fromkeys(n.input[0] for n in products))
    if not names:
        return {}
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    probe.graph.output.extend(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in names)
    onnx.save(probe, scratch)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(scratch), options, providers=["CPUExecutionProvider"])
    widths: dict[str, Any] = dict.fromkeys(names, 0.0)
    for e in encoded:
        found = session.run(names, {"ids": np.array([e.ids], dtype=np.int64), "own": np.array([e.own])})
        for name, values in zip(names, found, strict=True):
            widths[name] = np.maximum(widths[name], np.abs(values).reshape(-1, values.shape[-1]).max(0))
    return widths


def _even_out(model: Any, products: Sequence[Any], widths: Mapping[str, Any]) -> None:
    """Divide each column by its width to the power of ``_EVEN`` and multiply the weights' rows by the same."""
    from onnx import helper, numpy_helper

    constants = {t.name: t for t in model.graph.initializer}
    for number, (name, width) in enumerate(widths.items()):
        users = [n for n in products if n.input[0] == name]
        matrices = [numpy_helper.to_array(constants[n.input[1]]) for n in users]
        heights = np.max([np.abs(w).max(1) for w in matrices], axis=0)
        scale = np.maximum(width, _LEAST) ** _EVEN / np.maximum(heights, _LEAST) ** (1 - _EVEN)
        scale = scale / np.exp(np.log(scale).mean())
        inverse, even = f"even.{number}", f"{name}.even"
        model.graph.initializer.append(numpy_helper.from_array((1 / scale).astype(np.float32), inverse))
        place = min(i for i, node in enumerate(model.graph.node) if node in users)
        model.graph.node.insert(place, helper.make_node("Mul", [name, inverse], [even], name=f"even_out.{number}"))
        for node, matrix in zip(users, matrices, strict=True):
            turned = numpy_helper.from_array((matrix * scale[:, None]).astype(np.float32), f"{node.input[1]}.{number}")
            model.graph.initializer.append(turned)
            node.input[0], node.input[1] = even, turned.name
    used = {i for node in model.graph.node for i in node.input}
    for tensor in [t for t in model.graph.initializer if t.name not in used]:
        model.graph.initializer.remove(tensor)


def bypass_reshapes(graph: Any) -> None:
    """Take away reshapes between a projection and the fused attention: heads apart and together again."""
    source = {o: n for n in graph.node for o in n.output}
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    for node in graph.node:
        if node.op_type != "MultiHeadAttention":
            continue
        for i in range(3):
            name = node.input[i]
            while name in source and source[name].op_type == "Reshape":
                name = source[name].input[0]
            node.input[i] = name
        last = node.output[0]
        while len(readers.get(last, ())) == 1 and readers[last][0].op_type == "Reshape":
            last = readers[last][0].output[0]
        for reader in readers.get(last, ()):
            for i, name in enumerate(reader.input):
                if name == last:
                    reader.input[i] = node.output[0]


def share_weights(model: Any, weights: Path) -> int:
    """Let the graph's constants point into a safetensors file where that has them, as they are or transposed.

    Returns the bytes of the constants that stay in the graph.
    """
    import onnx
    from onnx import helper, numpy_helper

    there = _tensors(weights)
    kept, added = 0, []
    for tensor in list(model.graph.initializer):
        array = numpy_helper.to_array(tensor)
        if array.nbytes < _SMALL or array.dtype != np.float32:
            kept += array.nbytes
            continue
        turned = array.ndim == 2 and _key(array) not in there
        place = there.get(_key(array.T if turned else array))
        if place is None:
            kept += array.nbytes
            continue
        name = f"{tensor.name}.turned" if turned else tensor.name
        shape = array.T.shape if turned else array.shape
        outside = onnx.TensorProto(name=name, data_type=onnx.TensorProto.FLOAT, dims=shape)
        outside.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", weights.name), ("offset", place), ("length", array.nbytes)):
            outside.external_data.add(key=key, value=str(value))
        if turned:
            added.append(helper.make_node("Transpose", [name], [tensor.name], name=f"turn.{tensor.name}", perm=[1, 0]))
        model.graph.initializer.remove(tensor)
        model.graph.initializer.append(outside)
    nodes = [*added, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return kept


def _program(network: StanceNetwork) -> Any:
    example = torch.full((3, 7), 5, dtype=torch.int64), torch.ones((3, 7), dtype=torch.bool)
    batch, length = torch.export.Dim("batch", min=1, max=_LONGEST), torch.export.Dim("length", min=2, max=_longest(network))
    free = {0: batch, 1: length}
    with _quiet():
        program = torch.onnx.export(
            _Exported(network).eval(),
            example,
            input_names=["ids", "own"],
            output_names=list(OUTPUTS),
            dynamic_shapes=[free, free],
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # noqa: S101  # with dynamo it always returns one
    model = program.model_proto
    del model.metadata_props[:]
    for node in model.graph.node:  # traces of where in the source an operation stands, with paths of this machine
        del node.metadata_props[:]
        node.doc_string = ""
    return model


def _longest(network: StanceNetwork) -> int:
    return int(getattr(network.encoder.config, "max_position_embeddings", 512))


@contextmanager
def _fused(network: StanceNetwork) -> Iterator[None]:
    """Let the encoder compute attention by ONNX Runtime's own operation, without a mask: nothing is padded."""
    from transformers import AttentionInterface
    from transformers.masking_utils import AttentionMaskInterface

    def attention(
        module: nn.Module, query: Tensor, key: Tensor, value: Tensor, mask: object, scaling: float | None = None, **rest: Any
    ) -> tuple[Tensor, None]:
        if mask is not None or key.shape[1] != query.shape[1] or rest.get("sliding_window") is not None:
            raise GraphError("attention that is not all to all")
        batch, heads, length, width = query.shape
        flat = (batch, length, heads * width)
        inputs = [x.transpose(1, 2).reshape(flat) for x in (query, key, value)]
        scale = float(width**-0.5 if scaling is None else scaling)
        settings: dict[str, Any] = {"num_heads": heads, "scale": scale}
        out = torch.onnx.ops.symbolic(
            "com.microsoft::MultiHeadAttention", inputs, settings, dtype=query.dtype, shape=flat, version=1
        )
        return out.reshape(batch, length, heads, width), None

    config: Any = network.encoder.config
    before = config._attn_implementation
    AttentionInterface.register(_FUSED, attention)
    AttentionMaskInterface.register(_FUSED, lambda *_, **__: None)
    config._attn_implementation = _FUSED
    try:
        if before is None:
            raise GraphError("this encoder's attention cannot be replaced")
        yield
    finally:
        config._attn_implementation = before


def _drop_unused(graph: Any) -> None:
    used = {output.name for output in graph.output}
    kept = []
    for node in reversed(graph.node):
        if any(name in used for name in node.output):
            kept.append(node)
            used.update(node.input)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    for tensor in [t for t in graph.initializer if t.name not in used]:
        graph.initializer.remove(tensor)
    del graph.value_info[:]


def _fold_transposes(model: Any) -> None:
    """Turn the constants round that :func:`share_weights` left to be turned at run time."""
    from onnx import numpy_helper

    constants = {t.name: t for t in model.graph.initializer}
    for node in [n for n in model.graph.node if n.op_type == "Transpose" and n.input[0] in constants]:
        tensor = constants[node.input[0]]
        turned = np.ascontiguousarray(numpy_helper.to_array(tensor).T)
        model.graph.initializer.remove(tensor)
        model.graph.initializer.append(numpy_helper.from_array(turned, node.output[0]))
        model.graph.node.remove(node)


def _tensors(path: Path) -> dict[str, int]:
    """Return where in a safetensors file (offset in bytes) each tensor of 32-bit floats lies, by a hash of its content."""
    from safetensors import safe_open

    with path.open("rb") as stream:
        size = int.from_bytes(stream.read(8), "little")
        header = msgspec.json.decode(stream.read(size))
    found: dict[str, int] = {}
    with safe_open(path, "np") as tensors:
        for name, entry in sorted(header.items()):
            if name != "__metadata__" and entry["dtype"] == "F32":
                found.setdefault(_key(tensors.get_tensor(name)), 8 + size + int(entry["data_offsets"][0]))
    return found


def _key(array: np.ndarray[Any, Any]) -> str:
    return f"{array.shape} {hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's advice to its own developers from the user."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir", "onnxruntime", "root", "")]
    before = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
