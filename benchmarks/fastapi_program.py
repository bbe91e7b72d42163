"""S9's other side: FastAPI under uvicorn, an async route that calls the script's function.

`python fastapi_program.py SCRIPT PORT WORKERS`.
"""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request

SCRIPT = "S9_SCRIPT"
FOLDER = Path(__file__).parent


def make() -> FastAPI:
    """One worker's, with the script in its own process."""
    sys.path.insert(0, str(FOLDER / "entry_scripts"))
    script = importlib.import_module(os.environ[SCRIPT])
    script.init()
    app = FastAPI()

    @app.post("/score")
    async def score(request: Request) -> int:
        return script.run(await request.body())

    return app


if __name__ == "__main__":
    _script, _port, _workers = sys.argv[1:]
    os.environ[SCRIPT] = _script
    # By name, since each worker imports it.
    app = f"{Path(__file__).stem}:make"
    uvicorn.run(
        app,
        factory=True,
        app_dir=str(FOLDER),
        host="127.0.0.1",
        port=int(_port),
        workers=int(_workers),
        log_level="error",
        access_log=False,
    )
