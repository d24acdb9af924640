"""What follows from the facts, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterator

from layercc.tools.doctor.registry import Facts, Finding, binary, conclusion

_LITTLE_MEMORY = 1 << 30
_LITTLE_SPACE = 256 << 20
_BUSY = 0.75  # threads that want to run, by processor
_CORES_ALIKE = 0.75  # of what so many cores would reach, each as fast as one alone


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
def narrowed(facts: Facts) -> Finding | None:
    chosen = facts.value("processor", "instruction set")
    best = facts.value("processor", "best instruction set")
    if not chosen or not best or chosen == best:
        return None
    return Finding(
        "warning",
        f"LAYERCC_ISA narrows the instruction set to {chosen}; the processor has {best}",
        "models run slower than they could",
        "unset LAYERCC_ISA",
    )


@conclusion
def portable(facts: Facts) -> Finding | None:
    if facts.value("processor", "best instruction set") != "portable":
        return None
    return Finding(
        "warning",
        "the processor has no vector instructions that layercc has kernels for",
        "models run on 128-bit vectors without fused multiply-adds, at a fraction of the speed",
        "use a processor with AVX2, AVX-512 or NEON; in a virtual machine, let the one of the host "
        "be seen (for QEMU: -cpu host)",
    )


@conclusion
def quota(facts: Facts) -> Finding | None:
    quota, threads = facts.value("processor", "quota"), facts.value("processor", "layercc runs on")
    allowed = facts.value("processor", "allowed")
    if quota is None or allowed is None or quota >= allowed:
        return None
    held = facts.value("processor", "times held up by the quota")
    often = f"; it has been held up {held} times" if held else ""
    return Finding(
        "warning",
        f"a cgroup leaves {quota:g} of {allowed} processors' time",
        f"layercc runs on {threads} threads; when they have used up the quota, the kernel stops "
        f"them all until its period ends, some tens of milliseconds{often}",
        "ask for whole processors and at least as many as threads (Kubernetes: integer cpu limits; "
        "Docker: --cpus), or pass threads= to lc.compile",
    )


@conclusion
def affinity(facts: Facts) -> Finding | None:
    allowed, present = facts.value("processor", "allowed"), facts.value("processor", "processors")
    if allowed is None or present is None or allowed >= present:
        return None
    return Finding(
        "note",
        f"this process may run on {allowed} of {present} processors",
        "layercc uses those and no others",
        "nothing, if that is meant; it was set by taskset, numactl, a cpuset or a batch system",
    )


@conclusion
def shared_cores(facts: Facts) -> Finding | None:
    siblings = facts.value("processor", "threads a core")
    if siblings is None or siblings < 2:
        return None
    threads = facts.value("processor", "layercc runs on")
    return Finding(
        "note",
        f"{siblings} processors share a core (SMT)",
        f"threads on one core share its vector units, so layercc runs one a core: {threads}",
        "nothing",
    )


@conclusion
def several_nodes(facts: Facts) -> Finding | None:
    nodes = facts.value("processor", "NUMA nodes")
    if nodes is None or nodes < 2:
        return None
    return Finding(
        "note",
        f"the memory is in {nodes} NUMA nodes",
        "weights lie in the node of the thread that loaded the model; the others reach them slower",
        "for throughput run one process a node: numactl --cpunodebind=0 --membind=0 python ...",
    )


@conclusion
def powersave(facts: Facts) -> Finding | None:
    governors = facts.value("processor", "clock governor") or []
    slow = sorted({"powersave", "conservative"} & set(governors))
    if not slow:
        return None
    return Finding(
        "note",
        f"the clock governor is {', '.join(slow)}",
        "short runs may end before the clock has risen, and times vary (where the driver is "
        "intel_pstate or amd_pstate, powersave follows the load, and matters less)",
        "for measurements: cpupower frequency-set -g performance",
    )


@conclusion
def busy(facts: Facts) -> Finding | None:
    load, present = facts.value("system", "load"), facts.value("processor", "processors")
    if load is None or present is None or load <= _BUSY * present:
        return None
    return Finding(
        "note",
        f"the machine is busy: a load of {load:.1f} on {present} processors",
        "models run slower than they could, and limits may be measured too low (those in the cache "
        "are the largest that were ever met)",
        "run this again on an idle machine before comparing times",
    )


@conclusion
def memory(facts: Facts) -> Finding | None:
    left = [
        value
        for name in ("available", "left of that", "limit of the process")
        if (value := facts.value("memory", name)) is not None
    ]
    if not left or min(left) >= _LITTLE_MEMORY:
        return None
    return Finding(
        "warning",
        f"{binary(max(min(left), 0))} of memory are left",
        "each process that compiles kernels takes 150 MiB or more, and there are several; a model "
        "that does not fit is refused with a MemoryLimitError",
        "end other programs, or raise the limit (see the memory section)",
    )


@conclusion
def denormals(facts: Facts) -> Finding | None:
    if facts.value("memory", "denormals are kept") is not False:
        return None
    return Finding(
        "warning",
        "numbers below the smallest normal one are flushed to zero in this process",
        "a library that was built with -ffast-math has changed the floating-point mode; results "
        "differ from those of other processes",
        "find it by importing packages one by one; update it",
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
def slow_threads(facts: Facts) -> Finding | None:
    one, all_cores = facts.value("limits", "on 1 thread"), facts.value("limits", "on all cores")
    if not one or not all_cores:
        return None
    threads = all_cores["threads"]
    gain = all_cores["flops"]["f32"] / one["flops"]["f32"]
    if gain >= _CORES_ALIKE * threads:
        return None
    return Finding(
        "note",
        f"{threads} threads compute {gain:.1f} times as fast as one",
        "the processors are not cores of their own (virtual ones often are half of a core), are "
        "kept busy by others, or lower their clock when all work",
        "compare with threads=1 before you rent more of them",
    )
