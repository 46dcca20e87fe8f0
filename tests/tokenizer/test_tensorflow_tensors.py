"""TensorFlow tensors: out of calls as transformers gives them, and into decoding and padding."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import transformers

from pocketbert.errors import InputError, MissingExtra
from pocketbert.tokenizer import BertTokenizer, BertTokenizerFast
from pocketbert.tokenizer.call.arrays import tensor

A, B = "hello world, my dog is cute", "jim henson was a nice puppeteer"


@pytest.fixture
def tf(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("transformers.utils.import_utils._tf_available", True)  # off in the other tests
    return pytest.importorskip("tensorflow")


@pytest.fixture(params=[BertTokenizer, BertTokenizerFast], ids=lambda kind: kind.__name__)
def tokenizer(request: pytest.FixtureRequest, vocab_file: str) -> Any:
    return request.param(vocab_file, model_max_length=512)


@pytest.fixture(scope="module")
def oracle(vocab_file: str) -> Any:
    return transformers.BertTokenizerFast(vocab_file, model_max_length=512)


@pytest.mark.slow  # TensorFlow takes long to start
class TestWithTensorFlow:
    @pytest.mark.parametrize(
        ("args", "options"),
        [
            ((A,), {}),
            (([A, B],), {"padding": True}),
            ((A, B), {"return_special_tokens_mask": True, "return_length": True}),
            (([A, B],), {"padding": True, "return_offsets_mapping": True}),
            (
                ([A, B],),
                {"padding": True, "truncation": True, "max_length": 6, "stride": 1, "return_overflowing_tokens": True},
            ),
        ],
    )
    def test_calls(self, tf: Any, tokenizer: Any, oracle: Any, args: Any, options: dict[str, Any]) -> None:
        ours = tokenizer(*args, **options, return_tensors="tf")
        theirs = oracle(*args, **options, return_tensors="tf")
        assert ours.keys() == theirs.keys()
        for name, value in theirs.items():
            assert tf.is_tensor(ours[name])
            assert (ours[name].dtype, ours[name].shape) == (value.dtype, value.shape) == (tf.int32, value.shape)
            np.testing.assert_array_equal(ours[name].numpy(), value.numpy())

    def test_encode_and_back(self, tf: Any, tokenizer: Any, oracle: Any) -> None:
        ids = tokenizer.encode(A, return_tensors="tf")
        assert (ids.dtype, ids.shape[0]) == (tf.int32, 1)
        assert tokenizer.decode(ids[0]) == oracle.decode(ids[0])
        assert tokenizer.batch_decode(ids, skip_special_tokens=True) == oracle.batch_decode(
            ids, skip_special_tokens=True
        )
        assert tokenizer.convert_ids_to_tokens(ids[0]) == oracle.convert_ids_to_tokens(ids[0].numpy().tolist())
        assert tokenizer.decode(ids[0, 1]) == oracle.decode(ids[0, 1])

    def test_pad(self, tf: Any, tokenizer: Any) -> None:
        rows = [{"input_ids": tf.constant([2, 5, 3])}, {"input_ids": tf.constant([3])}]
        padded = tokenizer.pad(rows, return_tensors="tf")
        assert padded["input_ids"].numpy().tolist() == [[2, 5, 3], [3, 0, 0]]
        assert padded["attention_mask"].numpy().tolist() == [[1, 1, 1], [1, 0, 0]]
        assert padded["input_ids"].dtype == padded["attention_mask"].dtype == tf.int32

    def test_dtypes_are_the_frameworks(self, tf: Any) -> None:
        assert tensor([1, 2], "tf", name="x").dtype == tf.int32
        assert tensor([0.5, 2], "tf", name="x").dtype == tf.float32
        assert tensor([True], "tf", name="x").dtype == tf.bool
        assert tensor(np.ones(2), "tf", name="x").dtype == tf.float64
        assert tensor(tf.constant([1, 2]), "tf", name="x").numpy().tolist() == [1, 2]
        assert tensor([], "tf", name="x").shape == (0, 0)

    def test_rows_of_different_lengths(self, tf: Any, tokenizer: Any) -> None:
        with pytest.raises(InputError, match=r"rows of input_ids have 3 to 4 entries .* padding=True"):
            tokenizer(["a", "a b"], return_tensors="tf")

    def test_tensorflow_models_take_the_batch(self, tf: Any, tokenizer: Any) -> None:
        dataset = tf.data.Dataset.from_tensor_slices(dict(tokenizer([A, B], padding=True, return_tensors="tf")))
        assert [row["input_ids"].shape.rank for row in dataset.batch(2)] == [2]


def test_python_floats_in_pytorch() -> None:
    torch = pytest.importorskip("torch")
    assert tensor([0.5, 2], "pt", name="x").dtype == torch.float32
    assert tensor(np.ones(2), "pt", name="x").dtype == torch.float64
    assert tensor([0.5], "np", name="x").dtype == np.float64


def test_without_tensorflow(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(MissingExtra, match=r"TensorFlow tensors need tensorflow; pip install 'pocketbert\[keras\]'"):
        tokenizer(A, return_tensors="tf")


def test_other_calls_leave_tensorflow_alone(vocab_file: str) -> None:
    code = (
        "import sys; from pocketbert.tokenizer import BertTokenizer; "
        f"t = BertTokenizer({vocab_file!r}); t('a', return_tensors='np'); t.decode([2]); "
        "assert not {'tensorflow', 'torch', 'keras'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
