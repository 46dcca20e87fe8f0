"""Question answering: extract the answer span from a context, over as many windows as needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pocketbert.errors import InputError
from pocketbert.tasks.answers import Answer, Ranked
from pocketbert.tasks.option_checks import check_flag, check_number, check_text, check_whole, fields_of, kind
from pocketbert.tasks.spans import Candidate, WindowScores, best_spans, distinct, score_window
from pocketbert.tasks.task import Options, Outputs, Task, option
from pocketbert.tasks.windows import Cut, Document
from pocketbert.tokenizer.call.encoding import Encoding

__all__ = ["QuestionAnswering", "QuestionAnsweringOptions"]

_ROW, _STRIDE = 384, 128  # as in SQuAD's evaluation

Texts = tuple[str, str]  # question and context


@dataclass(frozen=True)
class QuestionAnsweringOptions(Options):
    """Options of question answering; ``max_seq_len`` and ``doc_stride`` are aliases of ``max_length`` and ``stride``.

    Attributes:
        overflow: ``"window"`` by default.
        top_k: how many answers to return.
        max_seq_len: tokens of a window, question included; 384 by default, or the model's limit if lower.
        doc_stride: tokens shared by consecutive windows; 128 by default, or half of ``max_seq_len``.
        max_answer_len: maximum tokens of an answer.
        handle_impossible_answer: also rank "no answer", which is an empty text at 0.
        no_answer_threshold: margin by which the no-answer score must beat an answer's to rank above it.
        align_to_words: extend answers to whole words.
    """

    overflow: str = "window"
    top_k: int = option(1, check_whole, 1)
    max_seq_len: int | None = option(None, check_whole, 1, none="384")
    doc_stride: int | None = option(None, check_whole, 0, none="128")
    max_answer_len: int = option(15, check_whole, 1)
    handle_impossible_answer: bool = option(False, check_flag)
    no_answer_threshold: float = option(0.0, check_number)
    align_to_words: bool = option(True, check_flag)

    def check(self) -> None:
        """See ``Options.check``."""
        super().check()
        for one, other in (("max_seq_len", "max_length"), ("doc_stride", "stride")):
            if getattr(self, one) is not None and getattr(self, other) is not None:
                raise InputError(f"{one} and {other} are the same; pass one of them")


class QuestionAnswering(Task[Texts, Ranked[Answer], QuestionAnsweringOptions]):
    """Returns ``[{"score", "start", "end", "answer"}, ...]``, best first, ``top_k`` of them.

    ``context[start:end] == answer``, always. An input is ``{"question": ..., "context": ...}`` or a tuple of the two;
    ``question=`` and ``context=`` may be given by name, each as a string or a list.

    Scores are probabilities within a window; the best spans of every window compete in one pool, where answers of the
    same text are added up (to 1 at most). There are fewer than ``top_k`` answers only if the context has no more.
    """

    name = "question-answering"
    head: ClassVar[str] = "question_answering"
    options_class = QuestionAnsweringOptions
    needs_details = True
    columns = ("answer", "score", "start", "end")
    input_keys = ("question", "context")

    def __call__(self, inputs: Any = None, context: Any = None, *, question: Any = None, **options: Any) -> Any:
        """Answer a question or many.

        Args:
            inputs: a dict or tuple of question and context, a list of them, or an iterator of them; or the question.
            context: one text, or as many as there are questions.
            question: one question, or a list of them for one context or as many.
            **options: see ``QuestionAnsweringOptions``.

        Raises:
            InputError: an input or an option is wrong.
        """
        if context is None and question is None:
            return super().__call__(inputs, **options)
        if (inputs is None) == (question is None) or context is None:
            raise InputError("pass question= and context=, or one input that holds both")
        questions = inputs if question is None else question
        if isinstance(questions, str) and isinstance(context, str):
            return super().__call__((questions, context), **options)
        questions, contexts = [questions] if isinstance(questions, str) else questions, context
        if not isinstance(questions, list) or not isinstance(contexts, (str, list)):
            raise InputError(f"question and context must be strings or lists, not {kind(question)} and {kind(context)}")
        contexts = [contexts] * len(questions) if isinstance(contexts, str) else contexts
        questions = questions * len(contexts) if len(questions) == 1 else questions
        if len(questions) != len(contexts):
            raise InputError(f"{len(questions)} questions and {len(contexts)} contexts; pass as many of each, or one")
        return super().__call__(list(zip(questions, contexts, strict=True)), **options)

    def read(self, item: Any, options: QuestionAnsweringOptions) -> Texts:
        """See ``Task.read``."""
        pair = tuple(fields_of(item, self.input_keys)) if isinstance(item, Mapping) else item
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise InputError(f"the input must be a dict with 'question' and 'context', not {kind(item)}")
        texts = check_text("question", pair[0]), check_text("context", pair[1])
        for name, text in zip(self.input_keys, texts, strict=True):
            if not text.strip() and not (name == "context" and options.handle_impossible_answer):
                cure = "" if name == "question" else ", or handle_impossible_answer=True to have none found in it"
                raise InputError(f"{name} {text!r} is empty; pass one with words{cure}")
        return texts

    def cut(self, options: QuestionAnsweringOptions) -> Cut:
        """See ``Task.cut``."""
        name = "max_length" if options.max_seq_len is None else "max_seq_len"
        asked: int | None = getattr(options, name)
        limit, name = self.limit(asked, name)
        if options.overflow == "window":
            limit = limit if asked is not None else min(limit, _ROW)
            name = f"a window of {limit} tokens"
        stride = options.doc_stride if options.doc_stride is not None else options.stride
        exact = stride is not None
        stride = stride if exact else min(limit // 2, _STRIDE)
        return Cut(options.overflow, limit, name, stride, exact, truncation="only_second", window_over=1)

    def decode(
        self, example: Texts, documents: list[Document], outputs: Outputs, options: QuestionAnsweringOptions
    ) -> Ranked[Answer]:
        """See ``Task.decode``."""
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
        return Ranked(answer for _, answer in ranked[:top_k])


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
