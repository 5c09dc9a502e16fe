# SPDX-License-Identifier: MIT
"""make install and make uninstall: what they put where, and what they leave alone."""
import os
import re
import subprocess

import pytest

import programs as lib

LAYOUTS = {
    "the default": ({}, "usr/local", "usr/local/lib/systemd/system"),
    "a distribution's": ({"PREFIX": "/usr", "UNITDIR": "/lib/systemd/system"}, "usr", "lib/systemd/system"),
    "a folder of one's own": ({"PREFIX": "/opt/tlsrpt", "SYSCONFDIR": "/opt/tlsrpt/etc", "BINDIR": "/opt/tlsrpt/bin"},
                              "opt/tlsrpt", "opt/tlsrpt/lib/systemd/system"),
}


def make(target, destination, variables):
    """Without building: the programs are there, and must not be built again with other flags than the tests'."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(["make", "-s", "-C", lib.ROOT, "-o", "all", "-o", f"{lib.BUILD}/flags", f"BUILD={lib.BUILD}",
                           f"DESTDIR={destination}", target, *(f"{key}={value}" for key, value in variables.items())],
                          env=environment, capture_output=True, text=True, timeout=lib.RUN_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def files(folder):
    return {str(path.relative_to(folder)): oct(path.stat().st_mode & 0o777) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(params=LAYOUTS)
def layout(request, tmp_path, monkeypatch):
    # Substituted files depend on the layout, so each test has a build folder for them alone.
    build = tmp_path / "build"
    build.mkdir()
    for program in lib.BUILD.glob("tlsrpt-gen*"):
        if program.is_file():
            (build / program.name).symlink_to(program)
    monkeypatch.setattr(lib, "BUILD", build)
    return LAYOUTS[request.param]


def test_install_and_uninstall(layout, tmp_path, programs):
    variables, prefix, units = layout
    root = tmp_path / "root"
    make("install", root, variables)
    installed = files(root)
    binaries = variables.get("BINDIR", f"/{prefix}/sbin").lstrip("/")
    config = f"{variables.get('SYSCONFDIR', '/etc').lstrip('/')}/tlsrpt-gen/tlsrpt-gen.conf"
    for name, mode in {f"{binaries}/tlsrpt-gen": "0o755", f"{binaries}/tlsrpt-gen-collect": "0o755",
                       f"{prefix}/libexec/tlsrpt-gen/tlsrpt-gen-smtp": "0o755", config: "0o644",
                       f"{units}/tlsrpt-gen-collect.socket": "0o644", f"{units}/tlsrpt-gen-log@.service": "0o644",
                       f"{prefix}/share/man/man8/tlsrpt-gen.8": "0o644", f"{prefix}/lib/sysusers.d/tlsrpt-gen.conf": "0o644",
                       f"{prefix}/lib/tmpfiles.d/tlsrpt-gen.conf": "0o644",
                       f"{prefix}/share/tlsrpt-gen/runit/run": "0o755",
                       f"{prefix}/share/tlsrpt-gen/cron.d/tlsrpt-gen": "0o644"}.items():
        assert installed.get(name) == mode, name
    services = "".join((root / name).read_text() for name in installed if name.endswith(".service"))
    started = re.findall(r"^ExecStart=(\S+)", services, re.M)
    assert len(started) == 4 and all(path.startswith(f"/{binaries}/") and path.lstrip("/") in installed for path in started)

    (root / config).write_text("organization_name = Mine\n")
    make("install", root, variables)
    assert (root / config).read_text() == "organization_name = Mine\n"
    make("uninstall", root, variables)
    assert set(files(root)) == {config}
    assert not [path for path in root.rglob("*tlsrpt*") if path.name != "tlsrpt-gen.conf" and path != (root / config).parent
                and path != root / "opt/tlsrpt"]
