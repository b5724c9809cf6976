# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""
An object store that answers whatever a test wants: S3's and GCS's API over a dictionary, on plain sockets, so that an
answer can also be what no HTTP server would send. It verifies nothing and remembers everything it was asked.

    store.hook = lambda x: None             as a store would
                           bytes            these, and the end of the connection
                           an iterator      of bytes, until it ends or the other side leaves
                           HANG             nothing, until the other side leaves
"""

import contextlib
import hashlib
import json
import re
import select
import socket
import threading
import uuid
from email.utils import formatdate
from urllib.parse import parse_qs, quote, unquote
from xml.sax.saxutils import escape

HANG = object()
BUCKET, PREFIX = "own-bucket", "team a/x"


class Exchange:
    """As boundary.py reads it."""

    faults, end = (), "whole"

    def __init__(self, method, target, headers, body):
        self.method, self.headers, self.body, self.target = method, headers, body, target
        self.path, _, self.query = target.partition("?")
        self.asked = {k: v[0] for k, v in parse_qs(self.query, keep_blank_values=True).items()}

    def __repr__(self):
        return f"<{self.method} {self.target}>"


def reply(status, body=b"", headers=(), length=None, **more):
    """An answer's bytes. headers: pairs, as they are."""
    body = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body) if length is None else length}", "Date: " + formatdate(usegmt=True)]
    lines += [f"{k}: {v}" for k, v in headers] + [f"{k.replace('_', '-')}: {v}" for k, v in more.items()]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def error(status, code, message="no", **more):
    return reply(status, f"<Error><Code>{escape(code)}</Code><Message>{escape(message)}</Message></Error>", **more)


def etag(data):
    return '"' + hashlib.md5(data).hexdigest() + '"'


def listing(keys, prefixes=(), token=None, more=""):
    """A page of ListObjectsV2. keys: (name, size); names as they are to be on the wire."""
    text = "".join(f"<Contents><Key>{k}</Key><Size>{n}</Size></Contents>" for k, n in keys)
    text += "".join(f"<CommonPrefixes><Prefix>{p}</Prefix></CommonPrefixes>" for p in prefixes)
    if token is not None:
        text += f"<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>"
    return f'<?xml version="1.0"?><ListBucketResult><EncodingType>url</EncodingType>{text}{more}</ListBucketResult>'


