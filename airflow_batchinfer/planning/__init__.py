"""Decide what a job is: its mini-batches, its fingerprint, and which job a run works on.

The values here (`config`, `cutting`, `thresholds`, `choice`) do no I/O, start no process and read no clock. `planner` is
the one place that does what they decide.
"""
