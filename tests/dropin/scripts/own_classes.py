"""Classes of one's own on top of an encoder: loaded from what others saved, saved, loaded again, resized."""

import warnings

import torch
from torch import nn
from transformers import (
    AutoModel,
    BertModel,
    BertPreTrainedModel,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    DistilBertModel,
    DistilBertPreTrainedModel,
    MobileBertModel,
    MobileBertPreTrainedModel,
)

ids = torch.tensor([[5, 17, 30, 4, 9], [8, 3, 22, 0, 0]])
results = {}


class Pair(DistilBertPreTrainedModel):
    """Old style: init_weights, own loss, own arguments, a bare parameter and a buffer."""

    def __init__(self, config, hidden=6):
        super().__init__(config)
        self.num_labels = config.num_labels
        self.distilbert = DistilBertModel(config)
        self.middle = nn.Sequential(nn.Linear(config.dim, hidden), nn.ReLU())
        self.classifier = nn.Linear(hidden, config.num_labels)
        self.temperature = nn.Parameter(torch.full((1,), 2.0))
        self.norm = nn.BatchNorm1d(hidden)
        self.init_weights()

    def forward(self, input_ids, attention_mask=None):
        states = self.distilbert(input_ids=input_ids, attention_mask=attention_mask)[0]
        return self.classifier(self.norm(self.middle(states[:, 0]))) / self.temperature


class Slots(BertPreTrainedModel):
    """Two heads on one encoder, and weights of its own making."""

    def __init__(self, config, slots=5):
        super().__init__(config)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.slots = nn.Linear(config.hidden_size, slots)
        self.scale = nn.Linear(config.hidden_size, 1)
        self.post_init()

    def _init_weights(self, module):
        super()._init_weights(module)
        if module is getattr(self, "scale", None):
            nn.init.constant_(module.weight, 0.25)

    def forward(self, input_ids):
        states = self.bert(input_ids)[0]
        return self.slots(states), self.scale(states)


class Words(MobileBertPreTrainedModel):
    """A word head of its own that shares the word table."""

    _tied_weights_keys = ("out.weight",)

    def __init__(self, config):
        super().__init__(config)
        self.mobilebert = MobileBertModel(config)
        self.down = nn.Linear(config.hidden_size, config.embedding_size)
        self.out = nn.Linear(config.embedding_size, config.vocab_size)
        self.post_init()

    def get_output_embeddings(self):
        return self.out

    def set_output_embeddings(self, new):
        self.out = new

    def forward(self, input_ids):
        return self.out(self.down(self.mobilebert(input_ids)[0]))


class Deeper(DistilBertForSequenceClassification):
    """A public class with another head."""

    def __init__(self, config):
        super().__init__(config)
        self.classifier = nn.Sequential(nn.Linear(config.dim, 7), nn.Tanh(), nn.Linear(7, config.num_labels))
        self.extra = nn.Linear(3, 3)
        self.post_init()


def same(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def loaded(kind, folder, *arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return kind.from_pretrained(folder, *arguments, output_loading_info=True, **options)


cases = [
    (Pair, checkpoint("DistilBert", "Model"), {"hidden": 4, "num_labels": 3}),
    (Pair, checkpoint("DistilBert", "ForMaskedLM"), {}),
    (Slots, checkpoint("Bert", "ForMaskedLM"), {"slots": 9}),
    (Words, checkpoint("MobileBert", "Model"), {}),
    (Deeper, checkpoint("DistilBert", "ForSequenceClassification"), {}),
]
for number, (kind, folder, options) in enumerate(cases):
    model, info = loaded(kind, folder, **options)
    model.save_pretrained(f"{out}/{number}")
    again, after = loaded(kind, f"{out}/{number}", **{k: v for k, v in options.items() if k != "num_labels"})
    with torch.no_grad():
        answer = model(ids)
    results[number] = {
        "missing": sorted(info["missing_keys"]),
        "unexpected": sorted(info["unexpected_keys"]),
        "missing after": sorted(after["missing_keys"]),
        "unexpected after": sorted(after["unexpected_keys"]),
        "same": same(model, again),
        "shapes": tuple(answer.shape if isinstance(answer, torch.Tensor) else answer[0].shape),
        "training": model.training,
        "encoder": model.base_model.get_input_embeddings().weight.detach(),
        "architectures": model.config.architectures,
        "name": type(model).__name__,
    }

model, _ = loaded(Slots, checkpoint("Bert", "ForMaskedLM"))
results["own weights"] = (model.scale.weight.detach(), model.scale.bias.detach())
model, _ = loaded(Words, checkpoint("MobileBert", "Model"))
results["tied"] = model.out.weight is model.get_input_embeddings().weight
table = model.resize_token_embeddings(150)
results["resized"] = (
    table.num_embeddings,
    model.out.weight is table.weight,
    model.out.out_features,
    model.config.vocab_size,
)
results["after"] = tuple(model(ids).shape)

# the encoder of such a checkpoint, by itself
encoder, info = loaded(AutoModel, f"{out}/0")
results["encoder"] = (
    type(encoder).__name__,
    sorted(info["missing_keys"]),
    sorted(info["unexpected_keys"]),
    encoder(ids)[0],
)
fresh = Pair(DistilBertConfig(vocab_size=50, dim=8, n_heads=2, n_layers=1, hidden_dim=16))
results["fresh"] = (fresh.classifier.bias.detach(), fresh.temperature.detach(), fresh.name_or_path)