class Store:
    def __init__(self, kind):
        self.kind = kind
        self.objects, self.uploads, self.sessions = {}, {}, {}
        self.exchanges, self.hook, self.over = [], None, threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        self.sockets, self.lock = set(), threading.Lock()
        threading.Thread(target=self.accept, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def uri(self):
        return f"{self.kind}://{BUCKET}/{PREFIX}"

    def environment(self, **more):
        nothing = "/nonexistent/capstan"
        if self.kind == "gs":
            return {"STORAGE_EMULATOR_HOST": self.url, "CLOUDSDK_CONFIG": nothing, "NO_GCE_CHECK": "true", **more}
        return {"MLFLOW_S3_ENDPOINT_URL": self.url, "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": nothing,
                "AWS_SHARED_CREDENTIALS_FILE": nothing, "AWS_ACCESS_KEY_ID": "AKIAHOSTILEHOSTILE00", "AWS_SECRET_ACCESS_KEY": "s3cr3t/Hostile+Hostile/Hostile", **more}

    def key(self, key):
        return f"{PREFIX}/{key}"

    def close(self):
        self.over.set()
        self.listener.close()
        with self.lock:
            for each in self.sockets:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    # ---- sockets ----

    def accept(self):
        while not self.over.is_set():
            try:
                sock = self.listener.accept()[0]
            except OSError:
                return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        with self.lock:
            self.sockets.add(sock)
        try:
            with sock, contextlib.suppress(OSError, EOFError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with sock.makefile("rb", 1 << 16) as stream:
                    while self.exchange(sock, stream):
                        pass
        finally:
            with self.lock:
                self.sockets.discard(sock)

    @staticmethod
    def body(stream, headers):
        if headers.get("transfer-encoding") != "chunked":
            return stream.read(int(headers.get("content-length", 0)))
        data = b""
        while size := int(stream.readline().split(b";")[0], 16):
            data += stream.read(size)
            stream.readline()
        stream.readline()
        return data

    def exchange(self, sock, stream):
        """False: the connection is over."""
        first = stream.readline()
        if not first:
            return False
        method, target, _ = first.decode("latin-1").split(" ", 2)
        headers = {}
        while (line := stream.readline().decode("latin-1").rstrip("\r\n")):
            name, _, value = line.partition(":")
            assert name.lower() not in headers, f"{name} twice"
            headers[name.lower()] = value.strip()
        early = method == "PUT" and getattr(self.hook, "early", False)
        x = Exchange(method, target, headers, b"" if early else self.body(stream, headers))
        with self.lock:
            self.exchanges.append(x)
        answer = self.hook(x) if self.hook else None
        if answer is None:
            sock.sendall(self.answer(x))
            return True
        if answer is HANG:
            self.hang(sock)
        elif isinstance(answer, bytes):
            sock.sendall(answer)
        else:
            for piece in answer:
                if self.over.is_set():
                    break
                sock.sendall(piece)
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_WR)
            if answer is not HANG:
                select.select([sock], [], [], 1)
        return False

    def hang(self, sock):
        while not self.over.is_set():
            if select.select([sock], [], [], 0.2)[0] and not sock.recv(1 << 16):
                return

    # ---- as a store ----

    def answer(self, x):
        body = (self.s3 if self.kind == "s3" else self.gcs)(x)
        if x.method == "HEAD":
            return body[:body.index(b"\r\n\r\n") + 4]
        return body

    def media(self, x, data, **headers):
        found = re.fullmatch(r"bytes=(\d*)-(\d*)", x.headers.get("range", ""))
        if not found:
            return reply(200, data, **headers)
        if found[1]:
            first, last = int(found[1]), min(int(found[2] or len(data) - 1), len(data) - 1)
        else:
            first, last = max(0, len(data) - int(found[2])), len(data) - 1
        if first > last:
            return error(416, "InvalidRange")
        return reply(206, data[first:last + 1], Content_Range=f"bytes {first}-{last}/{len(data)}", **headers)

    def names(self, prefix, delimiter):
        keys, prefixes = [], set()
        for key, data in sorted(self.objects.items()):
            if key.startswith(prefix):
                rest = key[len(prefix):]
                if delimiter and "/" in rest:
                    prefixes.add(prefix + rest.split("/")[0] + "/")
                else:
                    keys.append((key, len(data)))
        return keys, sorted(prefixes)

    def s3(self, x):
        _, bucket, key = unquote(x.path).split("/", 2) if x.path.count("/") > 1 else ("", x.path[1:], "")
        if bucket != BUCKET:
            return error(404, "NoSuchBucket")
        q = x.asked
        if "list-type" in q:
            keys, prefixes = self.names(q.get("prefix", ""), "delimiter" in q)
            return reply(200, listing([(quote(k), n) for k, n in keys], [quote(p) for p in prefixes]))
        if "delete" in q:
            for found in re.findall(r"<Key>([^<]*)</Key>", x.body.decode()):
                self.objects.pop(found, None)
            return reply(200, "<DeleteResult></DeleteResult>")
        if "uploads" in q:
            made = uuid.uuid4().hex
            self.uploads[made] = {}
            return reply(200, f"<InitiateMultipartUploadResult><UploadId>{made}</UploadId></InitiateMultipartUploadResult>")
        if "uploadId" in q:
            parts = self.uploads.get(q["uploadId"])
            if parts is None:
                return error(404, "NoSuchUpload")
            if x.method == "PUT":
                parts[int(q["partNumber"])] = x.body
                return reply(200, ETag=etag(x.body))
            del self.uploads[q["uploadId"]]
            if x.method == "POST":
                self.objects[key] = b"".join(parts[n] for n in sorted(parts))
                return reply(200, f"<CompleteMultipartUploadResult><ETag>{etag(self.objects[key])}</ETag></CompleteMultipartUploadResult>")
            return reply(204)
        if x.method == "PUT":
            self.objects[key] = x.body
            return reply(200, ETag=etag(x.body))
        if x.method == "DELETE":
            self.objects.pop(key, None)
            return reply(204)
        data = self.objects.get(key)
        return error(404, "NoSuchKey") if data is None else self.media(x, data, ETag=etag(data), Last_Modified="Thu, 01 Jan 2026 00:00:00 GMT")

    def describe(self, key):
        return json.dumps({"name": key, "size": str(len(self.objects[key])), "generation": "7", "updated": "2026-01-01T00:00:00Z"})

    def gcs(self, x):
        q = x.asked
        if x.path.startswith("/upload/"):
            return self.gcs_upload(x, q)
        if found := re.fullmatch(rf"/storage/v1/b/{BUCKET}/o/([^/]+)", x.path):
            key = unquote(found[1])
            if key not in self.objects:
                return reply(404, '{"error": {"code": 404, "message": "No such object"}}')
            if x.method == "DELETE":
                del self.objects[key]
                return reply(204)
            if q.get("alt") == "media":
                return self.media(x, self.objects[key], x_goog_generation="7", Last_Modified="Thu, 01 Jan 2026 00:00:00 GMT")
            return reply(200, self.describe(key), Content_Type="application/json")
        if x.path == f"/storage/v1/b/{BUCKET}/o":
            keys, prefixes = self.names(q.get("prefix", ""), "delimiter" in q)
            return reply(200, json.dumps({"items": [{"name": k, "size": str(n)} for k, n in keys], "prefixes": prefixes}))
        if "uploads" in q:
            return reply(200, "<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>")
        return reply(404, '{"error": {"code": 404, "message": "The specified bucket does not exist."}}')

    def gcs_upload(self, x, q):
        if q.get("uploadType") == "multipart":
            boundary = re.search(r"boundary=(\w+)", x.headers["content-type"])[1].encode()
            self.objects[q["name"]] = x.body.split(b"--" + boundary)[2].split(b"\r\n\r\n", 1)[1][:-2]
            return reply(200, self.describe(q["name"]))
        if "upload_id" not in q:
            self.sessions[made := uuid.uuid4().hex] = [q["name"], b""]
            return reply(200, Location=f"{self.url}/upload/storage/v1/b/{BUCKET}/o?uploadType=resumable&upload_id={made}")
        if x.method == "DELETE" or q["upload_id"] not in self.sessions:
            return reply(499 if self.sessions.pop(q["upload_id"], None) else 404)
        session = self.sessions[q["upload_id"]]
        session[1] += x.body
        if x.headers["content-range"].endswith("/*") or int(x.headers["content-range"].rpartition("/")[2]) > len(session[1]):
            return reply(308, headers=[("Range", f"bytes=0-{len(session[1]) - 1}")] if session[1] else ())
        del self.sessions[q["upload_id"]]
        self.objects[session[0]] = session[1]
        return reply(200, self.describe(session[0]))
