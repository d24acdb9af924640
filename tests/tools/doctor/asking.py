"""What tests of `layercc doctor` share: trees of files, facts asked for, conclusions drawn."""

# mypy: ignore-errors

from layercc.tools.doctor import examine
from layercc.tools.doctor.registry import Fact, Facts, conclusions, probes

assert examine  # registers them

CHECKED = {"seconds": 0.5, "error": 1e-7, "same": True, "result": "00", "threads": 2}


def limits(threads):
    rates = {"f32": 1e11 * threads}
    return {"device": "", "threads": threads, "flops": rates, "bytes_per_second": {"memory": 1e10}}


def tree(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def asked(section, name, machine, *told):
    """One fact, given others."""
    probe = next(probe for probe in probes if (probe.section, probe.name) == (section, name))
    return probe.fact(machine, Facts(told))


def concluded(*facts):
    """The names of the conclusions that find something in these facts alone."""
    found = []
    for conclude in conclusions:
        told = conclude(Facts(facts))
        if told is not None and (not hasattr(told, "__next__") or list(told)):
            found.append(conclude.__name__)
    return found


def known(section, **values):
    return [Fact(section, name.replace("_", " "), value, "") for name, value in values.items()]
