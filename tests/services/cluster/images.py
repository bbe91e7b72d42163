"""What is otherwise without containers, and nothing else is: how an image starts its program, and where its files lie. Starts nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.services.cluster.compose import Service
from tests.services.cluster.machine import DISK

# What an image keeps here lies on the machine's disk, below the same path.
PATHS = ("/opt/airflow", "/var/lib/postgresql/data", "/data")
AIRFLOW_HOME = f"{DISK}/opt/airflow"
# What the entry point of PostgreSQL's image does: the first time, it makes the database.
START_POSTGRES = f"""
export PGDATA={DISK}/var/lib/postgresql/data
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    echo "$POSTGRES_PASSWORD" >"$TMPDIR/password"
    initdb --username="$POSTGRES_USER" --pwfile="$TMPDIR/password" --auth-host=scram-sha-256 --auth-local=trust --no-sync
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
    echo "CREATE DATABASE $POSTGRES_DB" | postgres --single postgres
fi
exec "$@" -c listen_addresses='*' -c unix_socket_directories="$TMPDIR" -c fsync=off
"""


@dataclass(frozen=True)
class Image:
    """What its entry point puts around the command, and the user that it changes to."""

    before: Sequence[str] = ()
    after: Sequence[str] = ()
    user: str | None = None


# By the beginning of the image's name.
IMAGES: Mapping[str, Image] = {
    "postgres:": Image(before=("sh", "-ec", START_POSTGRES, "sh"), user="postgres"),
    "redis:": Image(after=("--protected-mode", "no")),
    "mcr.microsoft.com/azure-storage/azurite:": Image(),
    "airflow-batchinfer:": Image(),
}


def image_of(service: Service) -> Image:
    (image,) = (image for name, image in IMAGES.items() if service.image.startswith(name))
    return image


def command_of(service: Service) -> list[str]:
    image = image_of(service)
    return [*image.before, *(_on_the_disk(word) for word in service.command), *image.after]


def environment_of(service: Service) -> dict[str, str]:
    """What the image sets, and above it what the file says."""
    return {
        "AIRFLOW_HOME": AIRFLOW_HOME,
        "HOME": f"{DISK}/home",
        "TMPDIR": f"{DISK}/tmp",
        "LANG": "C.UTF-8",
        **{name: _on_the_disk(value) for name, value in service.environment.items()},
    }


def _on_the_disk(text: str) -> str:
    return DISK + text if text.startswith(PATHS) else text
