"""Configurations: every field of any model, differences, files, labels, fields of one's own."""

import json
from pathlib import Path

from transformers import AutoConfig, BertConfig, DistilBertConfig, MobileBertConfig, PretrainedConfig

results = {}
for cls in (DistilBertConfig, MobileBertConfig, BertConfig):
    config = cls(num_labels=3, pruned_heads={1: [0]}, dtype="float16", my_field=[1, 2], top_k=7)
    config.save_pretrained(out + cls.__name__)
    loaded, unused = cls.from_pretrained(out + cls.__name__, return_unused_kwargs=True, num_labels=4, foo=1)
    config.update({"initializer_range": 0.1, "another": "x"})
    config.to_json_file(out + cls.__name__ + "/whole.json", use_diff=False)
    for name, fields in {
        "dict": config.to_dict(),
        "diff": config.to_diff_dict(),
        "default": cls().to_dict(),
        "default diff": cls().to_diff_dict(),
        "file": json.loads(Path(out + cls.__name__, "config.json").read_text()),
        "whole file": json.loads(Path(out + cls.__name__, "whole.json").read_text()),
        "read": cls.get_config_dict(out + cls.__name__, revision="main")[0],
    }.items():
        fields.pop("transformers_version", None)
        fields.pop("_name_or_path", None)
        fields.pop("_commit_hash", None)
        results[cls.__name__, name] = dict(sorted(fields.items()))
    results[cls.__name__, "loaded"] = [loaded.id2label, loaded.num_labels, unused, str(loaded.dtype)]
    names = ["is_decoder", "is_encoder_decoder", "torchscript", "max_length", "eos_token_id", "chunk_size_feed_forward"]
    results[cls.__name__, "constants"] = [getattr(config, name) for name in names]
    results[cls.__name__, "hidden"] = [hasattr(config, name) for name in ("max_length", "my_field", "nothing")]
    results[cls.__name__, "text"] = [config.get_text_config() is config, config.sub_configs, config.use_return_dict]
    results[cls.__name__, "type"] = type(AutoConfig.from_pretrained(out + cls.__name__)).__name__
results["base"] = PretrainedConfig(num_labels=3).id2label
results["alias"] = DistilBertConfig(hidden_size=12, num_attention_heads=3).dim
results["tuple"] = cls(torchscript=True).use_return_dict
