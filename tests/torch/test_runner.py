"""The torch runner: a row in a batch gives what it gives alone, and what transformers gives without padding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers

from helpers.oracle import CLASSES, HEADS
from helpers.small import VOCAB
from pocketbert.architecture.heads import HEADS as RECORDS
from pocketbert.errors import InputError
from pocketbert.runtime.batching import Row, pack
from pocketbert.torch.runner import TorchRunner, load, wrap

SUFFIXES = {head.suffix: name for name, head in RECORDS.items()}
CASES = [(family, head) for family, head in CLASSES if head != "ForPreTraining"]


def rows(pairs: bool) -> list[Row]:
    generator = np.random.default_rng(3)
    found = []
    for length in (9, 2, 17, 30, 8, 17):
        ids = generator.integers(5, len(VOCAB), length).tolist()
        found.append(Row(ids, [0] * (length // 2) + [1] * (length - length // 2) if pairs else None))
    return found


@pytest.mark.parametrize(("family", "head"), CASES)
def test_a_row_does_not_notice_its_batch(family, head, made):
    folder = made(family, head, id2label={0: "a", 1: "b", 2: "c"}) if "Classif" in head else made(family, head)
    runner = load(folder, SUFFIXES[head])
    theirs = getattr(transformers, f"{family}{head}").from_pretrained(folder)
    given = rows(pairs=family != "DistilBert")
    together = runner(pack(given))
    for row, output in zip(given, together, strict=True):
        (alone,) = runner(pack([row]))
        np.testing.assert_allclose(output, alone, atol=1e-5)
        inputs = {"input_ids": torch.tensor([row.input_ids])}
        if row.token_type_ids is not None:
            inputs["token_type_ids"] = torch.tensor([row.token_type_ids])
        if head == "ForMultipleChoice":
            inputs = {name: value[:, None] for name, value in inputs.items()}
        with torch.no_grad():
            expected = theirs(**inputs)
        if head == "ForQuestionAnswering":
            expected = torch.stack([expected.start_logits, expected.end_logits], -1)[0]
        else:
            expected = expected[0][0]
        assert output.dtype == np.float32
        np.testing.assert_allclose(output, expected.numpy(), atol=1e-5)


@pytest.mark.parametrize("family", HEADS)
def test_words_are_computed_only_where_they_are_wanted(family, made):
    runner = load(made(family, "ForMaskedLM"), "masked_lm")
    given = rows(pairs=False)
    whole = runner(pack(given))
    some = runner(pack([Row(row.input_ids, positions=[1, 0]) for row in given]))
    for everything, wanted in zip(whole, some, strict=True):
        assert wanted.shape == (2, len(VOCAB))
        np.testing.assert_allclose(wanted, everything[[1, 0]], atol=1e-5)


@pytest.mark.parametrize("head", ["masked_lm", "next_sentence"])
@pytest.mark.parametrize("family", ["Bert", "MobileBert"])
def test_a_pretraining_checkpoint_has_both_heads(family, head, made):
    folder = made(family, "ForPreTraining")
    model = getattr(transformers, f"{family}ForPreTraining").from_pretrained(folder)
    ids = [2, 9, 17, 3]
    with torch.no_grad():
        expected = model(torch.tensor([ids]))
    expected = expected.prediction_logits[0] if head == "masked_lm" else expected.seq_relationship_logits[0]
    import pocketbert

    loaded = getattr(pocketbert, f"{family}ForPreTraining").from_pretrained(folder)
    for runner in (load(folder, head), wrap(loaded, head)):
        np.testing.assert_allclose(runner(pack([Row(ids)]))[0], expected.numpy(), atol=1e-5)


def test_only_models_of_this_library_are_wrapped(made):
    with pytest.raises(InputError, match="not Linear"):
        wrap(torch.nn.Linear(2, 2), "none")
    runner = load(made("Bert", "ForQuestionAnswering"), "question_answering")
    with pytest.raises(InputError, match="needs a masked_lm head, and BertForQuestionAnswering has none"):
        wrap(runner.model, "masked_lm")
    assert wrap(runner.model, "none").head == "none"
    assert not TorchRunner(runner.model.train()).model.training


def test_threads_hold_for_a_call(made):
    before = torch.get_num_threads()
    runner = load(made("DistilBert", "Model"), "none", threads=before + 1)
    seen = []
    runner.model.register_forward_pre_hook(lambda *_: seen.append(torch.get_num_threads()))
    runner(pack([Row([2, 9, 3])]))
    assert seen == [before + 1]
    assert torch.get_num_threads() == before
