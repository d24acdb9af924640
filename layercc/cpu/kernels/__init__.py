"""The kernel families, a few a file; `layercc.cpu.families` finds them by name."""
