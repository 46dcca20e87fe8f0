"""int8 on real weights and real text: the encoder all-MiniLM-L6-v2 as a DistilBERT, on STS-B."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest

from pocketbert.checkpoint.convert import convert_bert_to_distilbert
from pocketbert.plan import ReferenceRunner, plan_checkpoint
from pocketbert.plan.int8.folder import load_quantized
from pocketbert.quantization import quantize

BUILT = importlib.util.find_spec("pocketbert._native") is not None


@pytest.mark.slow
@pytest.mark.skipif(not BUILT, reason="thousands of texts need the native engine")
def test_spearman_of_the_whole_test_split(minilm, shared, tmp_path):
    source = convert_bert_to_distilbert(minilm, tmp_path / "distilbert")
    report = quantize(source, tmp_path / "int8", data=shared / "data" / "stsb" / "test.jsonl", max_loss=0.002)
    score = report.scores[0]
    assert score.name == "Spearman of cosines"
    assert 100 * score.before == pytest.approx(82.03, abs=0.01)
    assert score.fall < 0.001  # what onnxruntime's dynamic int8 loses
    assert report.size_after < 0.27 * report.size_before


@pytest.mark.slow
def test_embeddings_stay_near(minilm, shared, tmp_path):
    """The same, without the engine: embeddings of some pairs, against float32's."""
    from pocketbert import pipeline

    source = convert_bert_to_distilbert(minilm, tmp_path / "distilbert")
    report = quantize(source, tmp_path / "int8")
    assert report.texts == "built-in texts"
    assert report.agreement["hidden_cosine"] > 0.9985
    lines = (shared / "data" / "stsb" / "test.jsonl").read_text("utf-8").splitlines()[::100]
    texts = [json.loads(line)["text"] for line in lines]
    embeddings = []
    for plan in (plan_checkpoint(source), load_quantized(tmp_path / "int8")):
        runner = ReferenceRunner(plan)
        embed = pipeline("feature-extraction", model=runner, tokenizer=source, pooling="mean", normalize=True)
        embeddings.append(np.stack(embed(texts)))
    assert (embeddings[0] * embeddings[1]).sum(axis=1).min() > 0.998
