# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""
Plays a script of requests against a server and writes each reply down so that two servers can be compared.

A script is a list of steps (request, body, captures), or just a request:
    request    "POST runs/create": below /api/2.0/mlflow/; with a leading slash the path as it stands
    body       dict or list: JSON, for GET the query; str, bytes: as it is; Raw: with headers of its own
    captures   "run=run.info.run_id n=runs.0.info.run_name": values of the reply that later steps name $run, $n;
               "sort:a,b" gives the names $a and $b anew, so that $a < $b
$u is the same text for both servers and new for each session.
"""

import contextlib
import http.client
import json
import re
import time
from urllib.parse import quote, urlencode, urlsplit

HEADERS = ("Content-Type", "Content-Disposition", "Content-Range")
# MLflow reads these from relations without an order.
SETS = {"tags", "params", "data.metrics", "model_inputs", "model_outputs", "dataset_inputs", "events"}
HEX = re.compile(r"\b(?:(?:m-)?[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b")
NAME = re.compile(r"^[a-z]+-[a-z]+-\d{1,4}$")
PLACES = {"message", "artifact_uri", "artifact_location", "root_uri", "source"}
RUN = re.compile(r"(.)\1{63,}")
POSITION = re.compile(r" \(at position \d+\)$")
SET = re.compile(r"'?\{('[^{}]*')\}'?")
VARIABLE = re.compile(r"\$(\w+)")


class Raw:
    """A body with its own headers; None leaves one out."""

    def __init__(self, data="", **headers):
        self.data = data.encode() if isinstance(data, str) else data
        self.headers = {k.replace("_", "-"): v for k, v in headers.items()}

    def __repr__(self):
        text = self.data if len(self.data) < 80 else self.data[:80] + b"..."
        return f"{text!r} {self.headers or ''}"


def short(value, limit=400):
    text = repr(value) if isinstance(value, (Raw, str, bytes)) else json.dumps(value, ensure_ascii=False)
    text = RUN.sub(lambda m: f"{m[1]}<{len(m[0])}>", text)
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)})"


class Exchange:
    """One step, one reply: `text` is what is compared, `line` the same in one line."""

    def __init__(self, step, status, reply, headers):
        body = step[1] if len(step) > 1 else None
        self.request = step[0] if body is None else f"{step[0]} {short(body)}"
        self.status = status
        self.page = isinstance(reply, bytes) and status >= 400
        self.error = isinstance(reply, dict) and "error_code" in reply
        if isinstance(reply, bytes):            # not JSON
            # Error pages are for people; clients look at the status.
            reply = f"({len(reply)} bytes) {reply[:400]!r}" if status < 400 else "(a page)"
            headers = headers if status < 400 else {}
            self.line = self.text = f"{status} {reply} {json.dumps(headers)}"
            return
        if self.error:
            self.line = f"{status} {reply['error_code']}: {' '.join(str(reply.get('message')).split())}"
            rest = {k: v for k, v in reply.items() if k not in ("error_code", "message")}
            self.line += f" {json.dumps(rest, sort_keys=True)}"
        else:
            self.line = f"{status} {json.dumps(reply, sort_keys=True)}"
        self.text = f"{status}\n{json.dumps(reply, indent=1, sort_keys=True, ensure_ascii=False)}"
        if headers.get("Content-Type") != "application/json":
            self.line += f" {headers}"
            self.text += f"\n{headers}"

    def equals(self, ours):
        """The same; our errors are JSON where MLflow has pages for people."""
        return self.text == ours.text or self.page and ours.error and self.status == ours.status


class Player:
    def __init__(self, url, unique):
        self.url = url
        self.names = {"u": unique}              # captured values by name
        self.ids = {}                           # what stands for a captured id in `text`
        self.new = {}                           # for the others, reply by reply
        self.experiments = {}
        self.start = int(time.time() * 1000)
        self.connection = None

    def play(self, script):
        return [self.step(step) for step in script]

    # -- sending

    def fill(self, value, escape=str):
        if isinstance(value, str):
            return VARIABLE.sub(lambda m: escape(self.names.get(m[1], m[0])), value)
        if isinstance(value, list):
            return [self.fill(v) for v in value]
        if isinstance(value, dict):
            return {self.fill(k): self.fill(v) for k, v in value.items()}
        return value

    def send(self, method, path, data, headers):
        parts = urlsplit(self.url)
        for attempt in (1, 2):
            if not self.connection:
                self.connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
            try:
                self.connection.putrequest(method, path, skip_accept_encoding=True)
                for name, value in headers.items():
                    if value is not None:
                        self.connection.putheader(name, value)
                self.connection.putheader("Content-Length", str(len(data)))
                with contextlib.suppress(BrokenPipeError):      # refused before all of it was sent
                    self.connection.endheaders(data)
                reply = self.connection.getresponse()
                body = reply.read()
                if reply.will_close:
                    self.connection.close()
                    self.connection = None
                return reply, body
            except (http.client.HTTPException, ConnectionError):
                self.connection.close()
                self.connection = None          # an idle connection may have been closed
                if attempt == 2:
                    raise

    def step(self, step):
        step = (step,) if isinstance(step, str) else step
        method, path = step[0].split(" ", 1)
        body = step[1] if len(step) > 1 else None
        path = self.fill(path, lambda v: quote(v, safe=""))
        if not path.startswith("/"):
            path = "/api/2.0/mlflow/" + path
        data, headers = b"", {"Content-Type": "application/json"}
        if isinstance(body, Raw):
            data, headers = self.fill_bytes(body.data), {**headers, **body.headers}
        elif isinstance(body, (str, bytes)):
            data = self.fill_bytes(body.encode() if isinstance(body, str) else body)
        elif method == "GET":
            headers = {}
            if body:
                path += "?" + urlencode(self.fill(body), doseq=True)
        elif body is not None:
            data = json.dumps(self.fill(body)).encode()
        reply, text = self.send(method, path, data, headers)
        if path.endswith(("/create", "/logged-models")):
            time.sleep(0.002)                   # creation times tell what came first
        value = text
        if reply.getheader("Content-Type", "").startswith("application/json") and text:
            value = json.loads(text)
        for capture in (step[2] if len(step) > 2 else "").split():
            self.capture(capture, value)
        self.new = {}
        seen = {h: reply.getheader(h) for h in HEADERS if reply.getheader(h)}
        return Exchange(step, reply.status, self.normal(value), seen)

    def fill_bytes(self, data):
        return re.sub(rb"\$(\w+)", lambda m: self.names.get(m[1].decode(), m[0].decode()).encode(), data)

    def capture(self, capture, value):
        if capture.startswith("sort:"):
            names = capture[5:].split(",")
            self.names.update(zip(names, sorted(self.names[n] for n in names)))
            self.ids.update((self.names[n], f"<{n}>") for n in names)
            return
        name, way = capture.split("=")
        for part in way.split("."):
            try:
                value = value[int(part) if isinstance(value, list) else part]
            except (KeyError, IndexError, TypeError):
                return
        self.names[name] = value
        if way.endswith("experiment_id"):
            self.experiments[value] = f"<{name}>"
        elif HEX.fullmatch(value):
            self.ids[value] = f"<{name}>"

    # -- writing down

    def text(self, key, value):
        if key in ("experiment_id", "experiment_ids"):
            if value.isdigit() and value != "0":
                return self.experiments.get(value, "<experiment>")
            return value
        value = RUN.sub(lambda m: f"{m[1]}<{len(m[0])}>", value)
        if key == "next_page_token":
            return "<token>"
        if key in ("run_name", "value", "name") and NAME.match(value):
            return "<generated name>"
        if key in PLACES:
            for number, name in self.experiments.items():
                value = re.sub(rf"(id=|ID |experiment |:/|\['|'(?={number}/)){number}(?![\w.-])", rf"\1{name}", value)
        if key == "message":                    # ours says where; a Python set has no order
            value = POSITION.sub("", value)
            value = SET.sub(lambda m: "'{%s}'" % ", ".join(sorted(m[1].split(", "))), value)
        return HEX.sub(lambda m: self.ids.get(m[0]) or self.new.setdefault(m[0], f"<id {len(self.new) + 1}>"), value)

    def normal(self, value, key=None):
        if isinstance(value, dict):
            return {k: self.normal(v, f"{key}.{k}" if k == "metrics" else k) for k, v in value.items()}
        if isinstance(value, list):
            values = [self.normal(v, key) for v in value]
            return sorted(values, key=json.dumps) if key in SETS else values
        if isinstance(value, str):
            return self.text(key, value)
        if type(value) is int and self.start - 3600000 < value < time.time() * 1000 + 5000:
            return "<now>"
        return value
