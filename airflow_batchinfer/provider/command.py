"""`airflow batchinfer ...`: the same commands as `batchinfer`, in the workspace that Airflow's connection names."""

import argparse
import logging
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow.cli.cli_config import CLICommand


def get_commands() -> "list[CLICommand]":
    """What Airflow's command line adds to itself."""
    from airflow.cli.cli_config import ActionCommand, Arg, lazy_load_command

    what = Arg(("arguments",), nargs=argparse.REMAINDER, help="a command of batchinfer with its options")  # type: ignore[no-untyped-call]
    function = lazy_load_command("airflow_batchinfer.provider.command.run")
    return [ActionCommand(name="batchinfer", help="Look at models, datasets and jobs of the workspace", func=function, args=(what,))]


def run(options: argparse.Namespace) -> None:
    """Hand the arguments to the command line."""
    from airflow_batchinfer.cli import main
    from airflow_batchinfer.cli.main import WRONG_ARGUMENTS
    from airflow_batchinfer.errors import ConfigError
    from airflow_batchinfer.hooks.storage import use_airflow_connections
    from airflow_batchinfer.hooks.workspace import workspace_url
    from airflow_batchinfer.workspace import ENVIRONMENT_VARIABLE

    # stdout is for what was asked.
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stdout:
            handler.setStream(sys.stderr)
    # Only a process of the server asks the database for connections, and an administrator's shell is one.
    os.environ["_AIRFLOW_PROCESS_CONTEXT"] = "server"
    use_airflow_connections()
    if ENVIRONMENT_VARIABLE not in os.environ and not any(word.split("=")[0] == "--workspace" for word in options.arguments):
        try:
            os.environ[ENVIRONMENT_VARIABLE] = workspace_url()
        except ConfigError as error:
            sys.stderr.write(f"batchinfer: {error}\n")
            sys.exit(WRONG_ARGUMENTS)
    sys.exit(main(options.arguments or ["--help"]))
