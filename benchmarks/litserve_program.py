"""S9's other side: LitServe with the script's function. `python litserve_program.py SCRIPT PORT WORKERS MAX_BATCH_SIZE`.

As its documentation shows, without the access log; what was tried and was no faster, the page of figures says. It parses the body
itself. Runs in LitServe's own environment.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import litserve


class Api(litserve.LitAPI):
    """One worker: the script, loaded and initialised once."""

    script_name = ""

    def setup(self, device: str) -> None:
        """Before the first request."""
        del device
        sys.path.insert(0, str(Path(__file__).with_name("entry_scripts")))
        self.script = importlib.import_module(self.script_name)
        self.script.init()

    def predict(self, request: dict) -> int:
        """One request, parsed."""
        return self.script.predict(request)


class BatchApi(Api):
    """With what its loop has collected."""

    def batch(self, requests: list[dict]) -> list[dict]:
        """As they are."""
        return requests

    def predict(self, requests: list[dict]) -> list[int]:  # type: ignore[override]
        """All at once."""
        return self.script.predict_batch(requests)

    def unbatch(self, results: list[int]) -> list[int]:
        """One for each."""
        return results


def main(script: str, port: str, workers: str, max_batch_size: str) -> None:
    """Serve until it is ended."""
    most = int(max_batch_size)
    api = BatchApi(max_batch_size=most, api_path="/score") if most > 1 else Api(api_path="/score")
    api.script_name = script
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=int(workers))
    server.run(host="127.0.0.1", port=int(port), generate_client_file=False, log_level="error", access_log=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
