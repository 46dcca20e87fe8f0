"""A ModelOutput is a dict, a tuple of what is there, and attributes, as the original's."""

from __future__ import annotations

import copy
import pickle

import pytest
from transformers import modeling_outputs
from transformers.models.bert import modeling_bert
from transformers.models.mobilebert import modeling_mobilebert

from pocketbert.architecture import outputs
from pocketbert.architecture.outputs import MaskedLMOutput, ModelOutput


@pytest.fixture
def output() -> MaskedLMOutput:
    return MaskedLMOutput(logits="logits", attentions=("a", "b"))


def test_access_by_name_key_index_and_slice(output):
    assert output.logits == output["logits"] == output[0] == "logits"
    assert output.attentions == output["attentions"] == output[1] == output[-1] == ("a", "b")
    assert output[:1] == ("logits",)
    assert output[:2] == output.to_tuple() == ("logits", ("a", "b"))
    logits, attentions = output[:2]
    assert (logits, attentions) == ("logits", ("a", "b"))


def test_what_is_none_is_absent(output):
    assert output.loss is None
    assert "loss" not in output
    assert output.get("loss") is None
    assert list(output) == list(output.keys()) == ["logits", "attentions"]
    assert len(output) == 2
    with pytest.raises(KeyError):
        output["loss"]
    with pytest.raises(IndexError):
        output[2]


def test_setting_keeps_the_order_of_the_fields(output):
    output.loss = 1.5
    assert output[:2] == (1.5, "logits")
    output["hidden_states"] = "h"
    assert output.to_tuple() == (1.5, "logits", "h", ("a", "b"))
    output.update(loss=2.5, attentions=None)
    assert output.to_tuple() == (2.5, "logits", "h")
    assert output.setdefault("loss", 0) == 2.5
    assert output.setdefault("attentions", "w") == "w"
    assert list(output) == ["loss", "logits", "hidden_states", "attentions"]


def test_unknown_fields_are_refused(output):
    with pytest.raises(AttributeError, match="MaskedLMOutput has no field 'start_logits'; it has loss, logits"):
        output.start_logits  # noqa: B018  # the access is what is tested
    with pytest.raises(AttributeError, match="no field 'start_logits'"):
        output.start_logits = 1
    assert not hasattr(output, "start_logits")
    with pytest.raises(KeyError, match="no field 'start_logits'"):
        output["start_logits"] = 1
    with pytest.raises(KeyError, match="no field 'start_logits'"):
        output.update(start_logits=1)
    with pytest.raises(TypeError, match="no field 'start_logits'"):
        MaskedLMOutput(start_logits=1)
    with pytest.raises(TypeError, match="takes loss, logits"):
        MaskedLMOutput(1, 2, 3, 4, 5)
    with pytest.raises(TypeError, match="takes loss, logits"):
        MaskedLMOutput(1, loss=2)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])  # noqa: S301
def test_copies(output, copied):
    other = copied(output)
    assert type(other) is MaskedLMOutput
    assert other == output
    other.logits = "changed"
    assert output.logits == "logits"


def test_repr_names_the_class_and_what_is_there(output):
    assert repr(output) == "MaskedLMOutput(logits='logits', attentions=('a', 'b'))"


@pytest.mark.parametrize("kind", ModelOutput.__subclasses__(), ids=lambda kind: kind.__name__)
def test_fields_and_order_are_the_originals(kind):
    rooms = (modeling_outputs, modeling_bert, modeling_mobilebert)
    name = kind.__name__.removeprefix("TF")
    original = next(getattr(room, name) for room in rooms if hasattr(room, name))
    assert list(kind.fields) == list(original.__dataclass_fields__)


def test_every_kind_is_listed():
    assert set(outputs.__all__) == {"ModelOutput", *(kind.__name__ for kind in ModelOutput.__subclasses__())}
