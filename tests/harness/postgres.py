"""A private PostgreSQL cluster, or one that runs already.

The postmaster is our direct child, without pg_ctl: SIGQUIT is what `pg_ctl stop -m
immediate` sends, SIGKILL is a crash, and both are ours to time. fsync stays on, because
this cluster is killed on purpose and what it answered must survive that.
"""

import glob
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile

import psycopg
from psycopg import sql

from .ports import free_port
from .process import Process, children_of, privileges, real_user
from .wait import wait_until

SUPERUSER = "postgres"
OWNER = "postonce"  # what the product connects as: an ordinary role that owns its database
PASSWORD = "postonce"

_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "jit": "off",
    "log_line_prefix": "%m [%p] %q%d %a ",
    "log_timezone": "UTC",
    "timezone": "UTC",
}


def binaries():
    """The directory of the newest server programs on this machine."""
    def version(path):
        return [int(number) for number in re.findall(r"\d+", path)]
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres"), key=version)
    if found:
        return pathlib.Path(found[-1]).parent
    on_path = shutil.which("postgres")
    if on_path:
        return pathlib.Path(on_path).parent
    raise RuntimeError("no PostgreSQL server found; run tests/tools/install run")


def connect(url, **options):
    """An autocommit connection; a server that hangs must not hang the tests."""
    return psycopg.connect(url, autocommit=True, connect_timeout=5, **options)


def with_database(url, name):
    """The same connection string, with another database."""
    parameters = psycopg.conninfo.conninfo_to_dict(url)
    parameters["dbname"] = name
    return psycopg.conninfo.make_conninfo(**parameters)


class ExternalPostgres:
    """A server somebody else runs (TEST_POSTGRES): used, never stopped."""

    faults = False

    def __init__(self, url):
        self.admin_url = url

    @property
    def where(self):
        parameters = psycopg.conninfo.conninfo_to_dict(self.admin_url)
        return f"{parameters.get('host', 'localhost')}:{parameters.get('port', 5432)}"

    def start(self):
        connect(self.admin_url).close()
        return self

    def close(self):
        pass

    def url(self, database):
        return with_database(self.admin_url, database)

    def create_database(self, name):
        """A fresh database; its connection string."""
        with connect(self.admin_url) as connection:
            statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
            connection.execute(statement.format(sql.Identifier(name)))
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)

    def drop_database(self, name):
        with connect(self.admin_url) as connection:
            statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)")
            connection.execute(statement.format(sql.Identifier(name)))


