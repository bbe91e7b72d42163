"""What a conda does, as far as we ask it: `create --prefix P` of names, or of the addresses in a file. No test has a real one.

It stands on a PATH as `micromamba`; it notes how it was called in $STATE_DIR/conda, and its newest gdal is $GDAL.
"""

import json
import os
import re
import sys
import venv
from pathlib import Path


def create(prefix: Path, packages: dict[str, str]) -> None:
    venv.create(prefix, symlinks=True)
    libraries = next(prefix.glob("lib/python3*/site-packages"))
    (prefix / "conda-meta").mkdir()
    for name, version in packages.items():
        (libraries / f"{name}.py").write_text(f"__version__ = {version!r}\n")
        information = libraries / f"{name}-{version}.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        (information / "RECORD").write_text("")
        record = {"url": f"https://me:hunter2@conda.example/t/hunter2/forge/noarch/{name}-{version}-0.conda", "md5": f"md5of{name}"}
        (prefix / "conda-meta" / f"{name}-{version}-0.json").write_text(json.dumps({"name": name, **record}))


def main(arguments: list[str]) -> int:
    with Path(os.environ["STATE_DIR"], "conda").open("a") as notes:
        notes.write(" ".join(word for word in arguments if not word.startswith("/")) + "\n")
    prefix = Path(arguments[arguments.index("--prefix") + 1])
    if "--file" in arguments:
        lines = Path(arguments[arguments.index("--file") + 1]).read_text().splitlines()
        found = [re.search(r"/([a-z]+)-([\d.]+)-0\.conda#md5of", line) for line in lines[1:]]
        if lines[0] != "@EXPLICIT" or not all(found):
            sys.stderr.write("this is no list of packages\n")
            return 1
        create(prefix, {each[1]: each[2] for each in found})
        return 0
    if "unheard-of" in arguments:
        sys.stderr.write("error: nothing provides unheard-of\n")
        return 1
    create(prefix, {"gdal": os.environ["GDAL"], "tiny": "1.0"})
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
