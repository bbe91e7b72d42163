"""Ask storage until it answers: it throttles, times out and loses answers, and mostly only for a moment.

What is asked again must be harmless when it was done already.
"""

import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

from airflow_batchinfer.errors import BatchInferError, StorageError

log = logging.getLogger(__name__)
Answer = TypeVar("Answer")

TRIES = 7
FIRST_PAUSE_SECONDS = 0.1
# Answers, not failures: asking again would say the same. What is an error of ours has been asked for often enough.
_ANSWERS = (FileNotFoundError, FileExistsError, PermissionError, IsADirectoryError, NotADirectoryError, BatchInferError)
# Azure's library raises none of these, but says so by a status.
_ANSWER_OF_STATUS = {401: PermissionError, 403: PermissionError, 404: FileNotFoundError}


def insist(ask: Callable[[], Answer], where: str) -> Answer:
    """Ask until there is an answer, with pauses that double and differ between the askers; StorageError if there is none."""
    for attempt in range(TRIES):
        try:
            return ask()
        except _ANSWERS:
            raise
        except Exception as error:
            if answer := _ANSWER_OF_STATUS.get(getattr(error, "status_code", 0)):
                raise answer(_told(error)) from error
            if attempt == TRIES - 1:
                raise storage_failed(where, error) from error
            pause = FIRST_PAUSE_SECONDS * 2**attempt * random.uniform(0.5, 1.5)  # noqa: S311 - spreads the askers, hides nothing
            log.debug("storage failed at %s (%r); asking again in %.1f s", where, error, pause)
            time.sleep(pause)
    raise AssertionError("unreachable")


def storage_failed(where: str, error: Exception) -> StorageError:
    """What a person is told in the end."""
    return StorageError(f"storage failed at {where}: {_told(error)}. Check the address, credentials and service")


def _told(error: Exception) -> str:
    """What an error says; after its first line Azure's goes on with ids and XML."""
    text = str(error) or type(error).__name__
    return text.partition("\n")[0] if hasattr(error, "status_code") else text
