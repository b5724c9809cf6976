# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""
Every request that the tests' process sends through `requests` (so does the MLflow client), for two judgements at
the end: each route was asked for and answered well, and no reply had a field that MLflow's has not.
"""

import json
import subprocess
from urllib.parse import unquote, urlsplit

import requests

import capstan_server

log = []  # (method, path, status, JSON reply or None)
_urls = set()
KEEP = 64 << 10  # longer replies are not kept


def _json(reply):
    if not reply.headers.get("Content-Type", "").startswith("application/json"):
        return None
    if len(reply.content) > KEEP:
        return None
    try:
        return json.loads(reply.content)
    except ValueError:
        return "not JSON"


def _patch():
    send = requests.adapters.HTTPAdapter.send

    def recorded(self, request, stream=False, **options):
        reply = send(self, request, stream=stream, **options)
        parts = urlsplit(request.url)
        if f"{parts.scheme}://{parts.netloc}" in _urls:
            body = None if stream else _json(reply)
            log.append((request.method, unquote(parts.path), reply.status_code, body))
        return reply

    requests.adapters.HTTPAdapter.send = recorded


def record(url):
    if not _urls:
        _patch()
    _urls.add(url)


TYPES = {
    "string": lambda v: isinstance(v, str),
    "enum": lambda v: isinstance(v, str),
    "int64": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "double": lambda v: isinstance(v, (int, float)) and not isinstance(v, bool) or v == "NaN",
    "bool": lambda v: isinstance(v, bool),
    "object": lambda v: isinstance(v, dict),
    "list": lambda v: isinstance(v, list) and v,
    "strings": lambda v: isinstance(v, list) and v and all(isinstance(s, str) for s in v),
    "raw": lambda v: True,
}


def fields(text):
    """The dump's "name:type!{...},..." as {name: (type, its fields)}."""

    def read(at):
        found = {}
        while at < len(text) and text[at] != "}":
            end = at
            while end < len(text) and text[end] not in "{},":
                end += 1
            name, kind = text[at:end].rstrip("!=").split(":")
            inner = {}
            if end < len(text) and text[end] == "{":
                inner, end = read(end + 1)
                end += 1
            found[name] = (kind, inner)
            at = end + 1 if end < len(text) and text[end] == "," else end
        return found, at

    return read(0)[0]


def misfits(body, record, where=""):
    """Where a reply does not fit its record: members that it does not know, wrong types, nulls, empty lists."""
    if not isinstance(body, dict):
        return [f"{where or 'reply'} is {type(body).__name__}"]
    found = []
    for name, value in body.items():
        here = f"{where}.{name}".lstrip(".")
        if name not in record:
            found.append(f"{here} is unknown")
            continue
        kind, inner = record[name]
        if not TYPES[kind](value):
            found.append(f"{here} is {value!r:.60}, not a {kind}")
        elif inner:
            for each in value if kind == "list" else [value]:
                found += misfits(each, inner, here)
    return found


def routes():
    """The daemon's own route table: dicts of its TSV columns."""
    text = subprocess.run(
        [capstan_server.binary(), "routes"],
        capture_output=True,
        text=True,
        check=True,
        env=capstan_server.environment(),
    ).stdout
    head, *rows = [line.split("\t") for line in text.splitlines() if line]
    return [dict(zip(head, row)) for row in rows]
