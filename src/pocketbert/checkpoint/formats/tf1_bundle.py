"""The reader of TensorFlow's V2 checkpoints ("tensor bundles"): names, shapes and places, without TensorFlow.

``NAME.index`` is a table in LevelDB's format (``doc/table_format.md`` there) of variable name -> ``BundleEntryProto``
(``tensor_bundle.proto`` in TensorFlow); ``NAME.data-00000-of-00001`` is the numbers, one variable after the other.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pocketbert.checkpoint.formats.stored import damaged
from pocketbert.storage.opening import read_bytes

__all__ = ["Variable", "read_index"]

_LARGEST = 16 * 2**20  # bytes of an index; that of a 24-layer MobileBERT with optimizer state has 0.3 MB
_LONGEST = 1024  # bytes of a name
_MOST_NAMES = 2**16  # each costs up to _LONGEST bytes, however short it is stored
_FOOTER, _TRAILER = 48, 5
_MAGIC = 0xDB4775248B80FB57
_DTYPES = {1: "float32", 2: "float64", 3: "int32", 7: "string", 9: "int64", 14: "bfloat16", 19: "float16"}


@dataclass(frozen=True)
class Variable:
    """A variable of a checkpoint.

    Attributes:
        dtype: ``"float32"``, ...; ``"type 21"`` for what no model here has.
        shape: as stored.
        shard: number of the data file.
        offset: of its first byte there.
        size: in bytes.
        sliced: it is stored in parts, under other names.
    """

    dtype: str
    shape: tuple[int, ...]
    shard: int
    offset: int
    size: int
    sliced: bool


def read_index(file: Path) -> tuple[int, dict[str, Variable]]:
    """Return the number of data files and the variables that an index lists.

    Raises:
        CheckpointError: it is damaged, truncated, no such index, or of a kind that TensorFlow does not write.
    """
    content = read_bytes(file, _LARGEST)
    try:
        entries = dict(_entries(content))
        header = _Message(entries.pop(""))
        if header.number(2):
            raise ValueError("it is big-endian")
        return header.number(1), {name: _variable(value) for name, value in entries.items()}
    except (ValueError, KeyError, IndexError, struct.error) as error:
        raise damaged(file, "index of a TensorFlow checkpoint", error) from error


def _variable(value: bytes) -> Variable:
    entry = _Message(value)
    dims = [_Message(dim).number(1) for dim in _Message(entry.piece(2)).pieces.get(2, [])]
    dtype, shard, offset, size = (entry.number(field) for field in (1, 3, 4, 5))
    return Variable(_DTYPES.get(dtype, f"type {dtype}"), tuple(dims), shard, offset, size, bool(entry.pieces.get(7)))


# -- the table -------------------------------------------------------------------------------------------------


def _entries(table: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield every key and value of a table, whose blocks and keys ascend, so that none is read twice."""
    if len(table) < _FOOTER or int.from_bytes(table[-8:], "little") != _MAGIC:
        raise ValueError("its last bytes are not a table's")
    reader = _Bytes(table[-_FOOTER:])
    reader.varint(), reader.varint()  # location of the meta index, which is empty here
    end, last, count = 0, b"", 0
    for _, handle in _block(table, reader.varint(), reader.varint()):
        reader = _Bytes(handle)
        begin, size = reader.varint(), reader.varint()
        if begin < end:
            raise ValueError("two blocks overlap")
        end = begin + size
        for key, value in _block(table, begin, size):
            if count and key <= last:
                raise ValueError("its names are not in order")
            last, count = key, count + 1
            if count > _MOST_NAMES:
                raise ValueError(f"it has more than {_MOST_NAMES} names")
            yield key.decode(), value


def _block(table: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and values of a block; each key is stored as what it does not share with the one before."""
    if offset + size + _TRAILER > len(table) - _FOOTER:
        raise ValueError("a block lies beyond its end")
    if table[offset + size]:
        raise ValueError("it is compressed, which TensorFlow's are not")
    stored = int.from_bytes(table[offset + size + 1 : offset + size + _TRAILER], "little")
    if _masked_crc32c(table[offset : offset + size + 1]) != stored:
        raise ValueError("a checksum differs")
    block = table[offset : offset + size]
    restarts = int.from_bytes(block[-4:], "little")
    reader, key = _Bytes(block[: max(0, size - 4 * (restarts + 1))]), b""
    while reader.left:
        shared, fresh, length = reader.varint(), reader.varint(), reader.varint()
        if shared > len(key) or shared + fresh > _LONGEST:
            raise ValueError("a name cannot be put together")
        key = key[:shared] + reader.take(fresh)
        yield key, reader.take(length)


_CRC_TABLE = list(range(256))
for _ in range(8):
    _CRC_TABLE = [byte >> 1 ^ (0x82F63B78 if byte & 1 else 0) for byte in _CRC_TABLE]


def _masked_crc32c(data: bytes) -> int:
    """Return LevelDB's checksum: CRC-32C, rotated and shifted so that a checksum of checksums is no trivial one."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


# -- protocol buffers ------------------------------------------------------------------------------------------


class _Bytes:
    """Bytes that are read from the front."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise ValueError("an entry is cut short")
        self._at += count
        return self._data[self._at - count : self._at]

    def varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise ValueError("a number is longer than 64 bits")


class _Message:
    """The fields of a protocol buffer's message: field number -> the last number, or all pieces in order."""

    def __init__(self, data: bytes) -> None:
        self.numbers: dict[int, int] = {}
        self.pieces: dict[int, list[bytes]] = {}
        reader = _Bytes(data)
        while reader.left:
            tag = reader.varint()
            number, kind = tag >> 3, tag & 7
            if kind == 0:
                self.numbers[number] = reader.varint()
            elif kind == 2:
                self.pieces.setdefault(number, []).append(reader.take(reader.varint()))
            elif kind in (1, 5):
                reader.take(8 if kind == 1 else 4)
            else:
                raise ValueError(f"a field of kind {kind}")

    def number(self, field: int) -> int:
        return self.numbers.get(field, 0)

    def piece(self, field: int) -> bytes:
        return self.pieces.get(field, [b""])[-1]
