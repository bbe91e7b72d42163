"""`make demo`: a real Airflow scores handwritten digits with the DAG of lesson 1, and the answers are compared with the truth.

`make up`: the same Airflow with everything that the lessons need, for as long as you like. All of it lies under build/. Whatever
ends this program, nothing that it started is left running.
"""

import os
import shutil
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import material
from rest import Rest, wait_until
from standalone import HOST, NotHealthyError, Standalone
from watching import watch

ROOT = Path(__file__).resolve().parents[2]
DAGS = ROOT / "dags"
DAG = "mnist_batch_scoring"
STEP = "predict-digits-mnist"
POOL, SLOTS = "gpu_pool", 2
# The other lessons run by the calendar: nobody wants their missed days at once.
WAITING_FOR_A_CLICK = (
    DAG,
    "score_again",
    "error_budget",
    "score_and_announce",
    "report_on_digits",
    "many_models",
    "serve_digits",
    "try_a_service",
)
UI_PORT = 8080
SHOWN = 5
MOST_SECONDS = 600
BEGAN = time.monotonic()


def demo() -> None:
    home = ROOT / "build" / "demo"
    shutil.rmtree(home, ignore_errors=True)
    airflow = Standalone(home, DAGS)
    say("Starting Airflow, and meanwhile training a digits model in the style of TensorFlow 1")
    start(airflow)
    try:
        made = material.for_the_first_lesson(home / "batchinfer")
        tell(f"{len(list(made.folder.iterdir())):,} images are written, and the model is trained")
        with logged_in(airflow, [DAG]) as rest:
            tell("Airflow is healthy")
            say(f"$ airflow dags trigger {DAG}")
            run_id = rest.trigger(DAG)
            tell("its workers import TensorFlow first, which takes each of them some seconds")
            watch(rest, DAG, run_id, home / "batchinfer", MOST_SECONDS, tell)
            output = Path(rest.xcom(DAG, run_id, f"{STEP}.merge"))
            model = rest.xcom(DAG, run_id, "register_model").replace(":", "/")
    finally:
        airflow.stop()
    report(output, made)
    places = {"predictions": output, "task logs": airflow.logs / f"dag_id={DAG}", "model": home / "batchinfer" / "models" / model}
    print("\n".join(f"{name:12} {path.relative_to(ROOT)}" for name, path in places.items()))
    say(f"Took {time.monotonic() - BEGAN:.0f} s. Airflow has stopped; `make up` starts one that stays")


def report(output: Path, made: material.Digits) -> None:
    predictions = dict(line.split(": ") for line in output.read_text().splitlines())
    say(f"The first {SHOWN} of {len(predictions):,} predictions")
    print("\n".join(f"{name}: {word}" for name, word in list(predictions.items())[:SHOWN]))
    truth = made.held_out()
    right = sum(predictions[name] == word for name, word in truth.items())
    say(f"Right on {right} of {len(truth)} images that training never saw: {right / len(truth):.1%}")


def up() -> None:
    home = ROOT / "build" / "airflow"
    airflow = Standalone(home, DAGS, port=port_of_the_page())
    is_new = not (home / "batchinfer").exists()
    say("Starting Airflow" + (", and meanwhile training two small models; the next time they are there" if is_new else ""))
    start(airflow)
    try:
        material.for_all_lessons(home / "batchinfer")
        logged_in(airflow, WAITING_FOR_A_CLICK).close()
        say(f"Airflow   {airflow.url}\nuser      {airflow.login.user}\npassword  {airflow.login.password}")
        print(f"home      {home.relative_to(ROOT)}, with the workspace in {home.relative_to(ROOT)}/batchinfer")
        say(f"Trigger any DAG there, {DAG} for one: each is a lesson of dags/, and its page tells what it shows.\nCtrl-C stops.")
        signal.pause()
    except KeyboardInterrupt:
        say("Stopping")
    finally:
        airflow.stop()


def start(airflow: Standalone) -> None:
    try:
        airflow.start()
    except RuntimeError as error:  # one runs there already
        sys.exit(str(error))


def port_of_the_page() -> int:
    """8080, unless somebody else has it; 0 is any."""
    with socket.socket() as trying:
        trying.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does: one that has just stopped is none
        try:
            trying.bind((HOST, UI_PORT))
        except OSError:
            say(f"Port {UI_PORT} is taken, so another one is used")
            return 0
    return UI_PORT


def logged_in(airflow: Standalone, dags: Sequence[str]) -> Rest:
    """A client, once Airflow is healthy and these DAGs can be triggered."""
    airflow.wait_until_healthy()
    rest = Rest(airflow.url, airflow.login.user, airflow.login.password)
    rest.set_pool(POOL, SLOTS)
    wait_until(lambda: {dag["dag_id"] for dag in rest.dags()}.issuperset(dags), f"Airflow reads {DAGS}", MOST_SECONDS)
    for dag in dags:
        rest.unpause(dag)
    return rest


def say(sentence: str) -> None:
    print(f"\n{sentence}", flush=True)


def tell(what: str) -> None:
    """A line of what goes on, with the time since the start."""
    print(f"{time.monotonic() - BEGAN:4.0f} s  {what}", flush=True)


def main() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # to end as by Ctrl-C
    try:
        up() if sys.argv[1:] == ["up"] else demo()
    except NotHealthyError as error:
        sys.exit(str(error))
    except KeyboardInterrupt:
        sys.exit("Interrupted; nothing is left running")


if __name__ == "__main__":
    main()
