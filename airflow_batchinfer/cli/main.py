"""From arguments to a command, and from an error to an exit code and a message."""

import io
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

from airflow_batchinfer.cli.parser import parse
from airflow_batchinfer.errors import BatchInferError, ConfigError, NotFoundError

DONE, FAILED, WRONG_ARGUMENTS, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # it may be closed
            stream.reconfigure(errors="backslashreplace")  # names may hold bytes that no terminal can show
    options = parse(list(sys.argv[1:] if arguments is None else arguments))
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        options.command(options)
    except (ConfigError, NotFoundError) as error:
        _say(f"batchinfer: {error}")
        return WRONG_ARGUMENTS
    except BatchInferError as error:
        _say(f"batchinfer: {error}")
        return FAILED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # whoever read us has gone: nothing more to say
        return FAILED
    except KeyboardInterrupt:
        anew = getattr(options, "no_reuse", False)
        _say(f"batchinfer: interrupted. What is done is kept; run the same command again{' without --no-reuse' if anew else ''} to resume")
        os._exit(INTERRUPTED)  # storage that does not answer must not hold the terminal
    return DONE


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt


def _say(text: str) -> None:
    if sys.stderr:
        print(text, file=sys.stderr, flush=True)
