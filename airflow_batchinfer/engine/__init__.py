"""Do: score a job.

    coordinator  >  supervisor | blocks | outputs  >  protocol | ledger

The coordinator is the one loop; the supervisor owns worker processes; blocks is the durable log that several nodes share;
outputs are segments of rows. `protocol` and `ledger` decide and describe: no I/O, no process, no clock.
"""
