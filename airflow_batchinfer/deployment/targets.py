"""Which targets there are, as a DAG or a command line names them, and from the name to the target of a workspace."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, Self

from airflow_batchinfer.errors import ConfigError, meant

if TYPE_CHECKING:
    from airflow_batchinfer.deployment.target import Target
    from airflow_batchinfer.workspace import Workspace

LOCAL = "local"


@dataclass(frozen=True, kw_only=True)
class LocalTarget:
    """The machine on which the deploying task runs.

    :param host: Where to listen; only this machine reaches the default.
    :param port: 0 takes one that is free, and keeps it.
    :param tls_certificate: A certificate's file, to serve https.
    :param tls_key: The file of the certificate's key.
    :param open_without_keys: Needed besides `auth_enabled=False` where other machines reach the host.
    """

    host: str = "127.0.0.1"
    port: int = 0
    tls_certificate: str | None = None
    tls_key: str | None = None
    open_without_keys: bool = False

    def __post_init__(self) -> None:
        faults = []
        if not isinstance(self.host, str) or not self.host:
            faults.append(f"LocalTarget: host={self.host!r}: give a name or an address")
        if not isinstance(self.port, int) or not 0 <= self.port < 1 << 16:
            faults.append(f"LocalTarget: port={self.port!r}: give 1 to 65535, or 0 for one that is free")
        if bool(self.tls_certificate) != bool(self.tls_key):
            faults.append("LocalTarget: tls_certificate and tls_key go together: give both")
        if faults:
            raise ConfigError(faults)

    def as_plain(self) -> dict[str, Any]:
        """What Airflow can render."""
        return {"kind": LOCAL, **asdict(self)}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """From `as_plain`."""
        return cls(**{field.name: plain[field.name] for field in fields(cls) if field.name in plain})


def checked(target: object) -> LocalTarget:
    """A target by its name or as it is."""
    if isinstance(target, LocalTarget):
        return target
    if target == LOCAL:
        return LocalTarget()
    raise ConfigError(f"target={target!r}: give {LOCAL!r} or a LocalTarget(...){meant(target, [LOCAL])}")


def open_target(target: LocalTarget, workspace: "Workspace") -> "Target":
    """The services of a workspace there."""
    from airflow_batchinfer.deployment.local.services import LocalServices

    return LocalServices(target, workspace.url)
