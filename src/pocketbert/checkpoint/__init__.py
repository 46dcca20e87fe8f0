"""A checkpoint folder as named arrays: found, verified and read without any framework; written whole or not at all.

Four formats are read, the first that a folder has: safetensors, ``pytorch_model.bin`` (read without
torch), ``tf_model.h5`` and TensorFlow 1's ``*.ckpt.index`` with its data. Whatever the format, names are Hugging
Face's and layouts PyTorch's. None of the readers runs code from a file. Safetensors only are written.
"""

from pocketbert.checkpoint.fitting import Fit, fit
from pocketbert.checkpoint.formats.names import modern_name
from pocketbert.checkpoint.formats.stored import Tensor
from pocketbert.checkpoint.weights import Checkpoint, open_checkpoint
from pocketbert.checkpoint.writing import (
    SAVEDMODEL,
    WRITTEN,
    copy_tokenizer,
    parse_size,
    write_arrays,
    write_checkpoint,
)

__all__ = [
    "SAVEDMODEL",
    "WRITTEN",
    "Checkpoint",
    "Fit",
    "Tensor",
    "copy_tokenizer",
    "fit",
    "modern_name",
    "open_checkpoint",
    "parse_size",
    "write_arrays",
    "write_checkpoint",
]
