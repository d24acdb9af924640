"""Compiled kernels on disk.

One file a kernel, in ``LAYERCC_CACHE_DIR`` or the user's cache folder. A file's name is a digest
of all that its contents depend on, so an entry is never stale, only unused; the oldest go when
the folder outgrows its limit. Entries hold machine code: a folder that others may write to is
refused. ``LAYERCC_CACHE=0`` turns the cache off.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import json
import logging
import os
import re
import stat
import sys
import tempfile
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from layercc.kernels.declaration import (
    Argument,
    KernelFamily,
    KernelKey,
    Kind,
    Signature,
    module_file,
)
from layercc.kernels.functions import is_digested

log = logging.getLogger(__name__)

FOLDER_VARIABLE = "LAYERCC_CACHE_DIR"
SWITCH_VARIABLE = "LAYERCC_CACHE"
LIMIT_BYTES = 512 << 20

_MAGIC = b"layercc2"  # the last character is the version of the format
_DIGEST_BYTES = 32
SUFFIX = ".kernel"
_TEMPORARY = ".partial"
_TEMPORARY_LIFE_SECONDS = 3600.0
_STORES_BETWEEN_TRIMS = 64
_STARTED = time.time()


class CorruptEntry(ValueError):
    """A cache file is cut short, damaged, or not a cache file."""


class ForeignEntry(CorruptEntry):
    """A cache file of another version of the format."""


@dataclass(frozen=True)
class CompiledKernel:
    """A kernel as code for some machine; ``symbol`` is the function in it.

    ``facts`` are what a target wants to know of the code besides.
    """

    key: KernelKey
    signature: Signature
    symbol: str
    code: bytes
    facts: Mapping[str, str | int] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Magic, SHA-256 of the rest, length of the header, header (JSON), code."""
        header = json.dumps(
            {
                "key": self.key.to_json(),
                "signature": [[item.name, str(item.kind)] for item in self.signature],
                "symbol": self.symbol,
                "facts": dict(self.facts),
            }
        ).encode()
        rest = len(header).to_bytes(4, "little") + header + self.code
        return _MAGIC + hashlib.sha256(rest).digest() + rest

    @staticmethod
    def from_bytes(data: bytes) -> CompiledKernel:
        """The inverse of ``to_bytes``; raises CorruptEntry where ``data`` is not intact, and
        ForeignEntry where it is in another format."""
        magic = data[: len(_MAGIC)]
        if magic != _MAGIC and magic[:-1] == _MAGIC[:-1]:
            raise ForeignEntry(f"the format is {magic!r}")
        start = len(_MAGIC) + _DIGEST_BYTES
        digest, rest = data[len(_MAGIC) : start], data[start:]
        if magic != _MAGIC or hashlib.sha256(rest).digest() != digest:
            raise CorruptEntry("wrong magic number or checksum")
        length = int.from_bytes(rest[:4], "little")
        header = json.loads(rest[4 : 4 + length])
        signature = tuple(Argument(name, Kind.parse(kind)) for name, kind in header["signature"])
        key = KernelKey.from_json(header["key"])
        code = rest[4 + length :]
        return CompiledKernel(key, signature, header["symbol"], code, header["facts"])


class KernelCache:
    """A folder of compiled kernels, shared by processes. Failures to read or write are misses."""

    def __init__(self, folder: Path, limit_bytes: int = LIMIT_BYTES) -> None:
        self.folder = folder
        self.limit_bytes = limit_bytes
        self._stores = 0

    def load(self, name: str) -> CompiledKernel | None:
        """The entry ``name``, or None where there is none or it is damaged."""
        path = self.folder / (name + SUFFIX)
        try:
            kernel = CompiledKernel.from_bytes(path.read_bytes())
            os.utime(path)  # marks it as used, for trim
        except FileNotFoundError:
            return None
        except (OSError, CorruptEntry) as error:
            log.debug("kernel cache entry %s is unusable: %s", path, error)
            return None
        return kernel

    def store(self, name: str, kernel: CompiledKernel) -> bool:
        """Write the entry ``name`` so that readers see all of it or nothing; False on failure."""
        if not self.write(name + SUFFIX, kernel.to_bytes()):
            return False
        if self._stores % _STORES_BETWEEN_TRIMS == 0:
            self.trim()
        self._stores += 1
        return True

    def write(self, file_name: str, data: bytes) -> bool:
        """Write a file of the folder so that readers see all of it or nothing; False on failure."""
        temporary = None
        try:
            handle, temporary = tempfile.mkstemp(suffix=_TEMPORARY, dir=self.folder)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(temporary, self.folder / file_name)
        except OSError as error:
            log.debug("kernel cache: cannot write %s: %s", file_name, error)
            if temporary is not None:
                Path(temporary).unlink(missing_ok=True)
            return False
        return True

    def trim(self) -> None:
        """Remove the entries used longest ago until the folder is within its limit."""
        entries = []
        total = 0
        now = time.time()
        try:
            files = list(os.scandir(self.folder))
        except OSError as error:
            log.debug("kernel cache: cannot list %s: %s", self.folder, error)
            return
        for file in files:
            try:
                status = file.stat()
                if file.name.endswith(SUFFIX):
                    entries.append((status.st_mtime, status.st_size, file.path))
                    total += status.st_size
                elif (
                    file.name.endswith(_TEMPORARY)
                    and now - status.st_mtime > _TEMPORARY_LIFE_SECONDS
                ):
                    os.unlink(file.path)
            except OSError as error:  # another process may have removed it
                log.debug("kernel cache: %s", error)
        for _, size, path in sorted(entries):
            if total <= self.limit_bytes:
                break
            Path(path).unlink(missing_ok=True)
            total -= size


