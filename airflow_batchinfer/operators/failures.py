"""From whose fault it is to what Airflow does: what someone must change does not try again, what the surroundings did does.

Where the script is at fault its own traceback comes first in the task's log, before Airflow's; what follows from it, and what
to do, is the text of Airflow's error, so that the log also ends with it and a callback gets it.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from airflow_batchinfer.errors import TransientError, UserError

log = logging.getLogger(__name__)

HOW_AGAIN = "In Airflow that is: clear this step from its plan on, or trigger a new run. Its nodes alone would work with what was planned."


@contextmanager
def told_to_airflow(*never_retried: type[TransientError], how_again: str = "") -> Iterator[None]:
    """Turn our errors into Airflow's.

    :param never_retried: What no retry of this very task can mend, though another task's may.
    :param how_again: What to do in Airflow when what someone must change is changed.
    """
    try:
        yield
    except (UserError, TransientError) as error:
        # A folder that storage does not give now is told as a wrong one, but it may be the right one in a minute.
        is_final = isinstance(error, (UserError, *never_retried)) and not isinstance(error.__cause__, TransientError)
        of_the_script, told = taken_apart(str(error))
        if how_again and isinstance(error, UserError):
            told = f"{told}\n{how_again}"
        if of_the_script:
            log.error("%s\n\n%s", of_the_script, told)  # noqa: TRY400 - the traceback that matters is the script's
        raise (AirflowFailException if is_final else AirflowException)(told) from None


def taken_apart(story: str) -> tuple[str, str]:
    """What the script said, if the story tells that, and the rest: a line before it, if there is one, and the last paragraph."""
    first, *others = story.split("\n\n")
    if not others:
        return "", story
    if first.startswith("Traceback"):
        return "\n\n".join([first, *others[:-1]]).rstrip(), others[-1]
    return "\n\n".join(others[:-1]).rstrip(), f"{first}\n{others[-1]}"
