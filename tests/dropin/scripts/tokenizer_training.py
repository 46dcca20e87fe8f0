"""Tokenizers of the tokenizers library, wrapped, trained anew, and of a subclass with its own way to split."""

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import (
    AutoTokenizer,
    BertTokenizer,
    BertTokenizerFast,
    DistilBertTokenizerFast,
    PreTrainedTokenizerFast,
)

corpus = [["the cat sat on the mat", "the dog, unaffable, sat"], ["Catalogs and doglegs are not cats or dogs!"]]
special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
results = {}

words = [*special, *"the cat sat on mat dog ##s , a".split()]  # noqa: SIM905
library = Tokenizer(models.WordPiece({word: id_ for id_, word in enumerate(words)}, unk_token="[UNK]"))
library.normalizer = normalizers.BertNormalizer(lowercase=True)
library.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
library.post_processor = processors.TemplateProcessing(
    single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
)


def seen(tokenizer):
    return {
        "vocab": dict(sorted(tokenizer.get_vocab().items())),
        "map": tokenizer.special_tokens_map,
        "calls": [tokenizer("the dogs <x>", "cats"), tokenizer(["a cat"], max_length=4, truncation=True)],
        "type": type(tokenizer).__name__,
        "more": [len(tokenizer), tokenizer.all_special_ids, tokenizer.padding_side, tokenizer.model_max_length],
        "text": tokenizer.decode(tokenizer("the cats")["input_ids"], skip_special_tokens=True),
    }


def learned(tokenizer):
    """What does not depend on the order in which the trainer finds pieces that are equally frequent."""
    ids = tokenizer("the cats of [MASK]", "dogs")["input_ids"]
    return {
        "letters": sorted(token for token in tokenizer.get_vocab() if len(token.removeprefix("##")) == 1),
        "size": [len(tokenizer), tokenizer.vocab_size, tokenizer.model_max_length],
        "special": tokenizer.convert_tokens_to_ids(tokenizer.all_special_tokens),
        "map": tokenizer.special_tokens_map,
        "text": [tokenizer.decode(ids), ids[0], ids[-1]],
        "type": type(tokenizer).__name__,
    }


roles = {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
plain = PreTrainedTokenizerFast(tokenizer_object=library)
results["plain"] = seen(plain)
library.save(out + "/tokenizer.json")
results["from a file"] = seen(PreTrainedTokenizerFast(tokenizer_file=out + "/tokenizer.json", **roles))
wrapped = PreTrainedTokenizerFast(tokenizer_object=library, model_max_length=32, padding_side="left", **roles)
results["padded"] = wrapped(["the cat", "cat"], padding=True)
wrapped.save_pretrained(out + "/wrapped")
results["auto"] = seen(AutoTokenizer.from_pretrained(out + "/wrapped"))
results["loaded"] = seen(PreTrainedTokenizerFast.from_pretrained(out + "/wrapped"))
results["bert"] = seen(BertTokenizerFast(tokenizer_object=library))
results["distilbert"] = seen(DistilBertTokenizerFast(tokenizer_file=out + "/tokenizer.json", do_lower_case=False))

made = BertTokenizerFast(tokenizer_object=library, model_max_length=16)
for name, options in {
    "new": {},
    "more": {"new_special_tokens": ["<x>"], "min_frequency": 1},
    "renamed": {"special_tokens_map": {"[CLS]": "<cls>", "[UNK]": "<unk>"}},
}.items():
    again = made.train_new_from_iterator(iter(corpus), 70, show_progress=False, **options)
    results["trained", name] = learned(again)
    again.save_pretrained(out + "/" + name)
    results["trained and loaded", name] = learned(type(made).from_pretrained(out + "/" + name))
results["not changed"] = seen(made)
results["trained, plain"] = learned(wrapped.train_new_from_iterator(corpus, 50, show_progress=False))


class ByLetter(BertTokenizer):
    """A tokenizer whose tokens are letters."""

    def _tokenize(self, text, **options):
        return list(text.replace(" ", ""))


results["subclass"] = []
with open(out + "/vocab.txt", "w", encoding="utf-8") as file:
    file.write("\n".join([*special, *"abcdet"]) + "\n")
letters = ByLetter(out + "/vocab.txt")
letters.save_pretrained(out + "/letters")
for tokenizer in (letters, ByLetter.from_pretrained(out + "/letters")):
    results["subclass"] += [
        dict(tokenizer("a[MASK] bz", "d")),
        tokenizer.tokenize("cat [SEP]"),
        tokenizer.decode([5, 6]),
    ]
