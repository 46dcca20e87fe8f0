"""Question answering: extract the answer span from a context, over as many windows as needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pocketbert.errors import InputError
from pocketbert.notices import renamed
from pocketbert.tasks.answers import Answer
from pocketbert.tasks.option_checks import check_flag, check_number, check_text, check_whole, fields_of, kind
from pocketbert.tasks.spans import Candidate, WindowScores, best_spans, distinct, score_window
from pocketbert.tasks.task import Options, Outputs, Pipeline, option
from pocketbert.tasks.windows import Cut, Document
from pocketbert.tokenizer.call.encoding import Encoding

__all__ = ["QuestionAnsweringPipeline", "QuestionAnsweringOptions"]

_ROW, _STRIDE = 384, 128  # as in SQuAD's evaluation

Texts = tuple[str, str]  # question and context


@dataclass(frozen=True)
class QuestionAnsweringOptions(Options):
    """Options of question answering; ``max_seq_len`` and ``doc_stride`` are aliases of ``max_length`` and ``stride``.

    Attributes:
        overflow: ``"window"`` by default.
        top_k: how many answers to return.
        max_seq_len: tokens of a window, question included; 384 by default, or the model's limit if it is lower or if
            the question leaves less room than ``doc_stride``.
        doc_stride: tokens shared by consecutive windows; 128 by default, or half of ``max_seq_len``.
        max_answer_len: maximum tokens of an answer.
        handle_impossible_answer: also rank "no answer", which is an empty text at 0.
        no_answer_threshold: margin by which the no-answer score must beat an answer's to rank above it.
        align_to_words: extend answers to whole words.
        max_question_len: accepted; a question is never cut.
    """

    overflow: str = "window"
    top_k: int = option(1, check_whole, 1)
    max_seq_len: int | None = option(None, check_whole, 1, none="384")
    doc_stride: int | None = option(None, check_whole, 0, none="128")
    max_answer_len: int = option(15, check_whole, 1)
    handle_impossible_answer: bool = option(False, check_flag)
    no_answer_threshold: float = option(0.0, check_number)
    align_to_words: bool = option(True, check_flag)
    max_question_len: int | None = option(None, check_whole, 1, none="any")

    def check(self) -> None:
        """See ``Options.check``."""
        super().check()
        for one, other in (("max_seq_len", "max_length"), ("doc_stride", "stride")):
            if getattr(self, one) is not None and getattr(self, other) is not None:
                raise InputError(f"{one} and {other} are the same; pass one of them")


class QuestionAnsweringPipeline(Pipeline[Texts, "Answer | list[Answer]", QuestionAnsweringOptions]):
    """Returns ``{"score", "start", "end", "answer"}``, or a list of them, best first, if there are several.

    ``context[start:end] == answer``, always. An input is ``{"question": ..., "context": ...}``, a tuple of the two, or
    an object with ``question_text`` and ``context_text``; ``question=`` and ``context=`` may be given by name, each as
    a string or a list. A list of one input gives that input's answer, as in transformers.

    Scores are probabilities within a window; the best spans of every window compete in one pool, where answers of the
    same text are added up (to 1 at most). There are fewer than ``top_k`` answers only if the context has no more.
    """

    name = "question-answering"
    head: ClassVar[str] = "question_answering"
    options_class = QuestionAnsweringOptions
    needs_details = True
    columns = ("answer", "score", "start", "end")
    input_keys = ("question", "context")

    def __call__(self, *inputs: Any, question: Any = None, context: Any = None, **options: Any) -> Any:
        """Answer a question or many.

        Args:
            *inputs: a dict, tuple or object of question and context, a list of them, or an iterator of them; or
                several of them; or the question and the context.
            question: one question, or a list of them for one context or as many.
            context: one text, or as many as there are questions.
            **options: see ``QuestionAnsweringOptions``.

        Raises:
            InputError: an input or an option is wrong.
        """
        for old in ("X", "data"):
            if old in options:
                renamed(old, "question= and context=")
                inputs = (*inputs, options.pop(old))
        if len(inputs) == 2 and context is None and isinstance(inputs[0], str):
            question, context = inputs
            inputs = ()
        if context is None and question is None:
            if not inputs:
                raise InputError("pass question= and context=, or one input that holds both")
            given: Any = inputs[0] if len(inputs) == 1 else list(inputs)
        else:
            if len(inputs) + (question is not None) != 1 or context is None:
                raise InputError("pass question= and context=, or one input that holds both")
            given = _pairs(inputs[0] if question is None else question, context)
        answers = super().__call__(given, **options)
        return answers[0] if isinstance(given, list) and len(given) == 1 else answers

    def arguments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """See ``Pipeline.arguments``; there is nothing to truncate, since contexts are read in windows."""
        return super().arguments({name: value for name, value in given.items() if name != "truncation"})

    def read(self, item: Any, options: QuestionAnsweringOptions) -> Texts:
        """See ``Pipeline.read``."""
        if hasattr(item, "question_text") and hasattr(item, "context_text"):
            item = (item.question_text, item.context_text)
        pair = tuple(fields_of(item, self.input_keys)) if isinstance(item, Mapping) else item
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise InputError(f"the input must be a dict with 'question' and 'context', not {kind(item)}")
        texts = check_text("question", pair[0]), check_text("context", pair[1])
        for name, text in zip(self.input_keys, texts, strict=True):
            nothing = not text if name == "question" else not text.strip() and not options.handle_impossible_answer
            if nothing:
                cure = "" if name == "question" else ", or handle_impossible_answer=True to have none found in it"
                raise InputError(f"{name} {text!r} is empty; pass one with words{cure}")
        return texts

    def cut(self, options: QuestionAnsweringOptions) -> Cut:
        """See ``Pipeline.cut``."""
        name = "max_length" if options.max_seq_len is None else "max_seq_len"
        asked: int | None = getattr(options, name)
        limit, name = self.limit(asked, name)
        most = None
        if options.overflow == "window":
            most = None if asked is not None else limit
            limit = limit if asked is not None else min(limit, _ROW)
            name = f"a window of {limit} tokens"
        stride = options.doc_stride if options.doc_stride is not None else options.stride
        exact = stride is not None
        stride = stride if exact else min(limit // 2, _STRIDE)
        return Cut(options.overflow, limit, name, stride, exact, truncation="only_second", window_over=1, most=most)

    def decode(
        self, example: Texts, documents: list[Document], outputs: Outputs, options: QuestionAnsweringOptions
    ) -> Answer | list[Answer]:
        """See ``Pipeline.decode``."""
        context, document = example[1], documents[0]
        places = _places(document.encoding, options.align_to_words)
        seconds = np.asarray([text == 1 for text in document.encoding.sequence_ids])
        windows: list[tuple[WindowScores, list[tuple[int, int]]]] = []
        for window, logits in zip(document.windows, outputs[0], strict=True):
            whole = np.arange(len(document)) if window.tokens is None else window.tokens
            shown = np.flatnonzero(seconds[whole])
            windows.append((score_window(logits, shown), [places[token] for token in whole[shown]]))

        def candidates(count: int) -> Iterator[Candidate]:
            for scores, chars in windows:
                for score, first, last in best_spans(scores, count, options.max_answer_len):
                    yield Candidate(score, chars[first][0], chars[last][1])

        def deeper() -> Iterator[Candidate]:
            most = max(len(scores.start) for scores, _ in windows) ** 2
            yield from sorted(candidates(most), key=lambda candidate: -candidate.score)

        top_k = options.top_k
        count = 2 * top_k + 10 if options.align_to_words else top_k
        answers = distinct(candidates(count), deeper(), context, top_k)
        ranked = [
            (c.score, Answer(score=c.score, start=c.start, end=c.end, answer=context[c.start : c.end])) for c in answers
        ]
        if options.handle_impossible_answer:
            none = min(scores.none for scores, _ in windows)
            ranked.append((none - options.no_answer_threshold, Answer(score=none, start=0, end=0, answer="")))
            ranked.sort(key=lambda answer: -answer[0])
        if not ranked:
            raise InputError(f"context {context[:40]!r} holds no word; pass one with words")
        found = [answer for _, answer in ranked[:top_k]]
        return found[0] if len(found) == 1 else found

    def _is_one(self, inputs: Any, options: QuestionAnsweringOptions) -> bool:
        return super()._is_one(inputs, options) or hasattr(inputs, "question_text")


def _pairs(questions: Any, contexts: Any) -> Any:
    """Return the question and the context as a pair, or a list of pairs if either is a list."""
    if isinstance(questions, str) and isinstance(contexts, str):
        return questions, contexts
    if not isinstance(questions, (str, list)) or not isinstance(contexts, (str, list)):
        raise InputError(f"question and context must be strings or lists, not {kind(questions)} and {kind(contexts)}")
    questions = [questions] if isinstance(questions, str) else questions
    contexts = [contexts] * len(questions) if isinstance(contexts, str) else contexts
    questions = questions * len(contexts) if len(questions) == 1 else questions
    if len(questions) != len(contexts):
        raise InputError(f"{len(questions)} questions and {len(contexts)} contexts; pass as many of each, or one")
    return list(zip(questions, contexts, strict=True))


def _places(encoding: Encoding, words: bool) -> list[tuple[int, int]]:
    """Return the character span of each token, or of its whole word if ``words``."""
    if not words:
        return encoding.offsets
    spans: dict[tuple[int | None, int | None], tuple[int, int]] = {}
    keys = list(zip(encoding.sequence_ids, encoding.word_ids, strict=True))
    for key, (start, end) in zip(keys, encoding.offsets, strict=True):
        known = spans.get(key, (start, end))
        spans[key] = (min(known[0], start), max(known[1], end))
    return [spans[key] for key in keys]
