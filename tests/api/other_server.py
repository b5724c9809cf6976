# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""A real MLflow server for tests that need two servers, and a proxy that counts and kills."""

import http.client
import http.server
import os
import shutil
import signal
import subprocess
import sys
import threading
import urllib.request
from urllib.parse import urlsplit

import capstan_server


class Mlflow:
    """mlflow server, by default on sqlite, artifacts served through its proxy from a local directory."""

    def __init__(self, backend=None):
        self.dir = capstan_server.temporary_dir("mlflow-test-")
        self.backend = backend or "sqlite:///" + os.path.join(self.dir, "mlflow.db")
        self.port = capstan_server.free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = open(os.path.join(self.dir, "log"), "ab")
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            [
                sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port),
                "--backend-store-uri", self.backend,
                "--artifacts-destination", os.path.join(self.dir, "artifacts"), "--workers", "1",
            ],
            cwd=self.dir,
            env=capstan_server.environment(
                MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true", MLFLOW_ALLOW_FILE_STORE="true"
            ),
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=self.log,
            start_new_session=True,
        )

        def ready():
            assert self.process.poll() is None, open(self.log.name).read()[-3000:]
            try:
                with urllib.request.urlopen(self.url + "/health", timeout=5) as reply:
                    return reply.status == 200
            except OSError:
                return False

        capstan_server.wait_for(ready, 120, "MLflow's first answer")
        return self

    def close(self):
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(30)
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)


class Killer:
    """A proxy before a server. At the nth request that changes something it calls strike(), before
    or after the server has it."""

    def __init__(self, url):
        self.target = urlsplit(url)
        self.count = 0
        self.at = None
        self.after = False
        self.strike = None
        self.seen = []
        killer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def body(self):
                if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
                    data = b""
                    while size := int(self.rfile.readline(), 16):
                        data += self.rfile.read(size)
                        self.rfile.readline()
                    self.rfile.readline()
                    return data
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))

            def handle_any(self):
                if self.headers.get("Expect"):
                    self.send_response_only(100)
                    self.end_headers()
                data = self.body()
                changes = self.command != "GET" and not self.path.endswith("/search")
                killer.count += changes
                killer.seen.append((self.command, self.path))
                hit = changes and killer.count == killer.at
                if hit and not killer.after:
                    killer.strike()
                    self.close_connection = True
                    return
                connection = http.client.HTTPConnection(killer.target.hostname, killer.target.port, timeout=60)
                headers = {
                    k: v
                    for k, v in self.headers.items()
                    if k.lower() in ("content-type", "authorization", "accept")
                }
                connection.request(self.command, self.path, data or None, headers)
                reply = connection.getresponse()
                answer = reply.read()
                connection.close()
                if hit:
                    killer.strike()
                    self.close_connection = True
                    return
                self.send_response(reply.status)
                self.send_header("Content-Type", reply.getheader("Content-Type", ""))
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def arm(self, at, after, strike):
        self.count, self.at, self.after, self.strike, self.seen = 0, at, after, strike, []

    def close(self):
        self.server.shutdown()
        self.server.server_close()
