"""The entry scripts of `dags/` read handwritten digits that training never saw: from a TensorFlow 1 checkpoint, and with Keras.

TensorFlow takes seconds to import, and each process pays them: the models are trained once, and all that needs them runs side by side.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.integration.lab import PROJECT, Ended, Lab, open_lab
from tests.trained import put_held_out

SCRIPTS = PROJECT / "dags" / "entry_scripts"
SCORED = 100
WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]

ALONE = """
import json, os, sys
from pathlib import Path
from PIL import Image
import digit_identification as checkpoint
import digit_identification_keras as keras
import digit_scoring as service
def complaint(function, *arguments):
    try:
        function(*arguments)
    except Exception as error:
        print(f"{type(error).__name__}: {error}")
for folder in ("none", "two/a", "two/b", "short"):
    Path(folder).mkdir(parents=True)
for file in ("two/a/mnist-tf.model.meta", "two/b/mnist-tf.model.meta", "two/a.keras", "two/b.keras", "short/labels.txt"):
    Path(file).write_text("zero")
for models in ("none", "two"):
    os.environ["AZUREML_MODEL_DIR"] = models
    complaint(checkpoint.init)
    complaint(keras.init)
    complaint(service.init)
Image.new("L", (8, 8)).save("small.png")
complaint(checkpoint.pixels, "small.png")
complaint(keras.pixels, "small.png")
sys.argv += ["--labels", "short"]
complaint(checkpoint.init)
del sys.argv[1:]
os.environ["AZUREML_MODEL_DIR"] = "../checkpoint"
checkpoint.init()
service.init()
images = sorted(map(str, Path("../inputs").iterdir()))
print(*service.run(json.dumps({"data": [checkpoint.pixels(image).tolist() for image in images]})))
print(*checkpoint.run(images), sep="\\n")
"""
COMPLAINTS = """
FileNotFoundError: one mnist-tf.model.meta is expected below none, found: none; register the folder of one checkpoint
FileNotFoundError: one .keras file is expected below none, found: none; register one Keras model
FileNotFoundError: one mnist-tf.model.meta is expected in the service's models, found: 0
FileNotFoundError: one mnist-tf.model.meta is expected below two, found: a/mnist-tf.model.meta, b/mnist-tf.model.meta; register the \
folder of one checkpoint
FileNotFoundError: one .keras file is expected below two, found: a.keras, b.keras; register one Keras model
FileNotFoundError: one mnist-tf.model.meta is expected in the service's models, found: 2
ValueError: small.png is 8x8 pixels; the network reads 28x28
ValueError: small.png is 8x8 pixels; the model reads 28x28
ValueError: short/labels.txt has 1 lines; write 10, the words for the digits from 0 on
""".strip().splitlines()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with open_lab(tmp_path_factory.mktemp("digits")) as lab:
        yield lab


@pytest.fixture(scope="module")
def truth(lab: Lab, trained: Path) -> dict[str, int]:
    """The digits of the images that are scored, which training never saw; and both models are registered."""
    for name, model in (("checkpoint", "mnist"), ("keras", "keras")):
        (lab.root / name).symlink_to(trained / "trained" / model)
        assert lab.batchinfer("models", "register", name, name, "--workspace", lab.workspace_url).code == 0
    return put_held_out(trained, lab.inputs, SCORED)


@pytest.fixture(scope="module")
def ended(lab: Lab, trained: Path, truth: dict[str, int]) -> dict[str, Ended]:
    """Both scripts at work, and a process in which nothing stands between them and us."""
    labels = ("--side-input", f"labels={trained}/labels", "--", "--labels", "{labels}")
    checkpoint = ("--model", "checkpoint", "--processes", 1, "--output", "words", *labels)
    keras = ("--model", "keras", "--processes", 1, "--output", "probabilities")
    (lab.root / "alone").mkdir()
    started = {
        "checkpoint": lab.start(SCRIPTS / "digit_identification.py", *checkpoint),
        "keras": lab.start(SCRIPTS / "digit_identification_keras.py", *keras),
        "alone": lab.start_program([sys.executable, "-c", ALONE], environment=finds(SCRIPTS), cwd=lab.root / "alone"),
    }
    return {name: program.wait(120) for name, program in started.items()}


def finds(folder: Path) -> Mapping[str, str]:
    """An environment in which the modules of a folder are imported by name."""
    return {"PYTHONPATH": str(folder), "TF_CPP_MIN_LOG_LEVEL": "3"}


def rows(ended: Ended) -> list[str]:
    return Path(ended.summary["output"]).read_text().splitlines()


def test_a_tensorflow_1_checkpoint_reads_nine_of_ten_digits_that_training_never_saw(truth, ended):
    read = dict(row.split(": ") for row in rows(ended["checkpoint"]))
    assert list(read) == sorted(truth)
    assert sum(read[name] == WORDS[digit] for name, digit in truth.items()) >= 0.9 * SCORED


def test_a_keras_model_reads_nine_of_ten_digits_and_gives_their_probabilities(truth, ended):
    read = [row.split(" ") for row in rows(ended["keras"])]
    assert [name for name, _, _ in read] == sorted(truth)
    assert sum(int(digit) == truth[name] for name, digit, _ in read) >= 0.9 * SCORED
    assert all(0.1 <= float(probability) <= 1 and len(probability) <= len("0.1234") for _, _, probability in read)


def test_without_labels_the_rows_say_the_digits_instead_of_their_words(ended):
    alone = ended["alone"]
    assert alone.code == 0, alone.stderr
    digits = [row.split(": ") for row in alone.stdout.splitlines()[len(COMPLAINTS) + 1 :]]
    assert [f"{name}: {WORDS[int(digit)]}" for name, digit in digits] == rows(ended["checkpoint"])


def test_the_script_of_a_service_answers_with_the_digit_of_each_image_as_the_one_for_files_does(ended):
    answered = ended["alone"].stdout.splitlines()[len(COMPLAINTS)].split()
    assert [f": {WORDS[int(digit)]}" for digit in answered] == [row[row.index(":") :] for row in rows(ended["checkpoint"])]


def test_a_missing_checkpoint_and_whatever_else_a_script_cannot_use_is_named_with_what_it_expects(ended):
    assert ended["alone"].stdout.splitlines()[: len(COMPLAINTS)] == COMPLAINTS