class Postgres(ExternalPostgres):
    """A cluster of our own under `directory`."""

    faults = True

    def __init__(self, directory, keep=False, fsync=True, settings=None, password=PASSWORD):
        self.directory = pathlib.Path(directory)
        self._password = password
        self.port = free_port()
        self.user = real_user()
        self.keep = keep
        self._settings = {**_SETTINGS, "port": str(self.port),
                          "fsync": "on" if fsync else "off", **(settings or {})}
        super().__init__(self._url(SUPERUSER, "postgres"))
        self.data = None
        self.to_remove = None  # what goes away with the cluster
        self.process = None

    def _url(self, role, database):
        return (f"postgresql://{role}:{self._password}@127.0.0.1:{self.port}/{database}"
                "?sslmode=disable&gssencmode=disable")

    def url(self, database):
        return self._url(OWNER, database)

    def create_database(self, name):
        super().create_database(name)
        with connect(self.admin_url) as connection:
            statement = sql.SQL("ALTER DATABASE {} OWNER TO {}")
            connection.execute(statement.format(sql.Identifier(name), sql.Identifier(OWNER)))
        return self.url(name)

    # ---- life ----

    def start(self):
        """Makes the cluster if there is none yet, and starts it."""
        if self.data is None:
            self._initialise()
        self.launch()
        self.wait_ready()
        with connect(self.admin_url) as connection:
            connection.execute(f"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname"
                               f" = '{OWNER}') THEN CREATE ROLE {OWNER} LOGIN CREATEROLE"
                               f" PASSWORD '{self._password}'; END IF; END $$")
        return self

    def launch(self):
        """Starts the postmaster without waiting for it."""
        words = [f"{name}={value}" for name, value in self._settings.items()]
        arguments = [part for word in words for part in ("-c", word)]
        self.process = Process("postgres", [binaries() / "postgres", "-D", self.data, *arguments],
                                self.directory / "postgres.log", cwd=self.data, user=self.user,
                                keep=self.keep, death_signal=signal.SIGQUIT)
        self.process.start()

    def wait_ready(self, seconds=30):
        def answers():
            self.process.must_run()
            try:
                connect(self.admin_url).close()
                return True
            except psycopg.OperationalError:
                return False
        wait_until(answers, seconds, "PostgreSQL answers")

    @property
    def pid(self):
        return self.process.pid

    @property
    def running(self):
        return self.process is not None and self.process.running

    def stop(self):
        """A fast shutdown: sessions are ended, a checkpoint is written."""
        self.process.stop(number=signal.SIGINT)

    def stop_immediate(self):
        """What `pg_ctl stop -m immediate` does: no checkpoint, recovery at the next start."""
        self.process.stop(number=signal.SIGQUIT)

    def kill(self):
        """SIGKILL to the postmaster. Its backends notice and leave; until the last is gone
        a new postmaster would refuse to start, so that is waited for."""
        backends = children_of(self.pid)
        self.process.kill()
        wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in backends), 10,
                   "the orphaned backends leave")

    def pause(self):
        """SIGSTOP to the postmaster and every backend: connected, and silent."""
        self.process.pause()
        self._each_backend(signal.SIGSTOP)

    def resume(self):
        if self.running:
            self._each_backend(signal.SIGCONT)
        self.process.resume()

    def restart(self):
        if self.running:
            self.stop_immediate()
        self.launch()
        self.wait_ready()

    def close(self):
        """Ends it and, unless it is kept, removes its data."""
        if self.running:
            self.resume()
            self.stop_immediate()
        if self.to_remove is not None:
            shutil.rmtree(self.to_remove, ignore_errors=True)

    def _each_backend(self, number):
        for pid in children_of(self.pid):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    # ---- the cluster ----

    def _initialise(self):
        self.directory.mkdir(parents=True, exist_ok=True)
        self.data = self._data_directory()
        password = self.data.with_suffix(".password")
        password.write_text(self._password + "\n")
        if self.user:
            shutil.chown(password, self.user)
        command = ["setpriv", *privileges(self.user)] if self.user else []
        command += [binaries() / "initdb", "-D", self.data, "--username", SUPERUSER,
                    "--pwfile", password, "--auth", "scram-sha-256", "--encoding", "UTF8",
                    "--locale", "C.UTF-8", "--no-sync", "--no-instructions"]
        done = subprocess.run(command, cwd=self.data, stdin=subprocess.DEVNULL, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        password.unlink()
        if done.returncode != 0:
            raise RuntimeError(f"initdb failed:\n{done.stdout}")

    def _data_directory(self):
        """A directory of the server's user, which must be able to reach it: where the tree
        lies under a closed home directory, the data goes to the temporary directory."""
        data = (self.directory / "data").absolute()
        self.to_remove = data
        if self.user and not _can_reach(self.user, data.parent):
            self.to_remove = pathlib.Path(tempfile.mkdtemp(prefix="postonce-postgres-"))
            self.to_remove.chmod(0o711)
            data = self.to_remove / "data"
        if data.exists():
            shutil.rmtree(data)
        data.mkdir(mode=0o700)
        if self.user:
            shutil.chown(data, self.user)
        return data


def _can_reach(user, directory):
    probe = subprocess.run(["setpriv", *privileges(user), "test", "-x", directory],
                           stderr=subprocess.DEVNULL)
    return probe.returncode == 0