def cache_folder() -> Path | None:
    """Where the environment wants the cache, or None where it wants none."""
    if os.environ.get(SWITCH_VARIABLE, "1") == "0":
        return None
    wanted = os.environ.get(FOLDER_VARIABLE)
    if wanted:
        return Path(wanted)
    import platformdirs

    return platformdirs.user_cache_path("layercc", appauthor=False) / "kernels"


def open_cache() -> KernelCache | None:
    """The cache that the environment asks for, or None where it is off or its folder unsafe."""
    folder = cache_folder()
    if folder is None:
        return None
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fault = _fault(folder.stat())
    except OSError as error:
        fault = str(error)
    if fault:
        warnings.warn(
            f"layercc does not cache compiled kernels in {folder}: {fault}. Set {FOLDER_VARIABLE} "
            "to a folder that only you can write to.",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    return KernelCache(folder)


def _fault(status: os.stat_result) -> str:
    """Why machine code may not be loaded from a folder with ``status``; empty where it may."""
    if not stat.S_ISDIR(status.st_mode):
        return "it is not a folder"
    if not hasattr(os, "getuid"):
        return ""
    if status.st_uid != os.getuid():
        return "it belongs to another user"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return "others may write to it"
    return ""


def entry_name(key: KernelKey, family: KernelFamily, machine: str, compiler: str) -> str | None:
    """The digest of all that the code of ``key``, one of ``family``, depends on.

    ``machine`` says what it is for, and by which tools besides Python's own it is made;
    ``compiler`` is the source file that makes it. None, for no caching, where the kernel's source
    is in no file (an interactive session), or was edited after this process started and so may not
    be what the process runs; and where the key names a function that has no digest.
    """
    source = module_file(family)
    if source is None or not os.path.exists(source) or not is_digested(key.params):
        return None
    files = _closure(source) | _closure(compiler)
    if any(_edited(path) for path in files):
        return None
    digests = [_digest(path) for path in sorted(files)]
    parts = [repr(key), machine, _toolchain(), *digests]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


@functools.cache
def _toolchain() -> str:
    """Versions of what turns a Python kernel into object code."""
    import llvmlite
    import numpy

    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return f"python {python} numpy {numpy.__version__} llvmlite {llvmlite.__version__} " + (
        f"numba {_numba_version()}"
    )


def _numba_version() -> str:
    """Numba's version without importing Numba, nor importlib.metadata if it can be helped."""
    found = importlib.util.find_spec("numba")
    if found is not None and found.origin is not None:
        stamp = Path(found.origin).with_name("_version.py")
        if stamp.exists():
            return hashlib.sha256(stamp.read_bytes()).hexdigest()
    from importlib.metadata import version

    return version("numba")


_ROOT = str(Path(__file__).parents[2])
_MODULE = r"((?:layercc|ir)\b[\w.]*)"
_IMPORT = re.compile(
    rf"^[ \t]*(?:from[ \t]+{_MODULE}[ \t]+import[ \t]+(\([^)]*\)|[^\n]*)|import[ \t]+{_MODULE})",
    re.MULTILINE,
)


@functools.cache
def _read(path: str) -> bytes:
    return Path(path).read_bytes()


@functools.cache
def _digest(path: str) -> str:
    return hashlib.sha256(_read(path)).hexdigest()


@functools.cache
def _edited(path: str) -> bool:
    """Whether the file at ``path`` is younger than this process."""
    return os.stat(path).st_mtime > _STARTED


@functools.cache
def _closure(path: str) -> frozenset[str]:
    """The source file ``path`` and what it imports of layercc and ir, however deep."""
    seen = {path}
    todo = [path]
    while todo:
        for found in _imports(todo.pop()):
            if found not in seen:
                seen.add(found)
                todo.append(found)
    return frozenset(seen)


@functools.cache
def _imports(path: str) -> tuple[str, ...]:
    found: list[str | None] = []
    for module, names, plain in _IMPORT.findall(_read(path).decode("utf-8")):
        file = _file_of(module or plain)
        if file or not names:
            found.append(file)
        else:  # a package, of which modules are imported
            found += [_file_of(f"{module}.{name}") for name in re.findall(r"\w+", names)]
    return tuple(filter(None, found))


@functools.cache
def _file_of(module: str) -> str | None:
    """The source file of a module; None if it is none, or a package."""
    path = os.path.join(_ROOT, *module.split(".")) + ".py"
    return path if os.path.exists(path) else None
