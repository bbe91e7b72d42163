"""By which ids an answer is known."""

import pytest

from airflow_batchinfer.service import request_ids
from airflow_batchinfer.service.request_ids import TooLong

OWN, LEGACY, CLIENT = b"x-request-id", b"x-ms-request-id", b"x-ms-client-request-id"


@pytest.mark.parametrize(
    ("given", "answered"),
    [
        ({OWN: b"a"}, {OWN: b"a", LEGACY: b"a"}),
        ({OWN: b"a", CLIENT: b"c"}, {OWN: b"a", LEGACY: b"c", CLIENT: b"c"}),
        ({OWN: b"a", LEGACY: b"l"}, {OWN: b"a", LEGACY: b"l", CLIENT: b"l"}),
        ({OWN: b"a", LEGACY: b"l", CLIENT: b"c", b"traceid": b"t"}, {OWN: b"a", LEGACY: b"l", CLIENT: b"c", b"traceid": b"t"}),
    ],
)
def test_ids_come_back_under_the_names_that_the_caller_may_look_for(given: dict[bytes, bytes], answered: dict[bytes, bytes]):
    headers = request_ids.of(given)
    assert dict(headers) == answered
    assert len(headers) == len(answered)
    assert headers[0][0] == OWN


def test_an_id_that_is_made_is_another_each_time():
    assert len({request_ids.of({})[0] for _ in range(100)}) == 100


@pytest.mark.parametrize(("name", "kept"), [(OWN, []), (LEGACY, [OWN]), (CLIENT, [OWN])])
def test_an_id_that_is_too_long_does_not_come_back(name: bytes, kept: list[bytes]):
    request_ids.of({name: b"x" * 100})
    with pytest.raises(TooLong, match="must not exceed 100 characters") as error:
        request_ids.of({name: b"x" * 101})
    assert [header for header, _ in error.value.headers] == kept
