import json

import pytest

from cacheroute import errors
from cacheroute.service import error_response


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (errors.BadRequest, 400),
        (errors.ContextOverflow, 400),
        (errors.Unauthorized, 401),
        (errors.Forbidden, 403),
        (errors.NotFound, 404),
        (errors.Conflict, 409),
        (errors.TooLarge, 413),
        (errors.Overloaded, 429),
        (errors.UpstreamFailed, 502),
        (errors.Unavailable, 503),
        (errors.DeadlineExceeded, 504),
    ],
)
def test_each_branch_has_its_status_in_openais_shape(kind, status):
    response = error_response(kind("what is wrong"), "rid")
    assert response.status == status
    assert response.headers["X-Request-ID"] == "rid"
    assert set(json.loads(response.body)["error"]) == {"message", "type", "param", "code"}


def test_what_passes_by_itself_says_when_to_come_back():
    assert error_response(errors.Overloaded("full", retry_after_s=2.2)).headers["Retry-After"] == "3"


def test_no_control_character_of_a_foreign_message_gets_out():
    assert "\\u001b" not in error_response(errors.BadRequest("\x1b[31mred")).body.decode()
