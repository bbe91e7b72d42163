"""Imports the script beside it, and finds it by __file__ too."""

from pathlib import Path

import sibling


def run(mini_batch):
    lines = len(Path(__file__).with_name("sibling.py").read_text().splitlines())
    return [sibling.greet(Path(item).name, lines) for item in mini_batch]
