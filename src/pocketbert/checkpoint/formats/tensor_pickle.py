"""The pickles that ``torch.save`` writes for tensors, read without ``pickle``: nothing in them is ever called.

A pickle is a program for a stack machine. This machine knows the instructions that build dicts, lists, tuples, numbers
and strings; of the functions that a pickle may ask to call it knows a few by name and does what they stand for. Any
other instruction or name is refused. What ``torch.load(weights_only=True)`` reads of tensors, it reads alike.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

from pocketbert.errors import CheckpointError, UnsafeFileError

__all__ = ["Storage", "View", "read_pickle"]

_LIMIT = 2**22  # bytes of one pickle; that of a thousand tensors has about 150,000
_STRING_LIMIT = 2**20
_MOST_ARGUMENTS = 16  # of a call, and dimensions of a tensor
_DTYPES = {
    "torch.DoubleStorage": "float64",
    "torch.FloatStorage": "float32",
    "torch.HalfStorage": "float16",
    "torch.BFloat16Storage": "bfloat16",
    "torch.LongStorage": "int64",
    "torch.IntStorage": "int32",
    "torch.ShortStorage": "int16",
    "torch.CharStorage": "int8",
    "torch.ByteStorage": "uint8",
    "torch.BoolStorage": "bool",
}
_QUANTIZED = "was quantized by PyTorch; take the checkpoint that it was made from, and run `pocketbert quantize` on it"
# parts of names -> what a tensor of that kind is; first match counts
_UNREADABLE = {
    "qtensor": _QUANTIZED,
    "torch.q": _QUANTIZED,
    "torch.Q": _QUANTIZED,
    "per_": _QUANTIZED,
    "sparse": "holds sparse tensors; save them with .to_dense()",
    "meta_tensor": "holds tensors without values (of the meta device)",
    "Uninitialized": "holds parameters without values (of a lazy module that never ran)",
    "nested": "holds nested tensors; save each of their tensors by itself",
    "omplex": "holds complex numbers",
    "float8": "holds float8 numbers; save them with .float()",
}
# How torch stores a dtype that has no storage of its own: as bytes, and the dtype is an argument of what rebuilds it.
_BYTES, _OF_BYTES = "torch.storage.UntypedStorage", "torch._utils._rebuild_tensor_v3"
_DTYPE_NAME = re.compile(r"torch\.(bfloat|float|complex|uint|int|bool|bits)\w*")


@dataclass(frozen=True)
class Storage:
    """A run of ``count`` numbers in the file, named ``key``, from number ``start`` on."""

    key: str
    dtype: str
    count: int
    start: int = 0


@dataclass(frozen=True)
class View:
    """A tensor: the numbers of a storage at ``offset`` and ``strides``, all counted in numbers."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


@dataclass(frozen=True)
class _Name:
    """A function or class that the pickle names."""

    name: str


_MARK = object()
_IGNORED = object()  # a value that no tensor depends on


def read_pickle(file: BinaryIO) -> Any:
    """Read one pickle from where ``file`` stands; a tensor is a ``View``, an ordered dict a dict.

    Raises:
        UnsafeFileError: it names what is neither a tensor nor a plain value, or has an instruction that none needs.
        CheckpointError: it is damaged, too large, or holds tensors of a kind that no model has.
    """
    machine = _Machine(file)
    try:
        while True:
            code = machine.take(1)
            if code == b".":
                return machine.pop()
            step = _STEPS.get(code)
            if step is None:
                raise UnsafeFileError(f"has the pickle instruction {code!r}, which no tensor needs; nothing was run")
            step(machine)
    except (IndexError, KeyError, TypeError, ValueError, struct.error, OverflowError) as error:
        raise CheckpointError(f"is damaged: {type(error).__name__} while its pickle was read") from error


