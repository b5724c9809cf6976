# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""Whether what a daemon asked its store stays below its bucket and prefix: of everything that a proxy recorded."""

import json
import re
import xml.etree.ElementTree as ElementTree
from urllib.parse import parse_qs, unquote, unquote_plus


def below(key, prefix):
    segments = key.split("/")
    return key.startswith(prefix + "/") and not any(s in ("", ".", "..") for s in segments[len(prefix.split("/")):-1]) and segments[-1] not in (".", "..")


def s3(x, bucket, prefix):
    """Why the exchange is not below, None: it is. Path style."""
    if not x.path.startswith(f"/{bucket}") or "%2f" in x.path.lower():
        return "another bucket"
    query = parse_qs(x.query, keep_blank_values=True)
    key = unquote(x.path[len(bucket) + 1:])
    if key in ("", "/"):
        if "delete" in query:
            keys = [k.text for k in ElementTree.fromstring(x.body).iter() if k.tag.endswith("Key")] if x.body else []
            return next((f"deletes {k}" for k in keys if not below(k, prefix)), None)
        if "list-type" in query or "uploads" in query:
            asked = query.get("prefix", [""])[0]
            return None if asked == prefix or asked == prefix + "/" or below(asked, prefix) else f"lists {asked!r}"
        return None if "location" in query or x.method == "HEAD" else f"asks {x.method} of the bucket"
    return None if key.startswith("/") and below(key[1:], prefix) else f"key {key!r}"


def gcs(x, bucket, prefix):
    query = parse_qs(x.query, keep_blank_values=True)
    if found := re.fullmatch(r"/(?:upload/|download/)?storage/v1/b/([^/]+)/o(?:/([^/]+))?(?:/.*)?", x.path):
        if unquote(found.group(1)) != bucket:
            return "another bucket"
        if found.group(2):
            key = unquote(found.group(2))
        elif x.path.startswith("/upload/"):
            if "upload_id" in query:
                return None
            key = query.get("name", [None])[0]
            if key is None and (name := re.search(rb'"name"\s*:\s*("(?:[^"\\]|\\.)*")', x.body)):
                key = json.loads(name.group(1))
            elif key is None and (x.faults or x.end != "whole"):
                return None     # its name never came
        else:
            key = query.get("prefix", [""])[0]
            if key in (prefix, prefix + "/"):
                return None
        return None if key and below(key, prefix) else f"key {key!r}"
    if x.path.startswith("/batch/"):
        for name in re.findall(rb"/storage/v1/b/([^/ ]+)/o/([^ ?]+)", x.body):
            if name[0].decode() != bucket or not below(unquote_plus(name[1].decode()), prefix):
                return f"batch of {name}"
        return None
    if x.path.startswith(f"/{bucket}/"):
        return None if below(unquote(x.path[len(bucket) + 2:]), prefix) else f"key {x.path}"
    return "another place"


def outside(exchanges, scheme, bucket, prefix):
    """What left: [(exchange, why)]."""
    judge = {"s3": s3, "gs": gcs}[scheme]
    return [(x, why) for x in exchanges if x.method and (why := judge(x, bucket, prefix))]
