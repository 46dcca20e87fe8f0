"""Methods of transformers' tokenizers that models of text to text and of chat need, and older names."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any, NoReturn

from pocketbert.errors import InputError
from pocketbert.notices import renamed
from pocketbert.tokenizer.call.methods import CallMethods

__all__ = ["OlderMethods"]

logger = logging.getLogger(__name__)


class OlderMethods(CallMethods):
    """Methods that scripts written for any model may call."""

    chat_template: Any = None

    def sanitize_special_tokens(self) -> int:
        """Add those special tokens that the vocabulary lacks; return how many."""
        return self._add(self.all_special_tokens_extended)

    @contextlib.contextmanager
    def as_target_tokenizer(self) -> Iterator[None]:
        """Tokenize targets; they are tokenized as texts are, so that nothing changes."""
        renamed("as_target_tokenizer", "the argument text_target of a call")
        yield

    def prepare_seq2seq_batch(
        self,
        src_texts: list[str],
        tgt_texts: list[str] | None = None,
        max_length: int | None = None,
        max_target_length: int | None = None,
        padding: bool | str = "longest",
        return_tensors: str | None = None,
        truncation: bool | str = True,
        **options: Any,
    ) -> Any:
        """Tokenize texts, and targets as ``labels``; the older form of a call with ``text_target``."""
        renamed("prepare_seq2seq_batch", "a call with text_target")
        options |= {"padding": padding, "truncation": truncation, "return_tensors": return_tensors}
        batch = self(src_texts, max_length=self.model_max_length if max_length is None else max_length, **options)
        if tgt_texts is not None:
            longest = max_target_length or max_length or self.model_max_length
            batch["labels"] = self(tgt_texts, max_length=longest, **options)["input_ids"]
        return batch

    def get_chat_template(self, chat_template: str | None = None, tools: Any = None) -> str:
        """Return the template of a chat, if the tokenizer has one.

        Raises:
            InputError: there is none.
        """
        found = self.chat_template if chat_template is None else chat_template
        if not isinstance(found, str):
            raise InputError(
                "tokenizer.chat_template is not set and chat_template was not passed; encoders have none: "
                "join the messages to one text and call the tokenizer"
            )
        return found

    def apply_chat_template(self, conversation: Any, *_: Any, chat_template: str | None = None, **__: Any) -> NoReturn:
        """Refuse: a template is a program, which this library does not run, and encoders answer no chat.

        Raises:
            InputError: always.
        """
        self.get_chat_template(chat_template)
        raise InputError("chat templates are not rendered; join the messages to one text and call the tokenizer")

    encode_message_with_chat_template = apply_chat_template
