"""What follows from the facts about the machine, and what to do about it."""

from __future__ import annotations

from layercc.tools.doctor.registry import Facts, Finding, binary, conclusion

_LITTLE_MEMORY = 1 << 30
_BUSY = 0.75  # threads that want to run, by processor
_STOLEN = 0.02
_CORES_ALIKE = 0.75  # of what so many cores would reach, each as fast as one alone


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
def stolen(facts: Facts) -> Finding | None:
    part = facts.value("system", "taken by other machines")
    if part is None or part <= _STOLEN:
        return None
    return Finding(
        "note",
        f"other virtual machines took {part:.0%} of the time that this one wanted",
        "times vary, and are longer than on processors of one's own",
        "compare medians of many runs; rent processors that are not shared",
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
