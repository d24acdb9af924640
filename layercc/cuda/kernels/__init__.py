"""Kernel families for graphics processors, a file for each kind of work."""
