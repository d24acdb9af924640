"""The reference tables in docs/ say what the registries say."""

from __future__ import annotations

import pytest

from ir.registry import all_ops
from layercc import layers
from layercc.tools import docs


@pytest.mark.parametrize("page", docs.PAGES)
def test_up_to_date(page):
    written = (docs.FOLDER / page).read_text(encoding="utf-8")
    assert written == docs.PAGES[page](), f"docs/{page} is out of date; run: {docs.COMMAND}"


def test_every_op_and_layer_is_there():
    ops, classes = docs.ops_page(), docs.layers_page()
    assert all(f"\n| `{op.name}` |" in ops for op in all_ops())
    public = [name for name in layers.__all__ if callable(getattr(layers, name))]
    assert all(f"\n| `{name}` |" in classes for name in public)


def test_decomposed_ops_are_found():
    assert {"Gemm", "BatchNormalization"} <= docs.decomposed_ops()


def test_main_writes_all_pages(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["docs", str(tmp_path)])
    docs.main()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(docs.PAGES)
    assert "ops.md" in capsys.readouterr().out
