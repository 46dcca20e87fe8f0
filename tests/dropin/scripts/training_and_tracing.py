"""Pickling, copying, TorchScript, recomputed activations, adapters' gradients, pruning, resizing, small questions."""

import copy
import io
import pickle

import torch
from transformers import (
    BertForPreTraining,
    DistilBertConfig,
    DistilBertForMaskedLM,
    DistilBertForSequenceClassification,
    DistilBertModel,
    MobileBertForMaskedLM,
)

ids = torch.tensor([[5, 17, 30, 4, 9], [8, 3, 22, 1, 2]])
folders = {
    DistilBertForSequenceClassification: checkpoint("DistilBert", "ForSequenceClassification"),
    MobileBertForMaskedLM: checkpoint("MobileBert", "ForMaskedLM", hidden_act="gelu"),
    BertForPreTraining: checkpoint("Bert", "ForPreTraining", hidden_act="gelu_new"),
}
results = {}
for kind, folder in folders.items():
    name = kind.__name__
    model = kind.from_pretrained(folder, attn_implementation="eager").eval()
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    copies = (pickle.loads(pickle.dumps(model)), copy.deepcopy(model), torch.load(file, weights_only=False))  # noqa: S301
    results[name, "copies"] = [torch.equal(other(ids)[0], model(ids)[0]) for other in copies]

    scripted = kind.from_pretrained(folder, torchscript=True, attn_implementation="eager").eval()
    results[name, "tuple"] = scripted(ids)
    traced = torch.jit.trace(scripted, (ids,))
    with torch.no_grad():
        quiet = torch.jit.trace(scripted, (ids,))
    loose = torch.jit.trace(model, (ids,), strict=False)
    other = ids.repeat(3, 2)
    results[name, "traced"] = (traced(other)[0], quiet(other)[0], sorted(loose(other)))

    for options in () if kind is MobileBertForMaskedLM else (None, {"use_reentrant": True}, {"use_reentrant": False}):
        trained = copy.deepcopy(model)
        trained.gradient_checkpointing_enable(options) if options else trained.gradient_checkpointing_enable()
        on = trained.is_gradient_checkpointing
        for module in trained.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        trained.train()
        trained.enable_input_require_grads()
        trained(ids)[0].sum().backward()
        gradient = trained.base_model.get_input_embeddings().weight.grad
        trained.disable_input_require_grads()
        trained.gradient_checkpointing_disable()
        results[name, str(options)] = (on, trained.is_gradient_checkpointing, gradient)

    model.prune_heads({-1: [0], 0: [1, 2]})
    results[name, "pruned"] = model(ids)[0]
    results[name, "footprint"] = model.get_memory_footprint(), model.get_memory_footprint(return_buffers=False)
    results[name, "facts"] = (
        model.can_generate(),
        model.framework,
        model.num_parameters(),
        model.name_or_path == folder,
    )
    results[name, "dummy"] = model.dummy_inputs
    results[name, "tokens"] = model.floating_point_ops({"input_ids": ids})
    model.add_model_tags("one")
    model.add_model_tags(["one", "two"])
    results[name, "tags"] = model.model_tags
    model.set_input_embeddings(torch.nn.Embedding(7, 5))
    results[name, "replaced"] = tuple(model.get_input_embeddings().weight.shape)

model = MobileBertForMaskedLM.from_pretrained(folders[MobileBertForMaskedLM])
before = model.get_input_embeddings().weight.detach().clone()
model.resize_token_embeddings(300)
mean = before.mean(0)
results["near the mean"] = bool((model.get_input_embeddings().weight[-10:] - mean).abs().max() < 1e-2)
results["shapes"] = {name: tuple(value.shape) for name, value in model.state_dict().items() if 300 in value.shape}
try:
    model.resize_token_embeddings(-5)
except Exception as error:
    results["refused"] = isinstance(error, (ValueError, RuntimeError))

model = DistilBertForMaskedLM.from_pretrained(checkpoint("DistilBert", "ForMaskedLM"))
model.resize_position_embeddings(100)
results["positions"] = (tuple(model.get_position_embeddings().weight.shape), model.config.max_position_embeddings)

config = DistilBertConfig(vocab_size=40, dim=8, n_heads=2, n_layers=2, hidden_dim=16)
config.gradient_checkpointing = True
model = DistilBertModel(config)
results["in the file"] = model.is_gradient_checkpointing, hasattr(model.config, "gradient_checkpointing")
