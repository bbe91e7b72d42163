"""What uv is told, and what its failures mean."""

import pytest

from airflow_batchinfer.environments.programs import failure, settings_of_uv
from airflow_batchinfer.environments.pythons import fits, narrowed
from airflow_batchinfer.errors import UnusableEnvironment, WorkersUnavailable


def test_what_pip_is_told_of_indexes_uv_is_told_too_but_its_own_settings_count_more():
    own = {"PIP_INDEX_URL": "https://a", "PIP_FIND_LINKS": "/x /y", "PIP_EXTRA_INDEX_URL": "https://b https://c", "UV_NO_INDEX": "0"}
    found = settings_of_uv({**own, "UV_DEFAULT_INDEX": "https://mine", "PIP_NO_INDEX": "1"})
    ours = {"UV_FIND_LINKS": "/x,/y", "UV_EXTRA_INDEX_URL": "https://b https://c", "UV_DEFAULT_INDEX": "https://mine", "UV_NO_INDEX": "0"}
    assert {name: value for name, value in found.items() if name.startswith("UV_")} == ours


def test_settings_of_uv_and_of_networks_pass_and_what_is_active_around_the_node_and_airflow_s_secrets_do_not():
    passes = {"UV_OFFLINE": "1", "UV_INDEX_SHOP_PASSWORD": "x", "HTTPS_PROXY": "http://p", "HOME": "/root", "AWS_PROFILE": "a"}
    stays = {"VIRTUAL_ENV": "/x", "PYTHONPATH": "/y", "UV_PYTHON": "3.9", "AIRFLOW_CONN_SHOP": "secret", "AIRFLOW__CORE__FERNET_KEY": "k"}
    assert settings_of_uv({**passes, **stays}) == passes


@pytest.mark.parametrize(
    "said",
    [
        "error: Request failed after 3 retries in 10.3s\n  cause: error sending request for url (https://pypi.org/simple/numpy/)",
        "error: Failed to fetch: `https://h/`\n  cause: HTTP status server error (503 Service Unavailable) for url (https://h/)",
        "error: dns error",
        "error: Failed to fetch: `https://h/`\n  cause: HTTP status client error (429 Too Many Requests) for url (https://h/)",
        "error: failed to write: No space left on device (os error 28)",
        "CondaHTTPError: HTTP 000 CONNECTION FAILED for url",
    ],
)
def test_what_the_surroundings_did_may_work_later(said: str):
    error = failure("it cannot be had", said, 2)
    assert isinstance(error, WorkersUnavailable)
    assert str(error) == f"it cannot be had, which may work later:\n{said}"


@pytest.mark.parametrize(
    "said",
    [
        "error: No solution found when resolving dependencies\n  cause: Because there is no version of numpy==999",
        "error: No solution found when resolving dependencies\n  cause: Because there is no version of x==502 and you require x==502",
        "error: Couldn't parse requirement in `requirements.txt` at position 0",
        "error: Failed to fetch: `https://h/`\n  cause: HTTP status client error (403 Forbidden) for url (https://h/)",
        "error: Failed to build `x==1.0`\n  cause: The build backend returned an error",
    ],
)
def test_what_someone_must_change_is_told_as_it_is(said: str):
    error = failure("it cannot be had", said, 1)
    assert isinstance(error, UnusableEnvironment)
    assert str(error) == f"it cannot be had:\n{said}"


def test_a_failure_holds_no_secret_and_is_not_endless():
    error = str(failure("it cannot be had", f"https://u:hunter2@h/simple {'x' * 100_000} the end", 1))
    assert "hunter2" not in error
    assert len(error) < 10_000
    assert error.endswith("the end")


def test_a_token_of_conda_s_is_not_told():
    error = str(failure("it cannot be had", "HTTP 404 for https://conda.example/t/hunter2/shop/linux-64/repodata.json", 1))
    assert error.endswith("https://conda.example/t/****/shop/linux-64/repodata.json")


def test_a_program_that_was_killed_may_work_later():
    assert "ended by signal 9" in str(failure("it cannot be had", "", -9))


@pytest.mark.parametrize(
    ("wanted", "version", "does"),
    [
        ("3", (3, 11, 7), True),
        ("3.11", (3, 11, 7), True),
        ("3.11.7", (3, 11, 7), True),
        ("3.11.8", (3, 11, 7), False),
        ("3.1", (3, 11, 7), False),
        (">=3.10,<3.12", (3, 11, 7), True),
        (">=3.10,<3.11", (3, 11, 7), False),
        ("==3.11.*", (3, 11, 7), True),
    ],
)
def test_a_python_is_wanted_by_version_or_by_specifiers(wanted: str, version: tuple[int, ...], does: bool):
    assert fits(wanted, version) is does


@pytest.mark.parametrize(("wanted", "narrow"), [("3.11", "3.11"), ("3.11.7", "3.11.7"), ("3", "3.12"), (">=3.10,<4", ">=3.10,<4,==3.12.*")])
def test_where_a_choice_was_left_the_lock_s_python_counts(wanted: str, narrow: str):
    assert narrowed(wanted, "3.12") == narrow
