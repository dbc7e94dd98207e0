"""One line for what a user can mend, whatever stands in names and messages."""

from __future__ import annotations

import errno

import pytest

from depth_model.errors import CAN_PASS, BadInput, CanPass, UserError
from depth_model.shards.store import StoreAway
from depth_model.shown import run_command


def said_of(capsys, error):
    def fail():
        raise error

    with pytest.raises(SystemExit):
        run_command(fail)
    return capsys.readouterr().err


@pytest.mark.hostile
def test_control_characters_and_passwords_do_not_reach_the_terminal(capsys):
    said = said_of(capsys, UserError("a\x1b[2Jb at http://me:CANARY@h\nand this"))
    assert said == "error: a\\x1b[2Jb at http://***@h\nerror: and this\n"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
def test_a_fault_of_the_file_system_names_the_file(capsys, number):
    said = said_of(capsys, OSError(number, "why", "/out/a\nb"))
    assert said == "error: /out/a\\nb: why\n"


def test_a_fault_of_the_software_keeps_its_traceback():
    def fail():
        raise OSError(errno.EBADF, "why")

    with pytest.raises(OSError, match="why"):
        run_command(fail)


@pytest.mark.parametrize(
    ("error", "status"), [(UserError("x"), 1), (BadInput("x"), 1), (CanPass("x"), CAN_PASS), (StoreAway("x"), CAN_PASS)]
)
def test_the_exit_status_says_what_may_pass_by_itself(error, status):
    def fail():
        raise error

    with pytest.raises(SystemExit) as ended:
        run_command(fail)
    assert ended.value.code == status