class _Machine:
    """The stack, the memo, and how many bytes may still be read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._left = _LIMIT
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def take(self, count: int) -> bytes:
        found = self._file.read(min(count, self._left + 1))
        self._left -= count
        if self._left < 0:
            raise CheckpointError(f"has a pickle of more than {_LIMIT} bytes")
        if len(found) != count:
            raise CheckpointError("is cut short")
        return found

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def string(self, form: str) -> str:
        count = self.number(form)
        if not 0 <= count <= _STRING_LIMIT:
            raise CheckpointError(f"holds a string of {count} bytes; at most {_STRING_LIMIT} are read")
        return self.take(count).decode("utf-8", "surrogatepass")

    def line(self) -> str:
        found = self._file.readline(256)
        self._left -= len(found)
        if not found.endswith(b"\n"):
            raise CheckpointError("is damaged: a name has no end")
        return found[:-1].decode("utf-8")

    def push(self, value: Any) -> None:
        self.stack.append(value)

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is _MARK:
            raise ValueError
        return value

    def to_mark(self) -> list[Any]:
        """Take everything above the last mark."""
        found = []
        while (value := self.stack.pop()) is not _MARK:
            found.append(value)
        return found[::-1]

    def last(self, kind: type) -> Any:
        """Return the value on top, which must be of this type."""
        if type(self.stack[-1]) is not kind:
            raise TypeError
        return self.stack[-1]


def _set_items(machine: _Machine, pairs: list[Any]) -> None:
    target = machine.last(dict)
    for key, value in zip(pairs[::2], pairs[1::2], strict=True):
        if type(key) is not str and not (type(key) is int and 0 <= key < 2**60):  # a tuple may take forever to hash
            raise TypeError
        target[key] = value


def _global(machine: _Machine) -> None:
    name = f"{machine.line()}.{machine.line()}"
    if (
        name not in _CALLS
        and name not in _DTYPES
        and name not in (*_CLASSES, _BYTES)
        and not _DTYPE_NAME.fullmatch(name)
    ):
        _refuse_tensor(name)
        raise UnsafeFileError(
            f"holds more than tensors: it asks to run {name[:100]}; nothing in it was run. Ask its author for "
            "model.safetensors, or save the model's state_dict()"
        )
    machine.push(_Name(name))


def _refuse_tensor(name: str, otherwise: str | None = None) -> None:
    """Say what kind of tensor a name of torch's belongs to, if it is one that cannot be read."""
    why = next((what for part, what in _UNREADABLE.items() if part in name), otherwise)
    if why and name.startswith("torch."):
        raise CheckpointError(f"{why} ({name})")


def _reduce(machine: _Machine) -> None:
    arguments, function = machine.pop(), machine.pop()
    if type(function) is not _Name or type(arguments) is not tuple or len(arguments) > _MOST_ARGUMENTS:
        raise TypeError
    machine.push(_CALLS[function.name](*arguments))


def _build(machine: _Machine) -> None:
    """Attributes of an ordered dict (a state dict's versions) say nothing about tensors."""
    machine.pop()
    if type(machine.stack[-1]) not in (dict, View):
        raise TypeError


def _persistent(machine: _Machine) -> None:
    """A reference to a storage: what, type, key, device, numbers and, before torch 1.6, the part that is meant."""
    what, kind, key, _, count, *rest = machine.last(tuple)
    if what != "storage" or type(kind) is not _Name or type(key) is not str or type(count) is not int or count < 0:
        raise ValueError
    machine.pop()
    storage = Storage(key, "uint8" if kind.name == _BYTES else _DTYPES[kind.name], count)
    if rest and rest[0] is not None:
        _, start, part = rest[0]
        if not 0 <= start <= start + part <= count:
            raise ValueError
        storage = Storage(key, storage.dtype, part, start)
    machine.push(storage)


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *rest: Any) -> View:
    if len(rest) > 2 and rest[2]:  # behind requires_grad and hooks; that numbers are stored negated, or conjugated
        raise CheckpointError(
            f"holds tensors that are views of complex ones ({str(rest[2])[:60]}); save copies of them"
        )
    whole = [offset, *shape, *strides]
    if type(storage) is not Storage or type(shape) is not tuple or type(strides) is not tuple:
        raise TypeError
    if not len(shape) == len(strides) <= _MOST_ARGUMENTS or not all(type(n) is int and 0 <= n < 2**48 for n in whole):
        raise ValueError
    count, last = 1, offset
    for size, stride in zip(shape, strides, strict=True):
        count, last = min(count * size, 2**62), last + (size - 1) * stride
    if count and (last >= storage.count or count > storage.count):
        raise CheckpointError(
            f"is damaged: a tensor of shape {str(shape)[:60]} reads {count} numbers of a storage of {storage.count}"
        )
    return View(storage, offset, shape, strides)


