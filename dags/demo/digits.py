"""The demo's data and model: scikit-learn's 1,797 real handwritten digits as PNG files, and a small TensorFlow model of them.

Must not know how the images are scored. The model sees only the images whose split is "train"; an image's name carries its index only,
its digit stands in the labels file.
"""

import csv
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

SIDE_PIXELS = 28
SEED = 2019


def write_images(folder: Path, labels_file: Path) -> None:
    """Write every digit to `folder`, and to `labels_file` its file name, its digit and whether training may see it."""
    folder.mkdir(parents=True)
    digits = load_digits()
    _, held_out = train_test_split(range(len(digits.target)), test_size=0.3, random_state=SEED, stratify=digits.target)
    unseen = set(held_out)
    with labels_file.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "digit", "split"])
        for index, (grey, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
            name = f"digit_{index:04}.png"
            enlarged(grey).save(folder / name)
            rows.writerow([name, digit, "held-out" if index in unseen else "train"])


def enlarged(grey: np.ndarray) -> Image.Image:
    """An 8x8 scan with values 0-16, as an 8-bit image of the size that the model reads."""
    return Image.fromarray(np.round(grey * (255 / 16)).astype(np.uint8)).resize((SIDE_PIXELS, SIDE_PIXELS), Image.Resampling.BILINEAR)


def read_labels(labels_file: Path, split: str) -> dict[str, int]:
    with labels_file.open(newline="") as file:
        return {row["file"]: int(row["digit"]) for row in csv.DictReader(file) if row["split"] == split}


def train(images: Path, labels_file: Path, model: Path) -> None:
    """Train on the images whose split is train and save the model as a SavedModel that takes 8-bit pixels."""
    import tensorflow as tf

    labels = read_labels(labels_file, "train")
    pixels = np.stack([np.asarray(Image.open(images / name)) for name in labels])
    tf.keras.utils.set_random_seed(SEED)
    layers = tf.keras.layers
    network = tf.keras.Sequential(
        [
            layers.Input((SIDE_PIXELS, SIDE_PIXELS), dtype="uint8"),
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(10),
        ]
    )
    network.compile("adam", tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    network.fit(pixels, np.array(list(labels.values())), batch_size=32, epochs=15, verbose=0)
    network.export(model, verbose=False)
