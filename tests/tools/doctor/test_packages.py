"""Versions of packages, those that are there and those that are not."""

# mypy: ignore-errors

from importlib import metadata

import pytest

from layercc.tools.doctor import packages
from layercc.tools.doctor.registry import Machine
from tests.tools.doctor.asking import asked, concluded


@pytest.mark.parametrize(
    ("line", "name", "clauses"),
    [
        ("numpy>=2.0", "numpy", ">=2.0"),
        ("numpy<2.6,>=1.22", "numpy", "<2.6,>=1.22"),
        ("ml_dtypes (>=0.5)", "ml_dtypes", ">=0.5"),
        ("numba", "numba", ""),
        ("layercc[test]; extra == 'dev'", "", ""),
        ("colorama; sys_platform == 'win32'", "", ""),
        ("???", "", ""),
    ],
)
def test_requirements(line, name, clauses):
    assert packages.parse_requirement(line) == (name, clauses)


@pytest.mark.parametrize(
    ("version", "clauses", "fits"),
    [
        ("2.4.6", ">=2.0", True),
        ("1.26.4", ">=2.0", False),
        ("0.50.0", "<0.51,>=0.50.0dev0", True),
        ("0.47.0", "<0.51,>=0.50.0dev0", False),
        ("0.51.0", "<0.51", False),
        ("2", "==2.0.0", True),
        ("2.13.0+cpu", "==2.13.0", True),
        ("2.5", "!=2.5", False),
        ("1.4.9", "~=1.4.2", True),
        ("1.5.0", "~=1.4.2", False),
        ("2.0", ">1,<=2", True),
        ("2.0", "==2.*", None),
        ("2.0", "===2.0", None),
    ],
)
def test_versions(version, clauses, fits):
    assert packages.fits_all(version, clauses) is fits


def without(monkeypatch, missing, versions=None):
    """Makes packages look as if they were not installed, or of other versions."""
    real = metadata.version

    def version(name):
        if name in missing:
            raise metadata.PackageNotFoundError(name)
        return (versions or {}).get(name) or real(name)

    monkeypatch.setattr(packages.metadata, "version", version)


def test_packages_as_they_are():
    fact = asked("packages", "needed", Machine())
    assert set(fact.value) >= {"numpy", "numba", "llvmlite", "onnx", "ml_dtypes", "rich"}
    assert concluded(fact) == []
    assert fact.value["numpy"]["version"] == metadata.version("numpy")


def test_optional_packages(monkeypatch):
    without(monkeypatch, {"onnxruntime"}, {"openvino": "2026.1"})
    fact = asked("optional packages", "onnxruntime", Machine())
    assert fact.value is None
    assert fact.text.startswith("not installed: pip install onnxruntime")
    assert asked("optional packages", "openvino", Machine()).text == "2026.1"


def test_a_package_that_is_missing(monkeypatch):
    without(monkeypatch, {"llvmlite"})
    fact = asked("packages", "needed", Machine())
    assert fact.value["llvmlite"]["version"] is None and "llvmlite\u00a0missing" in fact.text
    assert concluded(fact) == ["packages"]


def test_a_version_that_another_package_does_not_want(monkeypatch):
    """Numba is made for one version of llvmlite."""
    without(monkeypatch, set(), {"llvmlite": "0.99.0"})
    fact = asked("packages", "needed", Machine())
    assert fact.value["llvmlite"]["fits"] is False
    assert "llvmlite 0.99.0 (>=0.47, <" in fact.text.replace("\u00a0", " ")


def test_not_installed_itself(monkeypatch):
    """From its source, with no metadata."""
    real = metadata.requires

    def requires(name):
        if name == "layercc":
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(packages.metadata, "requires", requires)
    assert "numba" in asked("packages", "needed", Machine()).value
