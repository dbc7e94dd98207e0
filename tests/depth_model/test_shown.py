"""Names and addresses as they may be printed."""

from __future__ import annotations

import pytest

from depth_model.errors import UserError
from depth_model.shown import printable, redacted, shown, without_password

pytestmark = pytest.mark.hostile


def test_control_characters_are_escaped():
    hostile = "a\x1b[2J\x07\r\nb\x9b31m\u202egpj.\u2028\udcff\x00é ü"
    assert shown(hostile) == r"a\x1b[2J\x07\r\nb\x9b31m\u202egpj.\u2028\udcff\x00é ü"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://me:CANARY@host:5000/x", "http://***@host:5000/x"),
        ("see postgresql://me:CAN@ARY@db/x and s3://k:CANARY@b", "see postgresql://***@db/x and s3://***@b"),
        ("sqlite:////home/me/mlflow.db", "sqlite:////home/me/mlflow.db"),
        ("mail me@host", "mail me@host"),
    ],
)
def test_users_and_passwords_in_addresses_are_stars(text, expected):
    assert redacted(text) == expected
    assert printable(text + "\t\x1b") == expected + "    \\x1b"


@pytest.mark.parametrize("uri", ["http://me:CANARY@h", "https://CANARY@h/x", "postgresql://me:CANARY@h/db"])
def test_a_password_in_a_setting_is_refused_without_being_told(uri):
    with pytest.raises(UserError, match=r"^SETTING: .*\*\*\*@h.* do this$") as caught:
        without_password("SETTING", uri, "do this")
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("uri", ["", "http://h:5000", "postgresql://me@h/db", "sqlite:///a@b", "s3://bucket/a@b:c"])
def test_other_settings_pass(uri):
    assert without_password("SETTING", uri, "") == uri
