"""Fields that configurations of transformers have and no encoder reads, and what is read where they are not set.

Published files hold them, and code that is written for any model asks for them: ``config.is_encoder_decoder``.
"""

from __future__ import annotations

from typing import Any

__all__ = ["PASSIVE_FIELDS", "PASSIVE_NAMES"]

# In the order in which transformers 4.57 lists them.
PASSIVE_FIELDS: dict[str, Any] = {
    "chunk_size_feed_forward": 0,
    "is_encoder_decoder": False,
    "is_decoder": False,
    "cross_attention_hidden_size": None,
    "add_cross_attention": False,
    "tie_encoder_decoder": False,
    "finetuning_task": None,
    "task_specific_params": None,
    "tokenizer_class": None,
    "prefix": None,
    "bos_token_id": None,
    "eos_token_id": None,
    "sep_token_id": None,
    "decoder_start_token_id": None,
    # of text generation
    "max_length": 20,
    "min_length": 0,
    "do_sample": False,
    "early_stopping": False,
    "num_beams": 1,
    "temperature": 1.0,
    "top_k": 50,
    "top_p": 1.0,
    "typical_p": 1.0,
    "repetition_penalty": 1.0,
    "length_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "bad_words_ids": None,
    "num_return_sequences": 1,
    "output_scores": False,
    "return_dict_in_generate": False,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
    "remove_invalid_values": False,
    "exponential_decay_length_penalty": None,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
    "num_beam_groups": 1,
    "diversity_penalty": 0.0,
    "tf_legacy_loss": False,
    "use_bfloat16": False,
    "transformers_version": None,
}
# These too stand in published files, but have no value where they are not set.
PASSIVE_NAMES = frozenset(PASSIVE_FIELDS) | frozenset(
    """
    cls_token_id directionality gradient_checkpointing language mask_token_id model_max_length name output_past
    pooler_fc_size pooler_num_attention_heads pooler_num_fc_layers pooler_size_per_head pooler_type
    position_embedding_type tie_weights_ true_hidden_size use_cache xla_device
    """.split()  # noqa: SIM905  # one name per line would be a page
)
