"""A fault at every step of a save: Ctrl-C, a refusing disk, a disk that fills up, a killed process.

Every call that changes a file or a folder is a point, told by Python's audit events and a wrapper of ``os.fsync``. The
save runs up to its first point, and from there once more for each point and each fault, in a forked child; so what it
computes before it writes is computed once. Writes of libraries that are not Python's meet the disk that fills up, which
is the system's own limit on file sizes.
"""

from __future__ import annotations

import errno
import os
import shutil
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

__all__ = ["FAULTS", "KILLED", "Tree", "check_every_fault", "outcomes", "put", "tree", "visible"]

Tree = dict[str, tuple[bytes, int]]  # path -> content and permissions; of a folder, which ends in "/", nothing

FAULTS = ("interrupt", "refuse", "fill", "kill")
_RETURNED, _INTERRUPTED, _REFUSED, _FAILED, _NOT_REACHED, KILLED = range(10, 16)  # statuses of a child
_FILL = 64  # bytes of a file that still fit
_CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.chmod", "os.link", "os.symlink", "os.truncate"}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


class _Done(BaseException):
    """Leaves the save in the parent, once every child has run it."""


@dataclass
class _Run:
    root: str
    at_first: Callable[[], None]  # what the parent does at the first point
    fault: str = ""  # of this child; "" in the parent
    left: int = 0  # points until the fault
    is_active: bool = True

    def point(self, opens: bool = False) -> None:
        if not self.fault:
            self.is_active = False
            self.at_first()  # which returns in a child
        if self.fault == "fill" and not opens:
            return
        if self.left > 0:
            self.left -= 1
        if self.left == 0:
            self.left = -1
            self._strike()

    def _strike(self) -> None:
        if self.fault == "kill":
            os._exit(KILLED)
        if self.fault == "interrupt":
            raise KeyboardInterrupt
        if self.fault == "refuse":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (_FILL, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


_run: _Run | None = None


def _audit(event: str, args: tuple) -> None:
    run = _run
    if run is None or not run.is_active:
        return
    if event == "open":
        path, _, flags = args
        is_change = isinstance(path, str | bytes | os.PathLike) and bool((flags or 0) & _WRITES)
    else:
        is_change, path = event in _CHANGES, args[0] if args else None
    if is_change and (isinstance(path, int) or _is_below(os.fsdecode(path), run.root, event, args)):
        run.point(event == "open")


def _is_below(path: str, root: str, event: str, args: tuple) -> bool:
    relative_to_folder = event in ("os.remove", "os.rmdir") and args[1] != -1
    return relative_to_folder or os.path.abspath(path).startswith(root)


def _fsync(file: int) -> None:
    """Stand in for the system's, which takes long and shows only when the power fails."""
    if _run is not None and _run.is_active:
        _run.point()


sys.addaudithook(_audit)  # there is no way to remove it; it does nothing outside of a run


def tree(folder: Path) -> Tree | None:
    """Return all that is in a folder; None if there is no folder."""
    if not folder.exists():
        return None
    found: Tree = {}
    for where, folders, names in os.walk(folder):
        inner = Path(where).relative_to(folder).as_posix()
        prefix = "" if inner == "." else f"{inner}/"
        found |= {f"{prefix}{name}/": (b"", 0) for name in folders}
        for name in names:
            path = Path(where, name)
            found[prefix + name] = (path.read_bytes(), path.stat().st_mode & 0o777)
    return found


def visible(content: Tree | None) -> Tree | None:
    """Return what is not a save's own; an empty folder is as good as none."""
    return {name: facts for name, facts in (content or {}).items() if not name.startswith(".saving-")} or None


def put(content: Tree | None, folder: Path) -> None:
    """Make a folder hold this and nothing else; what is right already is left alone, since that is quicker."""
    if content is None:
        shutil.rmtree(folder, ignore_errors=True)
        return
    folder.mkdir(parents=True, exist_ok=True)
    found = tree(folder) or {}
    for name in sorted(found.keys() - content.keys(), reverse=True):
        (folder / name).rmdir() if name.endswith("/") else (folder / name).unlink()
    for name, (data, mode) in content.items():
        path = folder / name
        if name.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
        elif found.get(name) != (data, mode):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            path.chmod(mode)


def check_every_fault(
    save: Callable[[], object], target: Path, load: Callable[[], object], next_save: Callable[[], object] | None = None
) -> int:
    """Check that a save is the old folder or the new one, whatever happens to it.

    Args:
        save: writes into ``target``; with the old content there it ends well.
        target: the folder, in its old state.
        load: reads the new or the old folder, or nothing if that is of no interest.
        next_save: saves some file into the folder afterwards; ``save`` itself if it is quick.

    Returns:
        the number of points.
    """
    with mock.patch.object(os, "fsync", _fsync):
        return _check_every_fault(save, target, load, next_save or save)


def _check_every_fault(save, target, load, next_save) -> int:
    old = tree(target)
    save()
    new = tree(target)
    assert new == visible(new) and new != old, "a save without a fault leaves something behind, or changes nothing"
    replaced = {name for name in ("config.json", "saved_model.pb") if new.get(name) != (old or {}).get(name)}
    points, states = 0, {}
    for fault, number, status, found in outcomes(save, target, old):
        where, shown = f"{fault} at point {number}: ", visible(found)
        points = max(points, number)
        states.setdefault(repr(found), (where, found))
        if status == KILLED:
            # no reader but ours knows of a commit that was cut short, and none may take it for a model
            is_between = shown not in (visible(old), new)
            assert not is_between or not replaced & {*(shown or ())}, where + _differences(shown, new)
            continue
        expected = {"interrupt": (_INTERRUPTED,), "refuse": (_REFUSED, _RETURNED), "fill": (_REFUSED, _RETURNED)}[fault]
        assert status in expected, where + f"the save ended with {status}"
        assert shown == new if status == _RETURNED else shown in (visible(old), new), where + _differences(shown, new)
        assert ".saving-committed/" not in (found or {}), where
    for where, found in states.values():
        _check_state(where, found, visible(old), new, target, load, save, next_save)
    put(new, target)
    return points


def _check_state(where, found, old, new, target, load, save, next_save) -> None:
    put(found, target)
    is_committed = ".saving-committed/" in (found or {})
    if visible(found) != old or is_committed:
        load()
        assert visible(tree(target)) == new, where + "what was loaded is not the new folder"
    elif old is not None:
        load()
        assert visible(tree(target)) == old, where + "what was loaded is not the old folder"
    put(found, target)
    next_save()
    after = tree(target)
    assert after == visible(after), where + "the next save leaves something behind"
    whole = new if next_save is save else old if visible(found) == old and not is_committed else new
    assert {**after, **(whole or {})} == after, where + "the next save is not whole"


def _differences(found: Tree | None, new: Tree) -> str:
    found = found or {}
    return f"not the new folder: {sorted(name for name in {*found, *new} if found.get(name) != new.get(name))}"


def outcomes(save: Callable[[], object], target: Path, old: Tree | None) -> list[tuple[str, int, int, Tree | None]]:
    """Run ``save`` with each fault at each point; return fault, point, how the save ended, and the folder then."""
    found: list[tuple[str, int, int, Tree | None]] = []

    def at_first() -> None:
        for fault in FAULTS:
            number, status = 0, 0
            while status != _NOT_REACHED:
                number += 1
                put(old, target)
                child = os.fork()
                if not child:
                    run.fault, run.left, run.is_active = fault, number, True
                    return
                status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                if status != _NOT_REACHED:
                    found.append((fault, number, status, tree(target)))
        raise _Done

    global _run
    put(old, target)
    _run = run = _Run(str(target), at_first)
    status = _RETURNED
    try:
        save()
    except _Done:
        return found
    except KeyboardInterrupt:
        status = _INTERRUPTED
    except OSError:
        status = _REFUSED
    except BaseException:
        status = _FAILED
        traceback.print_exc()
    finally:
        _run = None
        if run.fault:  # a child
            sys.stderr.flush()
            os._exit(_NOT_REACHED if run.left > 0 else status)
    raise AssertionError("the save changed nothing")
