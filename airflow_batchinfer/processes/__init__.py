"""Child processes that run a user's script: started through a keeper, killed, collected, their output shown.

Both the engine and the service stand on this, and neither is known here. It knows no policy and no frames: what a child is told
and when it is killed, others decide.
"""

from airflow_batchinfer.processes.child import PIPE_BYTES, Child, Launch, pipe, without_secrets
from airflow_batchinfer.processes.showing import FAREWELL_SECONDS, MOST_CHARACTERS, SHOWN_BYTES_PER_SECOND, Budget, Show, Showing

__all__ = [
    "FAREWELL_SECONDS",
    "MOST_CHARACTERS",
    "PIPE_BYTES",
    "SHOWN_BYTES_PER_SECOND",
    "Budget",
    "Child",
    "Launch",
    "Show",
    "Showing",
    "pipe",
    "without_secrets",
]
