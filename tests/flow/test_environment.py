# SPDX-License-Identifier: MIT
"""Settings from the environment: TLSRPT_GEN_NAME."""
import os
import re
import subprocess

import pytest


def run(programs, program, *arguments, **variables):
    return subprocess.run([str(getattr(programs, program)), *arguments], stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, timeout=60, check=False, env=dict(os.environ, **variables))


def shown(done):
    """name -> (value, where it came from)"""
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^(\w+) =(.*?)\s*# (\S+)$", done.stdout, re.M)
    return {name: (value.strip(), origin) for name, value, origin in rows}


def test_every_setting_can_be_given_in_the_environment(programs):
    settings = shown(run(programs, "generate", "-c", "/dev/null", "--show-config"))
    values = {"organization_name": "A", "contact_info": "a@b.example"}
    given = {f"TLSRPT_GEN_{name.upper()}": values.get(name, value) for name, (value, _) in settings.items()}
    got = shown(run(programs, "generate", "-c", "/dev/null", "--show-config", **given))
    assert got == {name: (values.get(name, value), f"TLSRPT_GEN_{name.upper()}") for name, (value, _) in settings.items()}


def test_the_command_line_overrides_the_environment_and_that_the_file(programs, make_config):
    config = make_config(ehlo_name="file.example", relay="file.example", bcc="file@b.example")
    got = shown(run(programs, "generate", "-c", str(config), "-o", "ehlo_name=word.example", "--show-config",
                    TLSRPT_GEN_EHLO_NAME="variable.example", TLSRPT_GEN_RELAY="variable.example"))
    assert got["ehlo_name"] == ("word.example", "-o")
    assert got["relay"] == ("variable.example", "TLSRPT_GEN_RELAY")
    assert got["bcc"] == ("file@b.example", f"{config}:7")


@pytest.mark.parametrize("program", ["generate", "collect", "log"])
@pytest.mark.parametrize("variable, value, words", [
    ("TLSRPT_GEN_RELAI", "x", "TLSRPT_GEN_RELAI: relai: unknown setting; did you mean relay?"),
    ("TLSRPT_GEN_SERVICE_HOST", "10.0.0.1", "TLSRPT_GEN_SERVICE_HOST: service_host: unknown setting"),
    ("TLSRPT_GEN_relay", "x", "TLSRPT_GEN_relay: unknown variable; write its name in capitals"),
    ("TLSRPT_GEN_", "x", "TLSRPT_GEN_: : unknown setting"),
    ("TLSRPT_GEN_SPREAD", "long", "TLSRPT_GEN_SPREAD: spread: \"long\": not a duration"),
    ("TLSRPT_GEN_FLEET", "postgresql://u:p@h/d", "TLSRPT_GEN_FLEET: fleet: has a password in it"),
])
def test_a_wrong_variable_is_named(programs, program, variable, value, words):
    more = ["--mta", "exim", "-"] if program == "log" else []
    done = run(programs, program, "-c", "/dev/null", "-o", "organization_name=A", "-o", "contact_info=a@b.example", *more,
               **{variable: value})
    assert done.returncode == 78
    assert words in done.stderr


def test_variables_of_the_programs_themselves_are_no_settings(programs, tmp_path):
    (tmp_path / "clock").write_text("0\n")
    got = shown(run(programs, "generate", "-c", "/dev/null", "--show-config", TLSRPT_GEN_CLOCK=str(tmp_path / "clock"),
                    TLSRPT_GEN_BOOT_ID="4711"))
    assert "clock" not in got
