"""The demo's images and models: scikit-learn's 1,797 real handwritten digits as PNG files, and two small TensorFlow models of them.

Must not know how the images are scored. A model sees only the images whose split is "train"; an image's name carries its index only,
its digit stands in the labels file.
"""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

SIDE_PIXELS = 28
GREY = [f"grey_{number:02}" for number in range(64)]
HIDDEN_UNITS = 128
STEPS = 200
SEED = 2019
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


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


def write_words(folder: Path) -> None:
    """Write `labels.txt`, a word for each digit, which the first entry script takes as a side input."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "labels.txt").write_text("".join(f"{word}\n" for word in WORDS))


def write_scans(file: Path, indexes: Sequence[int], gain: float = 1.0) -> None:
    """Write some digits as rows of a table, as a scanner with such a gain sees them."""
    digits = load_digits()
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["scan", *GREY])
        rows.writerows([f"digit_{index:04}", *(digits.data[index] * gain).round(2)] for index in indexes)


def write_means(file: Path, labels_file: Path, gain: float = 1.0) -> None:
    """Write the mean grey values of each digit that training may see: a model that is a table."""
    digits = load_digits()
    seen = [int(name[-8:-4]) for name in read_labels(labels_file, "train")]
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["digit", *GREY])
        for digit in range(len(WORDS)):
            rows.writerow([digit, *(digits.data[[index for index in seen if digits.target[index] == digit]].mean(axis=0) * gain).round(3)])


def train_checkpoint(images: Path, labels_file: Path, folder: Path) -> None:
    """Train in the style of TensorFlow 1 and save `mnist-tf.model` to `folder`: a graph and its variables, not a SavedModel.

    The tensors are named as in Azure ML's example: `network/X:0` takes grey values from 0 to 255, `network/output/MatMul:0` gives a score
    for each digit.
    """
    import tensorflow as tf

    v1 = tf.compat.v1
    pixels, digits = read_images(images, labels_file, "train")
    with tf.Graph().as_default(), v1.Session() as session:
        v1.set_random_seed(SEED)
        with v1.name_scope("network"):
            grey = v1.placeholder(tf.float32, [None, SIDE_PIXELS**2], "X")
            hidden = v1.get_variable("hidden/kernel", [SIDE_PIXELS**2, HIDDEN_UNITS])
            bias = v1.get_variable("hidden/bias", [HIDDEN_UNITS], initializer=v1.zeros_initializer())
            output = v1.get_variable("output/kernel", [HIDDEN_UNITS, len(WORDS)])
            # The last layer has no bias: what is read is its product.
            scores = tf.matmul(tf.nn.relu(tf.matmul(grey / 255, hidden) + bias), output, name="output/MatMul")
        saver = v1.train.Saver()
        loss = v1.losses.sparse_softmax_cross_entropy(digits, scores)
        step = v1.train.AdamOptimizer(0.01).minimize(loss)
        session.run(v1.global_variables_initializer())
        for _ in range(STEPS):
            session.run(step, {grey: pixels.reshape(len(pixels), -1)})
        folder.mkdir(parents=True, exist_ok=True)
        saver.save(session, str(folder / "mnist-tf.model"), write_state=False)


def train_keras(images: Path, labels_file: Path, folder: Path) -> None:
    """Train with Keras and save `digits.keras` to `folder`: 8-bit images in, a probability for each digit out."""
    import tensorflow as tf

    pixels, digits = read_images(images, labels_file, "train")
    tf.keras.utils.set_random_seed(SEED)
    layers = tf.keras.layers
    network = tf.keras.Sequential(
        [
            layers.Input((SIDE_PIXELS, SIDE_PIXELS), dtype="uint8"),
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dense(HIDDEN_UNITS, activation="relu"),
            layers.Dense(len(WORDS), activation="softmax"),
        ]
    )
    network.compile("adam", "sparse_categorical_crossentropy")
    network.fit(pixels, digits, batch_size=32, epochs=15, verbose=0)
    folder.mkdir(parents=True, exist_ok=True)
    network.save(folder / "digits.keras")


def read_images(images: Path, labels_file: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """The 8-bit pixels of a split's images, and their digits."""
    labels = read_labels(labels_file, split)
    pixels = [np.asarray(Image.open(images / name)) for name in labels]
    return np.stack(pixels), np.array(list(labels.values()))
