"""Tokenizers: constructors, attributes, special and added tokens, files, copies."""

import copy
import json
import pickle
from pathlib import Path

from transformers import (
    AddedToken,
    AutoTokenizer,
    BasicTokenizer,
    BertTokenizer,
    BertTokenizerFast,
    DistilBertTokenizer,
    DistilBertTokenizerFast,
    PreTrainedTokenizer,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
    SpecialTokensMixin,
    WordpieceTokenizer,
)

words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cat", "sat", "un", "##aff", "##able", ".", ","]
Path(out, "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
vocab_file = str(Path(out, "vocab.txt"))
text = "The  cat, <x1> sat <S> newtok unaffable ."
results = {}


def seen(tokenizer):
    return {
        "ids": tokenizer(text)["input_ids"],
        "added": dict(sorted(tokenizer.get_added_vocab().items())),
        "decoder": {id_: str(token) for id_, token in tokenizer.added_tokens_decoder.items()},
        "map": tokenizer.special_tokens_map,
        "all": [tokenizer.all_special_tokens, tokenizer.all_special_ids, tokenizer.additional_special_tokens_ids],
        "size": [len(tokenizer), tokenizer.vocab_size, len(tokenizer.get_vocab()), bool(tokenizer)],
        "sides": [tokenizer.padding_side, tokenizer.truncation_side, tokenizer.model_max_length],
        "lengths": [tokenizer.max_len_single_sentence, tokenizer.max_len_sentences_pair],
        "names": [tokenizer.model_input_names, tokenizer.split_special_tokens, tokenizer.pad_token_type_id],
        "more": [tokenizer.clean_up_tokenization_spaces, tokenizer.is_fast, tokenizer.verbose],
        "text": tokenizer.decode(tokenizer.encode(text)),
        "roles": [tokenizer.bos_token, tokenizer.eos_token_id, tokenizer.mask_token, tokenizer.cls_token_id],
        "repr": repr(tokenizer).replace(tokenizer.name_or_path, "NAME") if tokenizer.name_or_path else repr(tokenizer),
        "chat": tokenizer.chat_template,
    }


for cls in (BertTokenizer, BertTokenizerFast, DistilBertTokenizer, DistilBertTokenizerFast):
    name = cls.__name__
    settings = {
        "do_lower_case": name.startswith("Bert"),
        "bos_token": "<S>",
        "max_len": 64,
        "model_input_names": ["input_ids", "attention_mask", "token_type_ids"],
        "padding_side": "left",
        "truncation_side": "left",
        "additional_special_tokens": ["<x1>", AddedToken("<x2>", lstrip=True)],
        "extra_special_tokens": {"image_token": "<im>"},
        "something": [1, 2],
    }
    tokenizer = cls(vocab_file, **settings)
    results[name, "added"] = [
        tokenizer.add_tokens(["newtok", AddedToken("single", single_word=True)]),
        tokenizer.add_tokens("newtok"),
        tokenizer.add_special_tokens({"eos_token": "</S>"}),
        tokenizer.add_special_tokens({"additional_special_tokens": ["<x3>"]}, replace_additional_special_tokens=False),
        tokenizer.sanitize_special_tokens(),
    ]
    results[name, "made"] = seen(tokenizer)
    results[name, "extra"] = [tokenizer.image_token, tokenizer.image_token_id, tokenizer.extra_special_tokens]
    results[name, "init"] = {key: str(value) for key, value in sorted(tokenizer.init_kwargs.items())}
    results[name, "classes"] = [
        isinstance(tokenizer, PreTrainedTokenizerBase),
        isinstance(tokenizer, PreTrainedTokenizerFast),
        isinstance(tokenizer, PreTrainedTokenizer),
        isinstance(tokenizer, SpecialTokensMixin),
        cls.slow_tokenizer_class and cls.slow_tokenizer_class.__name__,
        cls.vocab_files_names,
        cls.model_input_names,
        list(tokenizer.SPECIAL_TOKENS_ATTRIBUTES),
    ]
    files = tokenizer.save_pretrained(out + name, filename_prefix=None)
    tokenizer.save_pretrained(out + name, filename_prefix="a")
    results[name, "prefix"] = sorted(path.name for path in Path(out + name).glob("a-*"))
    results[name, "files"] = sorted(path.name for path in Path(out + name).iterdir())
    config = json.loads(Path(out + name, "tokenizer_config.json").read_text("utf-8"))
    config.pop("added_tokens_decoder")
    results[name, "config"] = dict(sorted(config.items()))
    results[name, "loaded"] = seen(cls.from_pretrained(out + name))
    again = AutoTokenizer.from_pretrained(
        out + name, use_fast=tokenizer.is_fast, model_max_length=9, use_auth_token=None
    )
    results[name, "auto"] = [type(again).__name__, seen(again)]
    results[name, "copies"] = [seen(copy.deepcopy(tokenizer)), seen(pickle.loads(pickle.dumps(tokenizer)))]  # noqa: S301
    for attribute in ("pad_token", "mask_token", "additional_special_tokens"):
        setattr(tokenizer, attribute, None)
        results[name, "unset", attribute] = getattr(tokenizer, attribute)
    tokenizer.pad_token_id = 1
    tokenizer.additional_special_tokens_ids = [5]
    results[name, "set by id"] = [tokenizer.pad_token, tokenizer.additional_special_tokens]
    results[name, "ids"] = [tokenizer._convert_id_to_token(5), tokenizer.convert_tokens_to_ids(["cat", "nothing"])]

slow = BertTokenizer(vocab_file, never_split=["Cat"])
results["parts"] = [
    slow.basic_tokenizer.tokenize("The Cat\u00e9, \u4e2dsat"),
    slow.wordpiece_tokenizer.tokenize("unaffable unable"),
    dict(slow.ids_to_tokens),
    dict(slow.vocab),
    slow.do_basic_tokenize,
    BasicTokenizer(do_lower_case=False, strip_accents=True).tokenize("H\u00c9llo, don't\u200b!"),
    WordpieceTokenizer(slow.vocab, "[UNK]", max_input_chars_per_word=4).tokenize("cat unaff unaffable"),
    slow._convert_token_to_id("cat"),
    slow._tokenize("the cat sat"),
]
results["errors"] = []
for wrong in ({"encode": 1}, {"padding_side": "up"}):
    try:
        BertTokenizerFast(vocab_file, **wrong)
    except (AttributeError, ValueError) as error:
        results["errors"].append(isinstance(error, AttributeError))
