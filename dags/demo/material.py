"""What the lessons find in their workspace: images, the words for digits, trained models.

Everything is made once and then left as it is, so that a second start changes no result. What an interruption left half made
is made again.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import digits

DAYS = 3
IMAGES_A_DAY = 20
BROKEN = (4, 14)
# How bright each scanner sees the same paper.
SCANNERS = {"scanner_a": 1.0, "scanner_b": 0.5, "scanner_c": 3.0}
SCANS = range(200, 320)
# Of an image that is broken: enough to be known as one.
LEFT_BYTES = 60


@dataclass(frozen=True)
class Digits:
    """The images, and the truth about them."""

    folder: Path
    labels: Path

    def held_out(self) -> dict[str, str]:
        """The word for each image that training never saw."""
        return {name: digits.WORDS[digit] for name, digit in digits.read_labels(self.labels, "held-out").items()}


def for_the_first_lesson(workspace: Path) -> Digits:
    """Images in digits/, words in labels/, and a TensorFlow 1 checkpoint in trained/mnist/."""
    made = Digits(workspace / "digits", workspace / "truth.csv")
    once(made.folder, lambda folder: digits.write_images(folder, made.labels))
    once(workspace / "labels", digits.write_words)
    once(workspace / "trained" / "mnist", lambda folder: train(digits.train_checkpoint, made, folder))
    return made


def for_all_lessons(workspace: Path) -> None:
    """Also images that came in on the last days, some that are broken, and two registered models."""
    made = for_the_first_lesson(workspace)
    keras = once(workspace / "trained" / "keras", lambda folder: train(digits.train_keras, made, folder))
    # As the first lesson registers it; the others must not have to wait for that.
    register(workspace, "mnist", workspace / "trained" / "mnist", "--tag", "pretrained=mnist", "--description", "Digits, 28x28")
    register(workspace, "digits_keras", keras)
    images = sorted(made.folder.iterdir())
    today = datetime.now(UTC).date()
    for days_ago in range(1, DAYS + 1):
        came_in = images[days_ago * IMAGES_A_DAY :][:IMAGES_A_DAY]
        once(workspace / "incoming" / str(today - timedelta(days=days_ago)), lambda folder, chosen=came_in: copy(chosen, folder))
    once(workspace / "some_broken", lambda folder: break_some(images[:IMAGES_A_DAY], folder))
    for_the_tables(workspace, made, today)


def for_the_tables(workspace: Path, made: Digits, today: date) -> None:
    """Scans as rows of tables, by day and by scanner, and means of the digits as models."""
    once(workspace / "trained" / "means", lambda folder: digits.write_means(folder / "means.csv", made.labels))
    once(workspace / "trained" / "means_by_scanner", lambda folder: each_scanner(lambda name, gain: means_of(folder, made, name, gain)))
    once(workspace / "scans_by_scanner", lambda folder: each_scanner(lambda name, gain: scans_of(folder, name, gain)))
    for days_ago in range(1, DAYS + 1):
        scans = list(SCANS)[days_ago * IMAGES_A_DAY :][:IMAGES_A_DAY]
        day = workspace / "scans_by_day" / str(today - timedelta(days=days_ago))
        once(day, lambda folder, chosen=scans: digits.write_scans(folder / "scans.csv", chosen))


def each_scanner(make: Callable[[str, float], None]) -> None:
    for name, gain in SCANNERS.items():
        make(name, gain)


def means_of(folder: Path, made: Digits, scanner: str, gain: float) -> None:
    digits.write_means(folder / f"{scanner}.csv", made.labels, gain)


def scans_of(folder: Path, scanner: str, gain: float) -> None:
    """In two files, which make one partition all the same."""
    half = len(SCANS) // 2
    for part, indexes in (("morning", SCANS[:half]), ("evening", SCANS[half:])):
        digits.write_scans(folder / f"scanner={scanner}" / f"{part}.csv", indexes, gain)


def once(folder: Path, make: Callable[[Path], None]) -> Path:
    """Make a folder unless it is there; it appears when it is complete."""
    if not folder.exists():
        unfinished = folder.with_name(f"{folder.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        make(unfinished)
        unfinished.rename(folder)
    return folder


def train(how: Callable[[Path, Path, Path], None], made: Digits, folder: Path) -> None:
    with quietly(made.labels.with_name("training.log")):
        how(made.folder, made.labels, folder)


@contextmanager
def quietly(log: Path) -> Iterator[None]:
    """Keep what TensorFlow's C++ says of this machine, which no setting stops, in a file."""
    stderr = os.dup(2)
    try:
        with log.open("ab") as file:
            os.dup2(file.fileno(), 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def copy(images: list[Path], folder: Path) -> None:
    folder.mkdir(parents=True)
    for image in images:
        (folder / image.name).write_bytes(image.read_bytes())


def break_some(images: list[Path], folder: Path) -> None:
    """Copy the images, and some of them also cut off, as a transfer that broke leaves them."""
    copy(images, folder)
    for number in BROKEN:
        (folder / f"{images[number].stem}_broken.png").write_bytes(images[number].read_bytes()[:LEFT_BYTES])


def register(workspace: Path, name: str, model: Path, *options: str) -> None:
    """As anybody would from a shell."""
    command = [Path(sys.executable).with_name("batchinfer"), "models", "register", name, model, "--workspace", workspace, *options]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