def _parameter(data: Any, *_: Any) -> View:
    if type(data) is not View:
        raise TypeError
    return data


def _tensor_of_bytes(*arguments: Any) -> View:
    dtype = next((argument.name for argument in arguments if type(argument) is _Name), "")
    _refuse_tensor(dtype, "holds tensors of a dtype that no model here has")
    raise TypeError


def _tensor_of_class(function: Any, kind: Any, arguments: Any, *_: Any) -> View:
    """A tensor of a subclass, or one with attributes of its own, which say nothing about its numbers."""
    if type(kind) is not _Name or kind.name not in _CLASSES or type(arguments) is not tuple:
        raise TypeError
    if type(function) is not _Name or function.name not in _PLAIN or len(arguments) > _MOST_ARGUMENTS:
        raise TypeError
    return _PLAIN[function.name](*arguments)


_CLASSES = ("torch.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer")
_PLAIN: dict[str, Callable[..., View]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    _OF_BYTES: _tensor_of_bytes,
}
# what a pickle may ask to be called -> what is done instead
_CALLS: dict[str, Callable[..., Any]] = {
    "collections.OrderedDict": dict,
    **_PLAIN,
    "torch._tensor._rebuild_from_type_v2": _tensor_of_class,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch.Size": lambda *_: _IGNORED,
    "torch.device": lambda *_: _IGNORED,
}


def _tuple_of(count: int) -> Callable[[_Machine], None]:
    def step(machine: _Machine) -> None:
        machine.push(tuple([machine.pop() for _ in range(count)][::-1]))

    return step


_STEPS: dict[bytes, Callable[[_Machine], Any]] = {
    b"\x80": lambda m: _check_protocol(m.take(1)[0]),
    b"(": lambda m: m.push(_MARK),
    b"0": lambda m: m.stack.pop(),
    b"N": lambda m: m.push(None),
    b"\x88": lambda m: m.push(True),
    b"\x89": lambda m: m.push(False),
    b"J": lambda m: m.push(m.number("<i")),
    b"K": lambda m: m.push(m.number("<B")),
    b"M": lambda m: m.push(m.number("<H")),
    b"\x8a": lambda m: m.push(int.from_bytes(m.take(m.number("<B")), "little", signed=True)),
    b"G": lambda m: m.push(m.number(">d")),
    b"X": lambda m: m.push(m.string("<I")),
    b"T": lambda m: m.push(m.string("<i")),  # strings of Python 2
    b"U": lambda m: m.push(m.string("<B")),
    b")": lambda m: m.push(()),
    b"\x85": _tuple_of(1),
    b"\x86": _tuple_of(2),
    b"\x87": _tuple_of(3),
    b"t": lambda m: m.push(tuple(m.to_mark())),
    b"]": lambda m: m.push([]),
    b"a": lambda m: _append(m, [m.pop()]),
    b"e": lambda m: _append(m, m.to_mark()),
    b"}": lambda m: m.push({}),
    b"s": lambda m: _set_items(m, [m.pop(), m.pop()][::-1]),
    b"u": lambda m: _set_items(m, m.to_mark()),
    b"q": lambda m: m.memo.update({m.number("<B"): m.stack[-1]}),
    b"r": lambda m: m.memo.update({m.number("<I"): m.stack[-1]}),
    b"h": lambda m: m.push(m.memo[m.number("<B")]),
    b"j": lambda m: m.push(m.memo[m.number("<I")]),
    b"c": _global,
    b"R": _reduce,
    b"b": _build,
    b"Q": _persistent,
}


def _check_protocol(number: int) -> None:
    if number != 2:
        raise CheckpointError(f"has a pickle of protocol {number}; torch.save writes 2 unless told otherwise")


def _append(machine: _Machine, values: list[Any]) -> None:
    machine.last(list).extend(values)
