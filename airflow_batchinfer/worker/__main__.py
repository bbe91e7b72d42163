"""Where the child begins: `PYTHON <this folder> REQUESTS REPLIES ALIVE PARENT` (three file descriptors and a process id).

The package is loaded under a private name and this folder leaves `sys.path`, so that no module of ours can stand in the
way of one of the script's.
"""

import importlib.util
import os
import sys


def _load_package() -> None:
    folder = os.path.dirname(os.path.abspath(__file__))
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry or ".") != folder]
    spec = importlib.util.spec_from_file_location(
        "_batchinfer_worker", os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    assert spec is not None  # noqa: S101 - the folder is there: this file lies in it
    assert spec.loader is not None  # noqa: S101 - as above
    package = importlib.util.module_from_spec(spec)
    sys.modules["_batchinfer_worker"] = package
    spec.loader.exec_module(package)


if __name__ == "__main__":
    _load_package()
    from _batchinfer_worker.keeper import keep_child
    from _batchinfer_worker.serving import serve

    requests, replies, alive, parent = (int(argument) for argument in sys.argv[1:5])
    keep_child(parent, (requests, replies), alive)
    serve(requests, replies)
