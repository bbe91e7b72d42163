"""Decide what a job is: its mini-batches, its fingerprint, and which job a run works on.

The values here (`config`, `cutting`, `thresholds`, `choice`) do no I/O, start no process and read no clock. `planner`
does what they decide; `stored` knows how jobs, pins and endings lie in the workspace.
"""
