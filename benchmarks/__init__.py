"""The speed promises of the design, each measured as a ratio in one run on one machine.

Run by `make bench`, or `python -m benchmarks S1 P7 --quick`. Nothing in the package imports this,
and nothing here reaches into the engine: it is started as a command, as a user would.
"""
