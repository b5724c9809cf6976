# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""Runs the daemon, and a throw-away PostgreSQL, for tests. Waits are for conditions, with deadlines."""

import contextlib
import glob
import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request

import daemon_log

ROOT = pathlib.Path(__file__).resolve().parents[2]
SANITIZER = re.compile(
    r"AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:|Assertion .* failed"
)
PASSWORD = "a password & more"
# Shells have what they start behind them ignore Ctrl-C, and children inherit that: a daemon would not hear it either.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
SLOW = float(os.environ.get("CAPSTAN_TEST_SLOW", "1"))


def binary():
    return os.environ.get("CAPSTAN_BINARY", str(ROOT / "build" / "release" / "capstan"))


def wait_for(condition, seconds=20.0, what="the condition"):
    """The first true value of condition(), asked again and again."""
    deadline = time.monotonic() + seconds * SLOW
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {seconds * SLOW:.0f} s")
        time.sleep(0.01)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def temporary_dir(name="capstan-test-"):
    """One that another user (the private PostgreSQL's) may pass through."""
    path = tempfile.mkdtemp(prefix=name)
    os.chmod(path, 0o711)
    return path


def alive(pid):
    """Whether the process runs; a zombie does not."""
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def environment(**more):
    # how soon runs are settled changes no answer: any test may be run with any value
    kept = "CAPSTAN_TEST_SETTLE_MS"
    env = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "CAPSTAN_")) or k == kept}
    env.pop("NOTIFY_SOCKET", None)
    env.setdefault("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0:exitcode=99")
    env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
    env.update(more)
    if "AWS_EC2_METADATA_SERVICE_ENDPOINT" not in env:
        env.setdefault("AWS_EC2_METADATA_DISABLED", "true")     # the machine's own would be asked over the network
    return env


def run(*args, env=None, timeout=60, **options):
    """The binary with arguments, to its end."""
    return subprocess.run(
        [binary(), *args],
        env=environment(**(env or {})),
        capture_output=True,
        text=True,
        timeout=timeout * SLOW,
        stdin=subprocess.DEVNULL,
        **options,
    )


class Server:
    """A daemon on a free port."""

    def __init__(self, *flags, backend=None, data_dir=None, env=None):
        self.binary = binary()
        self.flags = list(flags)
        self.backend = backend
        self.env = env or {}
        self.host = "127.0.0.1"
        self.port = free_port()
        self.own_dir = data_dir is None
        self.data_dir = data_dir or temporary_dir()
        self.log_path = os.path.join(self.data_dir, "daemon.log")
        self.process = None
        daemon_log.watch(self)

    @property
    def url(self):
        return f"http://{self.host}:{self.port}"

    @property
    def pid(self):
        return self.process.pid

    def command(self):
        command = [
            self.binary,
            "serve",
            "--host",
            self.host,
            "--port",
            str(self.port),
            "--data-dir",
            self.data_dir,
        ]
        if self.backend:
            command += ["--backend-store-uri", self.backend]
        return command + self.flags

    def spawn(self):
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                env=environment(**self.env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self

    def start(self):
        self.spawn()
        wait_for(lambda: self.ready() or self.process.poll() is not None, 60, "first answer")
        if self.process.poll() is not None:
            raise RuntimeError(
                f"the daemon left with {self.process.returncode}:\n{self.log()[-4000:]}"
            )
        return self

    def ready(self):
        with contextlib.suppress(OSError):
            with urllib.request.urlopen(self.url + "/health", timeout=5) as reply:
                return reply.status == 200
        return False

    def stop(self, number=signal.SIGTERM, expect=0):
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)
            self.process.wait(30 * SLOW)
        if self.process and expect is not None:
            assert self.process.returncode == expect, self.log()[-4000:]

    def kill(self):
        self.process.kill()
        self.process.wait(30)

    def restart(self):
        self.stop()
        return self.start()

    def log(self):
        with open(self.log_path, errors="replace") as f:
            return f.read()

    def postmaster(self):
        """pid of the private PostgreSQL, None where there is none."""
        with contextlib.suppress(OSError, ValueError, IndexError):
            with open(os.path.join(self.data_dir, "postgres", "postmaster.pid")) as f:
                pid = int(f.read().split()[0])
                return pid if alive(pid) else None
        return None

    def processes(self):
        """Everything alive that works in the data directory: the daemon, its PostgreSQL."""
        found = []
        for entry in glob.glob("/proc/[0-9]*"):
            with contextlib.suppress(OSError):
                with open(entry + "/cmdline", "rb") as f:
                    line = f.read().decode(errors="replace")
                cwd = os.readlink(entry + "/cwd")
                pid = int(entry[6:])
                if (
                    (self.data_dir in line or cwd.startswith(self.data_dir))
                    and pid != os.getpid()
                    and alive(pid)
                ):
                    found.append(pid)
        return found

    def check(self):
        """No sanitizer or assertion spoke."""
        text = self.log()
        found = SANITIZER.search(text)
        assert not found, text[max(0, found.start() - 200) : found.start() + 6000]

    def close(self):
        self.stop(expect=None)
        postmaster = self.postmaster()
        if postmaster:
            os.kill(postmaster, signal.SIGINT)
            wait_for(lambda: not alive(postmaster), 20, "end of PostgreSQL")
        if self.own_dir:
            shutil.rmtree(self.data_dir, ignore_errors=True)


