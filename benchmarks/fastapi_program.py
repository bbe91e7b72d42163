"""S9's other side: FastAPI, one worker of uvicorn, an async route that calls the same function. `python fastapi_program.py PORT`."""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request

sys.path.insert(0, str(Path(__file__).with_name("entry_scripts")))
import argmax

app = FastAPI()


@app.post("/score")
async def score(request: Request) -> int:
    """As a script's `run` is called."""
    return argmax.run(await request.body())


if __name__ == "__main__":
    argmax.init()
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False)
