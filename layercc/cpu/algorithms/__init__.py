"""Algorithms: for one job, several ways to compute it, a file each.

Each says whether it fits a job at a precision, what it would cost, and how it is emitted. They are
found by being there.
"""
