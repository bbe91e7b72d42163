"""An Azure Blob Storage on loopback, Azurite: `with azurite() as server`, then `server.connection_string`.

It keeps everything in memory, writes no file, and ends with the thread that started it, also when that is killed. `make test-services`
installs it into build/azurite.
"""

import contextlib
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

PROGRAM = Path(__file__).parents[2] / "build" / "azurite" / "node_modules" / ".bin" / "azurite-blob"
# The account of every Azurite, as its documentation says: no secret.
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
WHERE = ("--blobHost", "127.0.0.1", "--blobPort", "0")
# Azure's library for Python speaks newer versions of the protocol than any Azurite knows.
OPTIONS = ("--inMemoryPersistence", "--disableTelemetry", "--skipApiVersionCheck", "--silent")
# No other way to end with a parent that is killed, since Azurite does not read its standard input.
ENDS_WITH_ITS_PARENT = ("setpriv", "--pdeathsig", "KILL")


@dataclass(frozen=True)
class Azurite:
    port: int
    account: str = ACCOUNT
    key: str = KEY

    @property
    def url(self) -> str:
        """The account's endpoint."""
        return f"http://127.0.0.1:{self.port}/{self.account}"

    @property
    def connection_string(self) -> str:
        """The only way to tell adlfs of an endpoint without TLS."""
        return f"DefaultEndpointsProtocol=http;BlobEndpoint={self.url};AccountName={self.account};AccountKey={self.key};"

    def at(self, port: int) -> "Azurite":
        """The same, reached by another port."""
        return replace(self, port=port)

    @contextlib.contextmanager
    def container(self, name: str) -> Iterator["ContainerClient"]:
        """A container as Azure's own library shows it."""
        from azure.storage.blob import BlobServiceClient

        with (
            BlobServiceClient.from_connection_string(self.connection_string) as service,
            service.get_container_client(name) as client,
        ):
            yield client

    def token(self, container: str, permission: str) -> str:
        """A shared access signature: r reads, l lists, w writes, c creates, d deletes."""
        from azure.storage.blob import generate_container_sas

        until = datetime.now(UTC) + timedelta(hours=1)
        return generate_container_sas(self.account, container, account_key=self.key, permission=permission, expiry=until)

    def make_container(self, name: str) -> None:
        """Azure wants at least three characters, and no capitals."""
        from azure.storage.blob import BlobServiceClient

        with BlobServiceClient.from_connection_string(self.connection_string) as client:
            client.create_container(name).close()


@contextlib.contextmanager
def azurite() -> Iterator[Azurite]:
    if not PROGRAM.exists():
        raise RuntimeError(f"there is no {PROGRAM}: run make build/azurite, which installs it")
    with subprocess.Popen([*ENDS_WITH_ITS_PARENT, PROGRAM, *WHERE, *OPTIONS], stdout=subprocess.PIPE, text=True) as process:
        said = []
        for line in process.stdout:
            said.append(line)
            if listening := re.search(r"successfully listens on \S+:(\d+)", line):
                break
        else:
            raise RuntimeError(f"Azurite did not start; it said:\n{''.join(said)}")
        try:
            yield Azurite(int(listening[1]))
        finally:
            process.terminate()
            process.wait()  # before its output is closed, into which it says goodbye
