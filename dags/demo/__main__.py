"""make demo: trains a digits model, registers it, scores every image with two workers and compares the answers with the truth.

Everything happens through the commands a user would type, and everything it makes lies under build/demo.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import digits

ROOT = Path("build/demo")
IMAGES, LABELS, MODEL, WORKSPACE, OUTPUT = ROOT / "images", ROOT / "labels.csv", ROOT / "model", ROOT / "workspace", ROOT / "output"
SCRIPT = Path("dags/entry_scripts/digit_identification.py")
SHOWN = 5


def main() -> None:
    started = time.monotonic()
    os.chdir(Path(__file__).resolve().parents[2])
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    shutil.rmtree(ROOT, ignore_errors=True)
    say("Writing 1,797 handwritten digits as PNG files and training a model on 70 % of them")
    digits.write_images(IMAGES, LABELS)
    digits.train(IMAGES, LABELS, MODEL)
    batchinfer("models", "register", "digits", str(MODEL))
    summary = score()
    report(summary, dict(line.split(": ") for line in Path(summary["output"]).read_text().splitlines()))
    say(f"Took {time.monotonic() - started:.0f} s")


def score() -> dict[str, Any]:
    command = ["run", str(SCRIPT), "--input", str(IMAGES), "--model", "digits", "--output", str(OUTPUT)]
    last_line = batchinfer(*command, "--mini-batch-size", "20", "--processes", "2", "--json")
    return json.loads(last_line)


def batchinfer(*arguments: str) -> str:
    """Run the command as a user would, showing what it prints; return the last line of it."""
    say(f"$ batchinfer {' '.join(arguments)}")
    command = [Path(sys.executable).with_name("batchinfer"), *arguments]
    environment = {**os.environ, "BATCHINFER_WORKSPACE": str(WORKSPACE)}
    line = ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        for line in process.stdout:
            print(line, end="", flush=True)
    if process.returncode:
        sys.exit(f"batchinfer {arguments[0]} ended with exit code {process.returncode}")
    return line


def report(summary: dict, predictions: dict[str, str]) -> None:
    say(f"The first {SHOWN} of {len(predictions)} predictions")
    print("\n".join(f"{name}: {digit}" for name, digit in list(predictions.items())[:SHOWN]))
    truth = digits.read_labels(LABELS, "held-out")
    right = sum(int(predictions[name]) == digit for name, digit in truth.items())
    say(f"Right on {right} of {len(truth)} images that training never saw: {right / len(truth):.1%}")
    places = {"predictions": summary["output"], "images": IMAGES, "truth": LABELS, "model": MODEL, "workspace": WORKSPACE}
    print("\n".join(f"{name:12} {place}" for name, place in places.items()))


def say(sentence: str) -> None:
    print(f"\n{sentence}", flush=True)


if __name__ == "__main__":
    main()
