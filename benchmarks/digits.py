"""Makes the images and the network that S1 to S5 score: the same bytes every time.

What the digits are does not matter to a stopwatch, so they are drawn from the default font with a
little noise, which compresses about as MNIST does, and the network's weights are random.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.places import DIGITS, MODEL

if TYPE_CHECKING:
    from pathlib import Path

DRAWN = 60_000
HIDDEN_UNITS = 128

_FONT_SIZE = 22
_LARGEST_SHIFT = 4
_NOISE = 24
_LEAST_INK = 8


def model() -> Path:
    """The folder with the network's weights, made when missing."""
    if not (MODEL / "mlp.npz").exists():
        _write_model()
    return MODEL


def images(count: int) -> Path:
    """A folder of so many images, made when missing; beyond 60,000 they are further names of the first ones."""
    folder = DIGITS / str(count)
    drawn = folder if count <= DRAWN else images(DRAWN)
    if not (folder / _name(count - 1)).exists():
        folder.mkdir(parents=True, exist_ok=True)
        if drawn == folder:
            _draw_images(folder, count)
        else:
            _link_images(folder, count, drawn)
    return folder


def _write_model() -> None:
    random = np.random.default_rng(2019)
    MODEL.mkdir(parents=True, exist_ok=True)
    weights = {
        "hidden_kernel": random.normal(0, 0.05, (784, HIDDEN_UNITS)),
        "hidden_bias": random.normal(0, 0.05, HIDDEN_UNITS),
        "output_kernel": random.normal(0, 0.1, (HIDDEN_UNITS, 10)),
        "output_bias": random.normal(0, 0.1, 10),
    }
    np.savez(MODEL / "mlp.npz", **{name: values.astype(np.float32) for name, values in weights.items()})


def _link_images(folder: Path, count: int, drawn: Path) -> None:
    for number in range(count):
        (folder / _name(number)).hardlink_to(drawn / _name(number % DRAWN))


def _draw_images(folder: Path, count: int) -> None:
    random = np.random.default_rng(2020)
    font = ImageFont.load_default(_FONT_SIZE)
    for number in range(count):
        _draw(number % 10, font, random).save(folder / _name(number))


def _draw(digit: int, font: ImageFont.FreeTypeFont, random: np.random.Generator) -> Image.Image:
    image = Image.new("L", (28, 28))
    right, down = random.integers(0, 2 * _LARGEST_SHIFT, 2)
    ImageDraw.Draw(image).text((3 + right, down - 2), str(digit), fill=255, font=font)
    ink = np.asarray(image).astype(np.int16)
    noisy = ink + (ink > _LEAST_INK) * random.integers(-_NOISE, _NOISE, ink.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def _name(number: int) -> str:
    return f"{number:06}.png"
