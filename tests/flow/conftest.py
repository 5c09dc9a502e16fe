# SPDX-License-Identifier: MIT
"""Fixtures for the flow tests.  Run them with tests/run, or `BUILD=… /usr/bin/python3 -m pytest tests/flow`."""
import subprocess
import uuid

import pytest

import pgsql
import programs as lib
import servers
from dkim_keys import Keys


@pytest.fixture(scope="session")
def programs():
    found = lib.Programs()
    if not found.generate.exists():
        pytest.exit(f"{found.generate} is not built: run make, or set BUILD", returncode=2)
    return found


@pytest.fixture
def make_config(tmp_path):
    """make_config(key=value, …) writes a settings file with the two required keys and returns its path."""
    def write(**settings):
        base = dict(lib.IDENTITY, state_dir=tmp_path / "state", socket=tmp_path / "tlsrpt.sock")
        return lib.write_config(tmp_path / "tlsrpt-gen.conf", {**base, **settings})
    return write


@pytest.fixture
def run_generator(programs):
    """run_generator(*arguments) runs tlsrpt-gen and returns what subprocess.run does."""
    def run(*arguments, **keywords):
        return subprocess.run([str(programs.generate), *map(str, arguments)], stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, timeout=lib.RUN_S, check=False, **keywords)
    return run


@pytest.fixture
def send_datagrams():
    return lib.send_datagrams


@pytest.fixture
def make_site(programs, tmp_path):
    """make_site(**settings): a Site below tmp_path that is closed when the test ends."""
    sites = []
    def make(**settings):
        sites.append(lib.Site(tmp_path / f"site{len(sites)}", programs, **settings))
        return sites[-1]
    yield make
    for site in sites:
        site.close()
        (site.state / "ring").unlink(missing_ok=True)  # 16 MB each would fill a small disk


@pytest.fixture
def site(make_site):
    return make_site()


@pytest.fixture
def collector(site):
    """A Site whose collector runs."""
    return site.start_collector()


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return servers.Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def nsd(tmp_path):
    with servers.Nsd(tmp_path / "nsd") as server:
        yield server


@pytest.fixture
def smtp_sink():
    with servers.SmtpSink() as server:
        yield server


@pytest.fixture
def https_server(authority):
    with servers.HttpsServer(authority.server()) as server:
        yield server


@pytest.fixture(scope="session")
def keys(tmp_path_factory):
    return Keys(tmp_path_factory.mktemp("dkim"))


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server; the tests that want one are skipped where there is none."""
    pgsql.need()
    server = pgsql.Postgres()
    yield server
    server.close()


@pytest.fixture
def database(postgres):
    """Connection string of an empty database."""
    name = f"fleet_{uuid.uuid4().hex[:12]}"
    yield postgres.create(name)
    postgres.drop(name)


def pytest_collection_modifyitems(items):
    """The longest come first, so that nobody begins one of them when the others are done."""
    items.sort(key=lambda item: item.path.name != "test_strangers.py")
