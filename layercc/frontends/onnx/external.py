"""Files beside a model that hold its weights, opened without trust in the model.

**The rule.** A location is a relative path that does not leave the folder that the model's own name
lies in; `./sub/../w.bin` is inside. Links are followed from there: every name on the way must lie
in that folder, or below, or in the one folder that the model's own name leads to if it is a link,
not below it. So a model in a Hugging Face cache, `snapshots/x/one.onnx → ../../blobs/aa`, finds its
data `snapshots/x/one.onnx_data → ../../blobs/bb`; a link to anything else, `/etc/passwd` or the
folder above, is refused. What is opened is a regular file, no pipe or device; hard links are files
like any other.
"""

from __future__ import annotations

import mmap
import os
import posixpath
import stat
from pathlib import Path, PureWindowsPath

from ir.diagnostics import InvalidModelError

#: Links that are followed for one file, as many as Linux does.
_MOST_LINKS = 40


class ExternalData:
    """The external data of the model named `model`, read from the disk once a file."""

    def __init__(self, model: str | os.PathLike[str]) -> None:
        self.folder = Path(os.path.realpath(Path(model).parent))
        self._leads_to = Path(os.path.realpath(model)).parent
        self._files: dict[str, mmap.mmap | bytes] = {}

    def file(self, location: str, where: str) -> mmap.mmap | bytes:
        """The bytes of the file at `location`; `where` says whose data it is, for errors.

        Raises InvalidModelError where the rule above forbids the file, or it cannot be read.
        """
        if location not in self._files:
            self._files[location] = self._map(location, where)
        return self._files[location]

    def _map(self, location: str, where: str) -> mmap.mmap | bytes:
        try:
            path = self._resolved(location, where)
            # O_NONBLOCK: opening a pipe must not wait for a writer
            flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
            handle = os.open(path, flags)
        except OSError as error:
            raise InvalidModelError(f"{where}: cannot read external data: {error}") from None
        try:
            if not self._is_opened(handle, path):
                raise self._outside(location, where)
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise InvalidModelError(f"{where}: external data {path} is not a regular file")
            if status.st_size == 0:
                return b""
            return mmap.mmap(handle, 0, access=mmap.ACCESS_READ)
        finally:
            os.close(handle)

    def _resolved(self, location: str, where: str) -> Path:
        """The file that a location names, all links followed; it need not exist."""
        plain = posixpath.normpath(location.replace("\\", "/"))
        if not location or "\0" in location or plain == ".":
            raise InvalidModelError(f"{where}: its external data {location!r} names no file")
        if PureWindowsPath(location).anchor or plain.split("/")[0] == "..":
            raise self._outside(location, where)
        path = self.folder / location
        for _ in range(_MOST_LINKS):
            folder = Path(os.path.realpath(path.parent))
            if not self._may_hold(folder) or path.name == "..":
                raise self._outside(location, where)
            path = folder / path.name
            if not path.is_symlink():
                return path
            path = folder / os.readlink(path)
        raise InvalidModelError(f"{where}: external data {location!r}: too many links, or a circle")

    def _may_hold(self, folder: Path) -> bool:
        """Whether data may lie in a folder, given without links."""
        return folder.is_relative_to(self.folder) or folder == self._leads_to

    def _is_opened(self, handle: int, path: Path) -> bool:
        """Whether an open file is one that may be read: links may have changed since `path` was
        resolved. Linux knows where an open file lies."""
        try:
            actual = os.readlink(f"/proc/self/fd/{handle}")
        except OSError:  # another system
            return os.path.samestat(os.fstat(handle), os.lstat(path))
        return self._may_hold(Path(actual).parent)

    def _outside(self, location: str, where: str) -> InvalidModelError:
        return InvalidModelError(
            f"{where}: external data {location!r} lies outside the model's folder {self.folder}"
        )
