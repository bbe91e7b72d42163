"""From whose fault it is to what Airflow does: what someone must change does not try again, what the surroundings did does.

Where the script is at fault its own traceback comes first in the task's log, before Airflow's; what follows from it, and what
to do, is the text of Airflow's error, so that the log also ends with it and a callback gets it.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from airflow_batchinfer.errors import ConfigError, ConflictError, NotFoundError, TransientError, UserError

log = logging.getLogger(__name__)

HOW_AGAIN = (
    "In Airflow that is: clear this step from its plan on, or trigger a new run. Its nodes alone would work with what was planned. "
    "The commands begin with airflow there: airflow batchinfer jobs ..."
)


@contextmanager
def told_to_airflow(*never_retried: type[TransientError], how_again: str = "") -> Iterator[None]:
    """Turn our errors into Airflow's.

    :param never_retried: What no retry of this very task can mend, though another task's may.
    :param how_again: What to do in Airflow when the script, its items or the thresholds are changed.
    """
    try:
        yield
    except UserError as error:
        is_ours = not isinstance(error, (ConfigError, NotFoundError, ConflictError))
        told = "\n".join(filter(None, (error.told, how_again if is_ours else "")))
        if error.of_the_script:
            log.error("%s\n\n%s", error.of_the_script, told)  # noqa: TRY400 - the traceback that matters is the script's
        # A folder that storage does not give now is told as a wrong one, but it may be the right one in a minute.
        may_work_later = isinstance(error.__cause__, TransientError)
        raise (AirflowException if may_work_later else AirflowFailException)(told) from None
    except TransientError as error:
        raise (AirflowFailException if isinstance(error, never_retried) else AirflowException)(str(error)) from None
