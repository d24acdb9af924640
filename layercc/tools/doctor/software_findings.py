"""What follows from the facts about layercc, and what it is built on, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator

from layercc.tools.doctor.registry import Facts, Finding, binary, conclusion

_LITTLE_SPACE = 256 << 20


@conclusion
def wrong_variable(facts: Facts) -> Finding | None:
    chosen = facts.find("processor", "instruction set")
    if chosen is None or not chosen.unknown:
        return None
    return Finding(
        "error",
        "no instruction set can be chosen",
        chosen.text,
        "unset LAYERCC_ISA, or set it to one that is named there",
    )


@conclusion
def check(facts: Facts) -> Iterator[Finding]:
    fact = facts.find("check", "a small model")
    if fact is None or wrong_variable(facts):
        return
    bug = "report it, with all of this"
    if fact.unknown:
        what = f"a small model could not be compiled and run: {fact.text}"
        yield Finding("error", what, "nothing that needs a kernel will run", bug)
        return
    if not fact.value["right"]:
        what = f"a small model gives wrong results: the error is {fact.value['error']:.1e}"
        yield Finding("error", what, "results of other models may be wrong as well", bug)
    if not fact.value["same"]:
        what = "a small model gave different results on one thread, on several, or from the cache"
        yield Finding("error", what, "they are meant to be the same to the bit", bug)
    if not fact.value["kept"]:
        what = "a second process did not find the kernels that the first one compiled"
        means = "each process compiles all kernels of its models anew, which takes seconds"
        yield Finding("warning", what, means, bug)


@conclusion
def packages(facts: Facts) -> Iterator[Finding]:
    for name, found in (facts.value("packages", "needed") or {}).items():
        wanted = ", ".join(found["wanted"])
        if found["version"] is None:
            yield Finding(
                "error", f"{name} is not installed", "layercc needs it", f"pip install '{name}'"
            )
        elif found["fits"] is False:
            yield Finding(
                "error",
                f"{name} is {found['version']}; wanted are {wanted}",
                "layercc, or a package that it is built on, was not made for that version",
                "pip install --upgrade --force-reinstall layercc, in a new environment if others "
                "want that version",
            )


@conclusion
def cache(facts: Facts) -> Iterator[Finding]:
    where, fault = facts.find("kernel cache", "folder"), facts.value("kernel cache", "usable")
    means = "each process compiles all kernels of its models anew, which takes seconds"
    if where is not None and where.value is None and not where.unknown:
        yield Finding("warning", "the kernel cache is off", means, "unset LAYERCC_CACHE")
    elif fault:
        do = "set LAYERCC_CACHE_DIR to a folder that only you can write to"
        yield Finding("warning", f"the kernel cache is not used: {fault}", means, do)
    elif facts.value("kernel cache", "writable") is False:
        yield Finding(
            "warning",
            "the folder of the kernel cache takes no files",
            f"kernels that are in it are used; for all others, {means}",
            "set LAYERCC_CACHE_DIR to a folder that you can write to, or make the cache complete "
            "where it is filled",
        )
    free = facts.value("kernel cache", "free space")
    if free is not None and free < _LITTLE_SPACE:
        yield Finding(
            "warning",
            f"{binary(free)} are free where the kernel cache is",
            "kernels that cannot be stored are compiled anew by each process",
            "make room, or set LAYERCC_CACHE_DIR to another disk",
        )
    damaged = (facts.value("kernel cache", "entries") or {}).get("damaged", 0)
    if damaged:
        yield Finding(
            "warning",
            f"{damaged} entries of the kernel cache are damaged",
            "they are compiled anew when they are next needed; a full disk or a crash of the "
            "machine leaves such files",
            "nothing; if there are more each time, check the disk",
        )


@conclusion
def other_c_library(facts: Facts) -> Finding | None:
    library = facts.value("system", "C library")
    if library != "musl":
        return None
    return Finding(
        "note",
        "the C library is musl",
        "layercc is tested with glibc; Numba and llvmlite have no wheels for musl",
        "use an image with glibc (python:3.12-slim rather than python:3.12-alpine)",
    )


@conclusion
def unread_variables(facts: Facts) -> Iterator[Finding]:
    variables = facts.value("environment", "variables") or {}
    counts = [name for name in variables if name.endswith("_NUM_THREADS")]
    if counts:
        yield Finding(
            "note",
            f"{', '.join(counts)}: set",
            "layercc has threads of its own and does not read it",
            "pass threads= to lc.compile for another number than is told above",
        )
    if variables.get("PYTHONDONTWRITEBYTECODE"):
        yield Finding(
            "note",
            "PYTHONDONTWRITEBYTECODE is set",
            "unless bytecode is there already, each process translates all modules that it "
            "imports; where kernels are compiled, those of Numba: seconds",
            "unset it, or run python -m compileall on site-packages when the image is built",
        )
