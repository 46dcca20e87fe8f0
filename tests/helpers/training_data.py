"""Records of every task that a small model can learn."""

from __future__ import annotations

from helpers.small import CONTEXT

GOOD, BAD = ["good", "great", "happy", "nice"], ["bad", "awful", "sad", "not good"]
THINGS = ["cat", "dog", "movie", "music", "city", "river", "mat", "wolf", "street"]


def records(task: str, count: int = 40) -> list[dict]:
    """Return records of a task that a small model can learn."""
    rows = []
    for number in range(count):
        thing, kind = THINGS[number % len(THINGS)], number % 2
        word = (GOOD, BAD)[kind][number // 2 % 4]
        tail = " and the city was big" * (number % 4)
        if task == "text-classification":
            rows.append({"text": f"the {thing} was {word}{tail}", "label": ["good", "bad"][kind]})
        elif task == "token-classification":
            words = ["the", thing, "in", ["paris", "berlin"][kind], "was", word]
            rows.append({"tokens": words, "tags": ["O", "O", "O", "B-LOC", "O", "O"]})
        elif task == "question-answering":
            answer = ["Berlin", "New York"][kind]
            question = ["where live i", "where works john"][kind]
            start = CONTEXT.index(answer)
            rows.append(
                {"question": question, "context": CONTEXT, "answers": {"text": [answer], "answer_start": [start]}}
            )
        elif task == "multiple-choice":
            choices = [f"was {GOOD[number % 4]}", f"was {BAD[number % 4]}", "works at acme"]
            rows.append({"prompt": f"i was not happy with the {thing}", "choices": choices, "label": 1})
        elif task == "next-sentence-prediction":
            rows.append({"text": f"the {thing} sat", "text_pair": f"it was {word}", "is_next": kind == 0})
    return rows
