"""Findings from facts."""

# mypy: ignore-errors

import pytest

from layercc.tools.doctor.registry import Fact, probes
from tests.tools.doctor.asking import concluded, known, limits


def test_nothing_is_found_where_nothing_is_known():
    assert concluded() == []
    unknown = [
        Fact(probe.section, probe.name, None, "not known", True)
        for probe in probes
        if probe.section != "check" and probe.name != "instruction set"
    ]
    assert concluded(*unknown) == []


@pytest.mark.parametrize(
    ("facts", "found"),
    [
        (known("processor", instruction_set="avx2", best_instruction_set="avx512"), ["narrowed"]),
        (known("processor", instruction_set="avx2", best_instruction_set="avx2"), []),
        (known("processor", best_instruction_set="portable"), ["portable"]),
        ([Fact("processor", "instruction set", None, "not known: ...", True)], ["wrong_variable"]),
        (known("processor", quota=1.5, allowed=4, layercc_runs_on=2), ["quota"]),
        (known("processor", quota=4.0, allowed=4, layercc_runs_on=4), []),
        (known("processor", quota=None, allowed=4, layercc_runs_on=4), []),
        (known("processor", allowed=2, processors=4), ["affinity"]),
        (known("processor", allowed=4, processors=4), []),
        (known("processor", threads_a_core=2, layercc_runs_on=2), ["shared_cores"]),
        (known("processor", threads_a_core=1), []),
        (known("processor", NUMA_nodes=2), ["several_nodes"]),
        (known("processor", NUMA_nodes=1), []),
        (known("processor", clock_governor=["performance", "powersave"]), ["powersave"]),
        (known("processor", clock_governor=["schedutil"]), []),
        (known("system", load=3.1) + known("processor", processors=4), ["busy"]),
        (known("system", load=1.0) + known("processor", processors=4), []),
        (known("system", taken_by_other_machines=0.25), ["stolen"]),
        (known("system", taken_by_other_machines=0.01), []),
        (known("memory", available=4 << 30, left_of_that=100 << 20), ["memory"]),
        (known("memory", available=100 << 20), ["memory"]),
        (known("memory", available=4 << 30, left_of_that=None), []),
        (known("memory", denormals_are_kept=False), ["denormals"]),
        (known("memory", denormals_are_kept=True), []),
        (known("kernel cache", folder=None), ["cache"]),
        (known("kernel cache", folder="/c", usable="others may write to it"), ["cache"]),
        (known("kernel cache", folder="/c", usable="", writable=False), ["cache"]),
        (known("kernel cache", folder="/c", usable="", free_space=1 << 20), ["cache"]),
        (known("kernel cache", folder="/c", usable="", entries={"damaged": 1}), ["cache"]),
        (
            known("kernel cache", folder="/c", usable="", writable=True, free_space=1 << 40)
            + known("kernel cache", entries={"damaged": 0}),
            [],
        ),
        (
            known("packages", needed={"numba": {"version": None, "wanted": [], "fits": False}}),
            ["packages"],
        ),
        (
            known("packages", needed={"numba": {"version": "1", "wanted": [">=2"], "fits": False}}),
            ["packages"],
        ),
        (
            known("packages", needed={"numba": {"version": "1", "wanted": ["?"], "fits": None}}),
            [],
        ),
        (known("environment", variables={"OMP_NUM_THREADS": "1"}), ["unread_variables"]),
        (known("environment", variables={"PYTHONDONTWRITEBYTECODE": "1"}), ["unread_variables"]),
        (known("environment", variables={"LAYERCC_ISA": "avx2"}), []),
        ([Fact("check", "a small model", None, "not known: SIGILL", True)], ["check"]),
        (known("check", a_small_model={"right": False, "error": 1.0, "same": True, "kept": True})
         , ["check"]),
        (known("check", a_small_model={"right": True, "same": False, "kept": True}), ["check"]),
        (known("check", a_small_model={"right": True, "same": True, "kept": False}), ["check"]),
        (known("check", a_small_model={"right": True, "same": True, "kept": True}), []),
        (
            known("limits", on_1_thread=limits(1))
            + known("limits", on_all_cores={**limits(2), "flops": {"f32": 1.2e11}}),
            ["slow_threads"],
        ),
        (known("limits", on_1_thread=limits(1), on_all_cores=limits(2)), []),
    ],
)  # fmt: skip
def test_findings(facts, found):
    assert concluded(*facts) == found
