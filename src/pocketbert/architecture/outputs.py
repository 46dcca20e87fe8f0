"""What models return: a ``ModelOutput`` is a dict, a tuple of what is there, and a set of attributes.

``out.logits``, ``out["logits"]``, ``out[0]`` and ``out[:2]`` all work; integers and slices count only the values that
are not None. Iterating gives the keys, as for every dict; ``to_tuple()`` gives the values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from inspect import get_annotations
from typing import Any, ClassVar

__all__ = [
    "ModelOutput",
    "BaseModelOutput",
    "BaseModelOutputWithPooling",
    "BertForPreTrainingOutput",
    "MobileBertForPreTrainingOutput",
    "TFMobileBertForPreTrainingOutput",
    "MaskedLMOutput",
    "NextSentencePredictorOutput",
    "SequenceClassifierOutput",
    "MultipleChoiceModelOutput",
    "TokenClassifierOutput",
    "QuestionAnsweringModelOutput",
]


class ModelOutput(dict[str, Any]):
    """Base class of all outputs; a subclass declares its fields, in order, as annotations or by another base class.

    Example:
        >>> from pocketbert import MobileBertForPreTrainingOutput
        >>> out = MobileBertForPreTrainingOutput(prediction_logits=[0.1], seq_relationship_logits=[0.9])
        >>> out.prediction_logits, out["seq_relationship_logits"], out[1], list(out)
        ([0.1], [0.9], [0.9], ['prediction_logits', 'seq_relationship_logits'])
    """

    fields: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        declaring = [base for base in (cls, *cls.__bases__) if base is not ModelOutput]
        cls.fields = tuple(name for base in declaring for name in get_annotations(base))
        # a method in C: torch.jit.trace compiles a class that has Python methods only, and takes others as dicts
        cls.__len__ = dict.__len__  # type: ignore[method-assign]

    def __init__(self, *values: Any, **named: Any) -> None:
        if len(values) == 1 and not named and isinstance(values[0], (Mapping, list, Iterator)):
            given = dict(values[0])  # a mapping or pairs, as tree utilities rebuild a dict
        else:
            placed = self.fields[: len(values)]  # since older releases of torch.compile read every zip as strict
            given = {**dict(zip(placed, values, strict=False)), **named}
            if len(values) > len(self.fields) or len(given) < len(values) + len(named):
                raise TypeError(f"{type(self).__name__} takes {', '.join(self.fields)}")
        unknown = [name for name in given if name not in self.fields]
        if unknown:
            raise TypeError(self._no_field(unknown[0]))
        super().__init__({name: given[name] for name in self.fields if given.get(name) is not None})

    @classmethod
    def _no_field(cls, name: str) -> str:
        return f"{cls.__name__} has no field {name!r}; it has {', '.join(cls.fields)}"

    def __getattr__(self, name: str) -> Any:
        if name in type(self).fields:
            return self.get(name)
        raise AttributeError(self._no_field(name))

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in type(self).fields:
            raise AttributeError(self._no_field(name))
        self[name] = value

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, str):
            return super().__getitem__(key)
        return self.to_tuple()[key]

    def __setitem__(self, name: str, value: Any) -> None:
        if name not in self.fields:
            raise KeyError(self._no_field(name))
        if value is None:
            self.pop(name, None)
            return
        known = {**self, name: value}
        super().clear()
        super().update({field: known[field] for field in self.fields if field in known})

    def update(self, *given: Any, **named: Any) -> None:
        """As ``dict.update``, for fields only and in their order."""
        for name, value in dict(*given, **named).items():
            self[name] = value

    def setdefault(self, name: str, default: Any = None) -> Any:
        """As ``dict.setdefault``, for fields only and in their order."""
        if name not in self:
            self[name] = default
        return self.get(name)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self.items())})"

    def __reduce__(self) -> Any:
        return type(self), (dict(self),)

    def to_tuple(self) -> tuple[Any, ...]:
        """Return the values that are not None, in the order of the fields."""
        return tuple(self.values())


class BaseModelOutput(ModelOutput):
    """An encoder's output.

    Attributes:
        last_hidden_state: (batch, tokens, hidden_size).
        hidden_states: the embedding output and each layer's, a tuple of (batch, tokens, hidden_size).
        attentions: weights after softmax, one (batch, heads, tokens, tokens) a layer.
    """

    last_hidden_state: Any
    hidden_states: Any
    attentions: Any


class BaseModelOutputWithPooling(ModelOutput):
    """An encoder's output with ``pooler_output`` (batch, hidden_size); see ``BaseModelOutput``."""

    last_hidden_state: Any
    pooler_output: Any
    hidden_states: Any
    attentions: Any


class _TwoLogits:
    loss: Any
    prediction_logits: Any
    seq_relationship_logits: Any
    hidden_states: Any
    attentions: Any


class BertForPreTrainingOutput(_TwoLogits, ModelOutput):
    """Output of the two pre-training heads.

    Attributes:
        loss: the sum of the masked-language-model and next-sentence losses, a scalar.
        prediction_logits: (batch, tokens, vocab_size).
        seq_relationship_logits: (batch, 2); index 0 = B continues A, 1 = B is random.
        hidden_states, attentions: see ``BaseModelOutput``.
    """


class MobileBertForPreTrainingOutput(_TwoLogits, ModelOutput):
    """Output of ``MobileBertForPreTraining``; the fields are those of ``BertForPreTrainingOutput``."""


class TFMobileBertForPreTrainingOutput(_TwoLogits, ModelOutput):
    """Output of ``TFMobileBertForPreTraining``; the fields are those of ``BertForPreTrainingOutput``."""


class _Logits:
    loss: Any
    logits: Any
    hidden_states: Any
    attentions: Any


class MaskedLMOutput(_Logits, ModelOutput):
    """``loss`` (scalar) and ``logits`` (batch, tokens, vocab_size)."""


class NextSentencePredictorOutput(_Logits, ModelOutput):
    """``loss`` (scalar) and ``logits`` (batch, 2); index 0 = B continues A, 1 = B is random."""


class SequenceClassifierOutput(_Logits, ModelOutput):
    """``loss`` (scalar) and ``logits`` (batch, num_labels)."""


class MultipleChoiceModelOutput(_Logits, ModelOutput):
    """``loss`` (scalar) and ``logits`` (batch, choices)."""


class TokenClassifierOutput(_Logits, ModelOutput):
    """``loss`` (scalar) and ``logits`` (batch, tokens, num_labels)."""


class QuestionAnsweringModelOutput(ModelOutput):
    """``loss`` (scalar), ``start_logits`` and ``end_logits`` (batch, tokens)."""

    loss: Any
    start_logits: Any
    end_logits: Any
    hidden_states: Any
    attentions: Any
