"""Whether a script needs TensorFlow 1 is told by what it says; nothing is imported for that."""

import ast
from pathlib import Path

import pytest

from airflow_batchinfer.worker.tensorflow_v1 import evidence, evidence_in

NEEDS_1 = {
    "import tensorflow as tf\ntf.Session()": "Session",
    "import tensorflow as tf\ntf.reset_default_graph()": "reset_default_graph",
    "import tensorflow as tf\ntf.train.import_meta_graph('x')": "train.import_meta_graph",
    "import tensorflow as tf\ntf.train.Saver()": "train.Saver",
    "import tensorflow as tf\ntf.app.flags.DEFINE_string('a', 'b', 'c')": "app",
    "import tensorflow as tf\nslim = tf.contrib.slim": "contrib",
    "import tensorflow as tf\ntf.gfile.GFile('x').read()": "gfile",
    "import tensorflow as tf\ndef init():\n    config = tf.ConfigProto(gpu_options=tf.GPUOptions())": "ConfigProto",
    "import tensorflow\ntensorflow.placeholder(tensorflow.float32)": "placeholder",
    "import tensorflow.keras\ntensorflow.Session()": "Session",
    "from tensorflow import Session": "Session",
    "from tensorflow import train\ntrain.Saver()": "train.Saver",
    "from tensorflow import train as t\nt.Saver()": "train.Saver",
    "import tensorflow.train as t\nt.Saver()": "train.Saver",
    "from tensorflow.train import Saver": "train.Saver",
    "from tensorflow.contrib import slim": "contrib",
    "import tensorflow.contrib.slim as slim": "contrib",
    "try:\n    import tensorflow as tf\nexcept ImportError:\n    tf = None\nif tf:\n    tf.Session()": "Session",
    "import tensorflow as tf\nprint(tf.__version__)\nif tf.test.is_gpu_available():\n    tf.Session()": "Session",
    "import tensorflow as tf\ntry:\n    tf.Session()\nexcept Exception:\n    raise": "Session",
    "import tensorflow as tf\ntry:\n    g = tf.Graph()\n    tf.Session()\nexcept:\n    pass": "Session",
    "import tensorflow as tf\nif tf.__version__ < '1.4':\n    raise ImportError\ntf.Session()": "Session",
}
LEFT_ALONE = [
    "",
    "import numpy as tf\ntf.Session()",
    "tf.Session()",
    "import tensorflow as tf\ntf.keras.models.load_model('m')",
    "import tensorflow as tf\ntf.compat.v1.Session()",
    "import tensorflow as tf\ntf.math.log(tf.zeros(3))",
    "import tensorflow.compat.v1 as tf\ntf.disable_v2_behavior()\ntf.Session()",
    "from tensorflow.compat import v1 as tf\ntf.Session()",
    "from tensorflow.compat.v1 import Session, train\ntrain.Saver()",
    "try:\n    import tensorflow.compat.v1 as tf\nexcept ImportError:\n    import tensorflow as tf\ntf.Session()",
    "import tensorflow as tf\nother.tf.Session()",
    "import tensorflow as tf\nname = 'tf.Session'  # tf.Session()",
    "from .tensorflow import Session",
    "import tensorflow_hub as tf\ntf.Session()",
    "import tensorflow as tf\nif tf.__version__.startswith('1.'):\n    s = tf.Session()\nelse:\n    s = tf.keras.models.load_model('m')",
    "import tensorflow as tf\nIS_1 = int(tf.__version__[0]) < 2\ndef init():\n    if IS_1:\n        tf.Session()",
    "import tensorflow as tf\nif tf.version.VERSION < '2':\n    tf.Session()",
    "import tensorflow as tf\nif hasattr(tf.train, 'Saver'):\n    tf.train.Saver()",
    "import tensorflow as tf\ntry:\n    tf.enable_eager_execution()\nexcept:\n    pass",
    "import tensorflow as tf\ntry:\n    tf.logging.set_verbosity(0)\nexcept Exception:\n    pass",
    "import tensorflow as tf\nif hasattr(tf, 'Session'):\n    tf.Session()",
    "import tensorflow as tf\nSession = tf.Session if tf.VERSION < '2' else tf.compat.v1.Session",
    "import tensorflow as tf\ntry:\n    tf.logging.set_verbosity(0)\nexcept AttributeError:\n    tf.get_logger().setLevel(0)",
    "try:\n    from tensorflow import gfile\nexcept (ImportError, KeyError):\n    from tensorflow.io import gfile\ngfile.GFile('x')",
    "try:\n    from tensorflow.keras import layers\nexcept ImportError:\n    from tensorflow import layers\nlayers.Dense(1)",
]


@pytest.mark.parametrize("text", NEEDS_1)
def test_a_name_that_only_tensorflow_1_had_is_found(text: str):
    found = evidence_in(ast.parse(text), "score.py")
    assert found
    assert found[0].name == NEEDS_1[text]


@pytest.mark.parametrize("text", LEFT_ALONE)
def test_a_script_of_tensorflow_2_or_one_that_helps_itself_is_left_alone(text: str):
    assert evidence_in(ast.parse(text), "score.py") == []


def test_the_first_one_is_told_with_its_line():
    text = "import tensorflow as tf\n\n\ndef init():\n    tf.reset_default_graph()\n    tf.Session()\n"
    assert str(evidence_in(ast.parse(text), "/node/source/score.py")[0]) == "score.py:5 uses tf.reset_default_graph"


OLD = "import tensorflow as tf\nsession = tf.Session()\n"


@pytest.mark.parametrize(
    ("imports", "sibling"),
    [
        ("import graph", "graph.py"),
        ("from graph import session", "graph.py"),
        ("import nets.graph", "nets/graph.py"),
        ("from nets import graph", "nets/graph.py"),
        ("from nets.graph import session", "nets/graph.py"),
        ("import nets", "nets/__init__.py"),
        ("def init():\n    import graph", "graph.py"),
        ("import between", "graph.py"),
    ],
)
def test_a_sibling_that_is_imported_counts(tmp_path: Path, imports: str, sibling: str):
    (tmp_path / "between.py").write_text("import graph")
    (tmp_path / sibling).parent.mkdir(exist_ok=True)
    (tmp_path / sibling).write_text(OLD)
    script = tmp_path / "score.py"
    script.write_text(imports)
    found = evidence(str(script), [str(tmp_path)])
    assert found
    assert found[0].file == str(tmp_path / sibling)


def test_a_relative_import_is_followed(tmp_path: Path):
    (tmp_path / "nets").mkdir()
    (tmp_path / "nets" / "__init__.py").write_text("from .graph import session")
    (tmp_path / "nets" / "graph.py").write_text(OLD)
    (tmp_path / "score.py").write_text("import nets")
    assert evidence(str(tmp_path / "score.py"), [str(tmp_path)])


def test_a_sibling_that_nobody_imports_does_not_count_and_a_broken_one_is_not_our_affair(tmp_path: Path):
    (tmp_path / "old.py").write_text(OLD)
    (tmp_path / "broken.py").write_text("def")
    (tmp_path / "score.py").write_text("import broken, score, json, nowhere")
    assert evidence(str(tmp_path / "score.py"), [str(tmp_path)]) == []
