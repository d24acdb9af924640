"""The cache of compiled kernels: where it is, whether it works, and what is in it."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import warnings
from collections import Counter
from pathlib import Path

from layercc.cpu.isa import Isa
from layercc.tools.doctor.registry import Facts, Machine, binary, fact

#: Entries whose contents are looked at, those used last: it takes a third of a millisecond each.
_LOOKED_AT = 2000


@fact("kernel cache", "folder", none="none: it is off")
def folder(machine: Machine) -> str | None:
    from layercc.kernels.cache import cache_folder

    where = cache_folder()
    return None if where is None else str(where)


@fact("kernel cache", "usable", show=lambda fault: fault or "yes")
def fault(machine: Machine) -> str:
    """Why it is not used; empty where it is."""
    from layercc.kernels.cache import SWITCH_VARIABLE, open_cache

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        cache = open_cache()
    if cache is not None:
        return ""
    return str(told[0].message) if told else f"{SWITCH_VARIABLE}=0"


@fact("kernel cache", "writable")
def writable(machine: Machine, facts: Facts) -> bool | None:
    where = _folder(facts)
    if where is None:
        return None
    try:
        with tempfile.NamedTemporaryFile(suffix=".partial", dir=where):
            return True
    except OSError:
        return False


@fact("kernel cache", "free space", show=binary)
def free_space(machine: Machine, facts: Facts) -> int | None:
    where = _folder(facts)
    return None if where is None else shutil.disk_usage(where).free


def _show_entries(found: dict[str, int]) -> str:
    looked_at = found["current"] + found["other"] + found["damaged"]
    some = f"; of the {looked_at} last used" if looked_at < found["count"] else ""
    return (
        f"{found['count']}, {binary(found['bytes'])} of {binary(found['limit'])}{some}: "
        f"{found['current']} for this version and machine, {found['other']} for others, "
        f"{found['damaged']} damaged"
    )


@fact("kernel cache", "entries", show=_show_entries)
def entries(machine: Machine, facts: Facts) -> dict[str, int] | None:
    """Kernels on disk. Those for others are for other versions of layercc and of what it compiles
    with, for instruction sets that are not this machine's, or of functions that a user wrote."""
    where = _folder(facts)
    if where is None:
        return None
    from layercc.cpu.isa import host_isa, known_isas
    from layercc.kernels.cache import LIMIT_BYTES, SUFFIX

    files = []
    for file in os.scandir(where):
        if file.name.endswith(SUFFIX):
            with contextlib.suppress(FileNotFoundError):  # another process trims the cache
                status = file.stat()
                files.append((status.st_mtime, status.st_size, Path(file.path)))
    files.sort(reverse=True)
    found = {"count": len(files), "bytes": sum(size for _, size, _ in files), "limit": LIMIT_BYTES}
    kinds = Counter(_kind(path, {host_isa(), *known_isas()}) for _, _, path in files[:_LOOKED_AT])
    return found | {kind: kinds[kind] for kind in ("current", "other", "damaged")}


def _kind(path: Path, isas: set[Isa]) -> str:
    """What an entry is: `current`, for one of these instruction sets, `other` or `damaged`."""
    from layercc.cpu.runtime.kernel_cache import entry_name
    from layercc.kernels.cache import SUFFIX, CompiledKernel, CorruptEntry, ForeignEntry

    try:
        key = CompiledKernel.from_bytes(path.read_bytes()).key
        names = {f"{entry_name(key, isa)}{SUFFIX}" for isa in isas}
    except (ForeignEntry, KeyError, FileNotFoundError):  # KeyError: a family that there is not
        return "other"
    except CorruptEntry:
        return "damaged"
    return "current" if path.name in names else "other"


def _folder(facts: Facts) -> Path | None:
    where = facts.value("kernel cache", "folder")
    return Path(where) if where and Path(where).is_dir() else None