class Postgres:
    """A cluster of its own, on TCP with a password, as the operator's external database."""

    user = "tracker"

    def __init__(self, settings="-c max_connections=200"):
        self.settings = settings
        self.bin = sorted(
            glob.glob("/usr/lib/postgresql/*/bin"), key=lambda p: int(p.split("/")[4])
        )[-1]
        self.dir = temporary_dir("capstan-pg-")
        self.port = free_port()
        self.as_user = []
        if os.geteuid() == 0:
            self.as_user = ["runuser", "-u", "postgres", "--"]
            os.chown(self.dir, pwd.getpwnam("postgres").pw_uid, -1)
        self.data = os.path.join(self.dir, "data")

    def call(self, program, *args, **options):
        return subprocess.run(
            self.as_user + [os.path.join(self.bin, program), *args],
            cwd="/",
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            **options,
        )

    def start(self):
        password = os.path.join(self.dir, "password")
        with open(password, "w") as f:
            f.write(PASSWORD + "\n")
        os.chmod(password, 0o644)
        self.call(
            "initdb",
            "-D",
            self.data,
            "-U",
            self.user,
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "--auth=scram-sha-256",
            "--pwfile",
            password,
            "--no-sync",
        )
        return self.resume()

    def resume(self):
        self.call(
            "pg_ctl",
            "-D",
            self.data,
            "-w",
            "-l",
            os.path.join(self.dir, "log"),
            "-o",
            f"-h 127.0.0.1 -p {self.port} -k {self.dir} {self.settings}",
            "start",
        )
        return self

    def revive(self):
        """Starts again after kill(): the kernel may need a moment to forget the dead."""

        def started():
            with contextlib.suppress(subprocess.CalledProcessError):
                return self.resume()

        wait_for(started, 20, "PostgreSQL again")

    def pid(self):
        with open(os.path.join(self.data, "postmaster.pid")) as f:
            return int(f.read().split()[0])

    def stop(self, how="fast"):
        self.call("pg_ctl", "-D", self.data, "-w", "-m", how, "stop")

    def kill(self):
        """kill -9 of the postmaster and its children."""
        pid = self.pid()
        children = subprocess.run(
            ["pgrep", "-P", str(pid)], capture_output=True, text=True
        ).stdout.split()
        for each in [pid, *map(int, children)]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)
        wait_for(lambda: not any(map(alive, [pid, *map(int, children)])), 10, "end of PostgreSQL")

    def connect(self, database="postgres"):
        import psycopg2

        connection = psycopg2.connect(
            host="127.0.0.1", port=self.port, user=self.user, password=PASSWORD, dbname=database
        )
        connection.autocommit = True
        return connection

    def database(self, name):
        """Makes a database; its URI as an MLflow user writes it."""
        with contextlib.closing(self.connect()) as connection, connection.cursor() as cursor:
            cursor.execute(f'CREATE DATABASE "{name}"')
        return self.uri(name)

    def uri(self, name, password=PASSWORD, scheme="postgresql+psycopg2"):
        quoted = urllib.request.quote(password, safe="")
        return f"{scheme}://{self.user}:{quoted}@127.0.0.1:{self.port}/{name}"

    def close(self):
        with contextlib.suppress(subprocess.CalledProcessError):
            self.stop("immediate")
        shutil.rmtree(self.dir, ignore_errors=True)
