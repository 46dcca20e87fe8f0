"""Parts of a model called by themselves, hooks on all of them, dropout and tables as modules."""

import torch
from transformers import BertModel, DistilBertForMaskedLM, DistilBertModel, MobileBertForMaskedLM, MobileBertModel

torch.manual_seed(0)
ids = torch.tensor([[5, 17, 30, 4, 9], [8, 3, 22, 0, 0]])
mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
types = torch.tensor([[0, 0, 1, 1, 1], [0, 1, 1, 0, 0]])
results = {}


def hooked(model, *arguments, **options):
    """Names of the modules whose forward hooks fire."""
    fired, handles = set(), []
    for name, module in model.named_modules():
        if not isinstance(module, torch.nn.ModuleList) and name:
            handles.append(module.register_forward_hook(lambda *_, name=name: fired.add(name)))
    with torch.no_grad():
        output = model(*arguments, **options)
    for handle in handles:
        handle.remove()
    # which module computes a bare activation differs, and a dropout of zero may be left out
    names = sorted(n for n in fired if "act" not in n.rsplit(".", 1)[-1] and not n.endswith("dropout"))
    return names, output[0]


with torch.no_grad():
    model = DistilBertModel.from_pretrained(checkpoint("DistilBert", "Model"), attn_implementation="eager").eval()
    x = model.embeddings(ids)
    heads = [None] * model.config.n_layers
    layer = model.transformer.layer[0]
    results["distilbert"] = {
        "embeddings": x,
        "from vectors": model.embeddings(None, model.embeddings.word_embeddings(ids)),
        "positions": model.embeddings.position_ids[:, :3],
        "stack": model.transformer(x, mask, heads, output_hidden_states=True, return_dict=True),
        "stack as tuple": model.transformer(x, attn_mask=mask, head_mask=heads),
        "layer": layer(x, mask),
        "layer with weights": layer(x, mask, output_attentions=True),
        "attention": layer.attention(x, x, x, mask),
        "ffn": layer.ffn(x),
        "sizes": (layer.attention.n_heads, layer.attention.dim),
        "head masks": model.get_head_mask(torch.ones(4), 3),
        "extended": model.get_extended_attention_mask(mask, ids.shape),
    }
    for family, kind in (("Bert", BertModel), ("MobileBert", MobileBertModel)):
        model = kind.from_pretrained(checkpoint(family, "Model"), attn_implementation="eager").eval()
        x = model.embeddings(ids, token_type_ids=types)
        extended = model.get_extended_attention_mask(mask, ids.shape)
        heads = [None] * model.config.num_hidden_layers
        layer = model.encoder.layer[0]
        results[family] = {
            "embeddings": x,
            "from vectors": model.embeddings(inputs_embeds=model.embeddings.word_embeddings(ids)),
            "stack": model.encoder(x, extended, head_mask=heads)[0],
            "states": model.encoder(x, extended, head_mask=heads, output_hidden_states=True)[1],
            "layer": layer(x, extended)[0],
            "weights": layer(x, extended, output_attentions=True)[1],
            "pooler": model.pooler(x),
            "heads": layer.attention.self.num_attention_heads,
        }
        results[family]["hooks"] = hooked(model, ids, mask, types)
    model = MobileBertForMaskedLM.from_pretrained(checkpoint("MobileBert", "ForMaskedLM")).eval()
    hidden = model.mobilebert(ids)[0]
    results["words"] = (model.cls(hidden), model.cls.predictions.transform(hidden))

model = DistilBertForMaskedLM.from_pretrained(
    checkpoint("DistilBert", "ForMaskedLM"), attn_implementation="eager"
).eval()
results["hooks"] = hooked(model, ids, mask)

# Monte-Carlo dropout: only dropout is in training mode, and every call differs
fields = {"dropout": 0.3, "attention_dropout": 0.3}
model = DistilBertModel.from_pretrained(checkpoint("DistilBert", "Model"), attn_implementation="eager", **fields).eval()
attention = model.transformer.layer[0].attention
attention.dropout.train()
with torch.no_grad():
    results["monte carlo"] = bool((model(ids)[0] != model(ids)[0]).any())


# a table that is replaced is the one that is called
class Doubled(torch.nn.Embedding):
    def forward(self, given):
        return 2 * super().forward(given)


table = Doubled(40, 24)
model.eval().embeddings.position_embeddings = table
table.weight = torch.nn.Parameter(torch.ones(40, 24) * 0.5)
with torch.no_grad():
    results["own table"] = model(ids)[0]
