"""Rules that map old and TensorFlow parameter names to current Hugging Face names."""

from __future__ import annotations

import re

__all__ = ["keras_name", "modern_name", "tf1_name"]

# last part of a TensorFlow variable -> last part of PyTorch's name
_LEAVES = dict.fromkeys(("kernel", "gamma", "embeddings", "weight", "output_weights"), "weight")
_LEAVES |= dict.fromkeys(("beta", "bias", "output_bias"), "bias")
_OLD_NORM = re.compile(r"(LayerNorm|layer_norm)\.(gamma|beta)$")
# optimizer state, not of the model
_OPTIMIZER = re.compile(r"(^|/)(adam_[mv]|AdamWeightDecayOptimizer(_\d+)?|global_step)(/|$)")


def modern_name(name: str) -> str:
    """Return a parameter's current name: in old files a layer norm has ``gamma`` and ``beta`` as weight and bias."""
    return _OLD_NORM.sub(lambda m: f"{m[1]}.{'weight' if m[2] == 'gamma' else 'bias'}", name)


def keras_name(stored: str) -> tuple[str, bool] | None:
    """Translate a name that transformers' TensorFlow classes gave.

    Args:
        stored: the variable's name from the layer on, such as ``"distilbert/transformer/layer_._0/ffn/lin1/kernel:0"``;
            between slashes, ``a___b`` stands for ``b`` and ``a_._0`` for item 0 of the list ``a``.

    Returns:
        the name and whether the stored tensor is the transpose, or None if no such class wrote it.
    """
    *scopes, leaf = stored.removesuffix(":0").split("/")
    if leaf not in _LEAVES or not scopes:
        return None
    scopes = [scope.rpartition("___")[2].replace("_._", ".") for scope in scopes]
    return ".".join([*scopes, _LEAVES[leaf]]), leaf == "kernel"


def tf1_name(stored: str, family: str) -> tuple[str, bool] | None:
    """Translate a variable of google-research's ``mobilebert`` or ``bert``.

    Args:
        stored: such as ``"bert/encoder/layer_0/ffn_layer_1/output/FakeLayerNorm/gamma"``.
        family: the name of the encoder today, ``"mobilebert"`` or ``"bert"``.

    Returns:
        the name and whether the stored tensor is the transpose, or None for an optimizer's variable.
    """
    if _OPTIMIZER.search(stored):
        return None
    *scopes, leaf = stored.split("/")
    if leaf == "extra_output_weights":
        return ".".join([*scopes, "dense.weight"]), True
    if leaf.endswith("_embeddings"):
        scopes, leaf = [*scopes, leaf], "weight"
    if not scopes:
        scopes = ["classifier"]
    elif scopes == ["cls", "squad"]:
        scopes = ["qa_outputs"]
    elif scopes[0] == "bert":
        scopes = [family, *(_tf1_scope(scope) for scope in scopes[1:])]
    return ".".join([*scopes, _LEAVES.get(leaf, leaf)]), leaf == "kernel"


def _tf1_scope(scope: str) -> str:
    if scope == "FakeLayerNorm":  # what an affine map without statistics is called there
        return "LayerNorm"
    return re.sub(r"^(?:ffn_)?layer_(\d+)$", lambda m: f"{'ffn' if m[0][0] == 'f' else 'layer'}.{m[1]}", scope)
