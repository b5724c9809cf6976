# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""
A gate before fake-gcs-server that does what Cloud Storage does and the emulator does not: refuses bearer tokens that the
identity server did not issue, tokens without the scope, V4 signatures that are wrong or expired; keeps resumable sessions
itself (status queries, 256 KiB granularity, cancel); checks the checksums that clients send; answers DELETE with 204; and
has the XML API's multipart uploads, whose parts lie in an S3 store until they are complete.
"""

import base64
import binascii
import datetime
import functools
import hashlib
import http.client
import json
import re
import secrets
import tempfile
import threading
import time
import xml.etree.ElementTree as ElementTree
from urllib.parse import parse_qsl, quote, unquote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from .service import Cut, Service

GRAIN = 256 << 10
PARTS = "gcs-multipart"
AUTH = "https://www.googleapis.com/auth/"
MAY_WRITE = {AUTH + "devstorage.read_write", AUTH + "devstorage.full_control", AUTH + "cloud-platform"}
MAY_READ = MAY_WRITE | {AUTH + "devstorage.read_only"}
HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "authorization", "host", "expect", "date", "server"}


class Refused(Exception):
    def __init__(self, status, reason, why):
        super().__init__(why)
        self.status, self.reason, self.why = status, reason, why


class Session:
    """A resumable upload."""

    def __init__(self, bucket, name, metadata, total):
        self.id = secrets.token_urlsafe(32)
        self.bucket, self.name, self.metadata, self.total = bucket, name, metadata, total
        self.data = tempfile.TemporaryFile()
        self.size = 0
        self.open = True
        self.answer = None      # (status, headers, body) of the end
        self.queries = 0
        self.lock = threading.Lock()
        self.turn = 0           # the latest request's; an older one that still sends is no longer listened to
        self.busy = False

    def take_over(self):
        """A new request's turn: what an unfinished one sent counts in whole grains."""
        with self.lock:
            self.turn += 1
            if self.busy and self.answer is None:
                self.floor()
            self.busy = False
            return self.turn

    def cancel(self):
        with self.lock:
            self.open = False
            self.answer = self.answer or (499, {}, b"")
            self.data.close()

    def floor(self):
        self.size -= self.size % GRAIN
        self.data.truncate(self.size)


def crc32c_of(stream):
    """base64 as x-goog-hash has it."""
    import google_crc32c

    sum_ = google_crc32c.Checksum()
    while piece := stream.read(1 << 20):
        sum_.update(piece)
    return base64.b64encode(sum_.digest()).decode()


class GcsGate(Service):
    def __init__(self, fake, identity, s3):
        super().__init__()
        self.fake, self.identity, self.s3 = fake, identity, s3
        self.sessions = {}
        self.uploads = {}               # XML multipart: id -> (bucket, name, the S3 store's id, headers)
        self.local = threading.local()
        self.forbidden = set()          # buckets that nobody may touch

    @functools.cached_property
    def parts_client(self):
        client = self.s3.client()
        client.create_bucket(Bucket=PARTS)
        return client

    def multipart_keys(self, bucket):
        with self.lock:
            return [name for b, name, *_ in self.uploads.values() if b == bucket]

    # ---- who asks ----

    def handle(self, r):
        try:
            bucket = self.bucket_of(r)
            if "X-Goog-Signature" in r.query:
                self.check_signature(r)
                return self.xml(r)
            if "upload_id" in r.query and r.path_only.startswith("/upload/"):
                return self.session(r)
            self.check_token(r)
            if bucket in self.forbidden:
                raise Refused(403, "forbidden", "daemon does not have storage.objects access to the Google Cloud Storage object.")
            if re.match(r"/(upload/|download/|resumable/)?storage/v1(/|$)|/batch/", r.path_only):
                return self.json(r)
            return self.xml(r)
        except Refused as e:
            r.close_connection = r.close_connection or r.remaining > 1 << 20
            if r.path_only.startswith(("/storage/", "/upload/", "/download/", "/batch/")):
                return r.reply(e.status, {"error": {"code": e.status, "message": e.why, "errors": [{"message": e.why, "domain": "global", "reason": e.reason}]}},
                               {"WWW-Authenticate": "Bearer realm=\"https://accounts.google.com/\""} if e.status == 401 else {})
            return r.reply(e.status, f"<?xml version='1.0' encoding='UTF-8'?><Error><Code>{e.reason}</Code><Message>{e.why}</Message></Error>",
                           {"Content-Type": "application/xml; charset=UTF-8"})

    @staticmethod
    def bucket_of(r):
        if found := re.match(r"/(?:upload/|download/)?storage/v1/b/([^/]+)", r.path_only):
            return found.group(1)
        return r.path_only.split("/")[1]

    def check_token(self, r):
        scheme, _, value = r.headers.get("Authorization", "").partition(" ")
        token = self.identity.token_of(value) if scheme == "Bearer" else None
        if not token:
            raise Refused(401, "authError", "Invalid Credentials" if value else "Anonymous caller does not have storage.objects access.")
        if not token.scopes & (MAY_READ if r.command in ("GET", "HEAD") else MAY_WRITE):
            raise Refused(403, "insufficientPermissions", "Request had insufficient authentication scopes.")

    def check_signature(self, r):
        q = r.query
        try:
            email, day, place, service, last = q["X-Goog-Credential"].rsplit("/", 4)
            at = datetime.datetime.strptime(q["X-Goog-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc).timestamp()
            expires = int(q["X-Goog-Expires"])
            signed = q["X-Goog-SignedHeaders"].split(";")
            signature = binascii.unhexlify(q["X-Goog-Signature"])
        except (KeyError, ValueError) as e:
            raise Refused(400, "AuthenticationRequired", f"Malformed signed URL: {e!r}") from None
        account = self.identity.accounts.get(email)
        good = q.get("X-Goog-Algorithm") == "GOOG4-RSA-SHA256" and (service, last) == ("storage", "goog4_request") and q["X-Goog-Date"].startswith(day)
        if not account or not good or not place or not 1 <= expires <= 604800 or "host" not in signed or signed != sorted(signed):
            raise Refused(403, "SignatureDoesNotMatch", "Access denied.")
        if not at - 900 <= time.time() <= at + expires:
            raise Refused(400, "ExpiredToken", "The provided token has expired.")
        raw_query = r.path.partition("?")[2]
        pairs = sorted((quote(k, safe="-_.~"), quote(v, safe="-_.~")) for k, v in parse_qsl(raw_query, keep_blank_values=True) if k != "X-Goog-Signature")
        canonical = "\n".join([
            r.command, r.raw_path, "&".join(f"{k}={v}" for k, v in pairs),
            *[f"{h}:{','.join(' '.join(v.split()) for v in r.headers.get_all(h, ['']))}" for h in signed], "",
            ";".join(signed), r.headers.get("x-goog-content-sha256", "UNSIGNED-PAYLOAD")])
        text = "\n".join(["GOOG4-RSA-SHA256", q["X-Goog-Date"], f"{day}/{place}/storage/goog4_request", hashlib.sha256(canonical.encode()).hexdigest()])
        for key in account.public_keys():
            try:
                return key.verify(signature, text.encode(), padding.PKCS1v15(), hashes.SHA256())
            except InvalidSignature:
                pass
        raise Refused(403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided.")

    # ---- the emulator behind ----

    def ask(self, method, path, body=None, headers=None):
        """Its answer, not read yet."""
        for again in (True, False):
            connection = getattr(self.local, "connection", None)
            fresh = connection is None
            if fresh:
                connection = self.local.connection = http.client.HTTPConnection(self.fake.host, self.fake.port, timeout=120)
            try:
                connection.request(method, path, body=body, headers={**(headers or {}), "Host": f"{self.fake.host}:{self.fake.port}"})
                return connection.getresponse()
            except (http.client.HTTPException, ConnectionError):
                self.local.connection = None
                if fresh or not again or (body is not None and not isinstance(body, bytes)):
                    raise
        return None

    def end_connection(self):
        """What was not read whole cannot be used again."""
        connection, self.local.connection = getattr(self.local, "connection", None), None
        if connection:
            connection.close()

    def pass_on(self, r, path=None, body=None, status=None, more=None, method=None):
        """The emulator's answer to this request, streamed."""
        headers = {k: v for k, v in r.headers.items() if k.lower() not in HOP}
        reply = self.ask(method or r.command, path or r.path, body, headers)
        out = {k: v for k, v in reply.getheaders() if k.lower() not in HOP}
        if "location" in {k.lower() for k in out}:
            out = {k: v.replace(self.fake.url, "http://" + r.headers.get("Host", "")) if k.lower() == "location" else v for k, v in out.items()}
        out.update(more or {})
        length = reply.getheader("Content-Length")
        try:
            if length is None:
                text = reply.read()
                r.reply(status or reply.status, text, out)
            else:
                r.head(status or reply.status, out, int(length))
                while r.command != "HEAD" and (piece := reply.read(256 << 10)):
                    r.wfile.write(piece)
            reply.read()
        except BaseException:
            self.end_connection()
            raise

    def store(self, bucket, name, data, metadata, query=""):
        """Makes the object of a file or bytes: (status, headers, JSON text). metadata: the object's, with checksums to check."""
        boundary = secrets.token_hex(16)
        if isinstance(data, bytes):
            import io
            data = io.BytesIO(data)
        data.seek(0)
        have = crc32c_of(data)
        size = data.tell()
        if metadata.get("crc32c", have) != have:
            raise Refused(400, "invalid", f"Provided CRC32C \"{metadata['crc32c']}\" doesn't match calculated CRC32C \"{have}\".")
        if "md5Hash" in metadata:
            data.seek(0)
            sum_ = hashlib.md5()
            while piece := data.read(1 << 20):
                sum_.update(piece)
            if base64.b64encode(sum_.digest()).decode() != metadata["md5Hash"]:
                raise Refused(400, "invalid", "Provided MD5 hash doesn't match calculated MD5 hash.")
        data.seek(0)
        kept = {k: v for k, v in metadata.items() if k not in ("crc32c", "md5Hash")} | {"name": name}
        kept.setdefault("contentType", "application/octet-stream")
        head = (f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{json.dumps(kept)}\r\n"
                f"--{boundary}\r\nContent-Type: {kept['contentType']}\r\n\r\n").encode()
        tail = f"\r\n--{boundary}--\r\n".encode()

        def pieces():
            yield head
            while piece := data.read(1 << 20):
                yield piece
            yield tail

        reply = self.ask("POST", f"/upload/storage/v1/b/{quote(bucket, safe='')}/o?uploadType=multipart&name={quote(name, safe='')}{query}", pieces(),
                         {"Content-Type": f"multipart/related; boundary={boundary}", "Content-Length": str(len(head) + size + len(tail))})
        text = reply.read()
        return reply.status, {"Content-Type": "application/json; charset=UTF-8", "X-Goog-Hash": f"crc32c={have}"}, text

    # ---- the JSON API ----

    def json(self, r):
        upload = re.match(r"/upload/storage/v1/b/([^/]+)/o$", r.path_only)
        if upload and r.command == "POST":
            kind = r.query.get("uploadType")
            if kind == "resumable":
                return self.begin(r, upload.group(1))
            if kind == "multipart":
                return self.multipart_related(r, upload.group(1))
            if kind == "media":
                return self.media(r, upload.group(1))
            raise Refused(400, "invalid", "uploadType")
        listed = re.match(r"/storage/v1/b/([^/]+)/o$", r.path_only)
        if listed and r.command == "GET":
            return self.page(r)
        if r.command == "DELETE":
            reply = self.ask("DELETE", r.path, None, {})
            text = reply.read()
            return r.reply(204 if reply.status == 200 else reply.status, b"" if reply.status == 200 else text, {"Content-Type": "application/json"})
        return self.pass_on(r, body=r.body() or None)

    def page(self, r):
        """A page of a list: objects and prefixes share it, in one order; the emulator gives all prefixes with each page."""
        found = {"items": [], "prefixes": []}
        token = ""
        asked = "".join(f"&{k}={quote(v, safe='')}" for k, v in r.query.items() if k not in ("pageToken", "maxResults", "fields"))
        while True:
            reply = self.ask("GET", f"{r.raw_path}?maxResults=1000{asked}" + (f"&pageToken={quote(token, safe='')}" if token else ""))
            text = reply.read()
            if reply.status != 200:
                return r.reply(reply.status, text, {"Content-Type": "application/json; charset=UTF-8"})
            got = json.loads(text)
            found["items"] += got.get("items", [])
            found["prefixes"] += got.get("prefixes", [])
            token = got.get("nextPageToken")
            if not token:
                break
        entries = sorted([(i["name"].encode(), "items", i) for i in found["items"]] + [(p.encode(), "prefixes", p) for p in set(found["prefixes"])], key=lambda e: e[0])
        most = min(int(r.query.get("maxResults", 1000)), 1000)
        after = base64.urlsafe_b64decode(r.query["pageToken"]) if r.query.get("pageToken") else b""
        left = [e for e in entries if e[0] > after]
        out = {"kind": "storage#objects"}
        for _, kind, value in left[:most]:
            out.setdefault(kind, []).append(value)
        if len(left) > most:
            out["nextPageToken"] = base64.urlsafe_b64encode(left[most - 1][0]).decode()
        if "fields" in r.query:
            wanted = {f.split("(")[0].split("/")[0].strip() for f in re.sub(r"\([^)]*\)", "", r.query["fields"]).split(",")}
            out = {k: v for k, v in out.items() if k in wanted}
        return r.reply(200, out)

    def conditions(self, r):
        return "".join(f"&{k}={quote(v)}" for k, v in r.query.items() if k.startswith("if"))

    def expected(self, r, metadata):
        """Adds the checksums of X-Goog-Hash."""
        for part in ",".join(r.headers.get_all("X-Goog-Hash", [])).split(","):
            kind, _, value = part.strip().partition("=")
            if kind in ("crc32c", "md5"):
                metadata = {**metadata, {"crc32c": "crc32c", "md5": "md5Hash"}[kind]: value}
        return metadata

    def media(self, r, bucket):
        with tempfile.TemporaryFile() as data:
            for piece in r.pieces():
                data.write(piece)
            status, headers, text = self.store(bucket, r.query["name"], data, self.expected(r, {"contentType": r.headers.get("Content-Type", "application/octet-stream")}), self.conditions(r))
        return r.reply(status, text, headers)

    def multipart_related(self, r, bucket):
        found = re.search(r'boundary="?([^";]+)"?', r.headers.get("Content-Type", ""))
        if not found or not r.headers["Content-Type"].startswith("multipart/related"):
            raise Refused(400, "badContent", "Missing boundary")
        parts = (b"\r\n" + r.body()).split(b"\r\n--" + found.group(1).encode())
        if len(parts) != 4 or not parts[3].startswith(b"--"):
            raise Refused(400, "badContent", "Multipart must contain exactly two non-empty parts.")
        head, _, first = parts[1].partition(b"\r\n\r\n")
        media_head, _, data = parts[2].partition(b"\r\n\r\n")
        if b"application/json" not in head.lower():
            raise Refused(400, "badContent", "The first part is not JSON")
        metadata = json.loads(first)
        kind = re.search(rb"content-type:\s*([^\r\n]+)", media_head, re.I)
        if kind:
            metadata.setdefault("contentType", kind.group(1).decode())
        name = metadata.get("name") or r.query.get("name")
        if not name:
            raise Refused(400, "required", "Required")
        status, headers, text = self.store(bucket, name, data, self.expected(r, metadata), self.conditions(r))
        return r.reply(status, text, headers)

    def begin(self, r, bucket):
        metadata = json.loads(r.body() or b"{}")
        name = metadata.get("name") or r.query.get("name")
        if not name:
            raise Refused(400, "required", "Required")
        probe = self.ask("GET", f"/storage/v1/b/{quote(bucket, safe='')}")
        text = probe.read()
        if probe.status != 200:
            return r.reply(404, {"error": {"code": 404, "message": "The specified bucket does not exist.", "errors": [{"reason": "notFound"}]}})
        total = r.headers.get("X-Upload-Content-Length")
        if "X-Upload-Content-Type" in r.headers:
            metadata.setdefault("contentType", r.headers["X-Upload-Content-Type"])
        made = Session(bucket, name, self.expected(r, metadata), int(total) if total else None)
        with self.lock:
            self.sessions[made.id] = made
        where = f"http://{r.headers.get('Host')}/upload/storage/v1/b/{quote(bucket, safe='')}/o?uploadType=resumable&name={quote(name, safe='')}&upload_id={made.id}"
        return r.reply(200, b"", {"Location": where, "X-GUploader-UploadID": made.id})

    def session(self, r):
        """A request to a session's URI, whose id is its credential."""
        s = self.sessions.get(r.query["upload_id"])
        if r.headers.get("Authorization"):
            self.check_token(r)
        if not s:
            return r.reply(404, "No such upload session")
        turn = s.take_over()
        if r.command == "DELETE":
            s.cancel()
            return r.reply(499, b"")
        if r.command not in ("PUT", "POST"):
            return r.reply(405, "")
        if s.answer:
            return r.reply(s.answer[0], s.answer[2], s.answer[1])
        return self.chunk(r, s, turn)

    def chunk(self, r, s, turn):
        text = r.headers.get("Content-Range")
        if text is None:
            first, last, total = 0, None, None
        elif found := re.fullmatch(r"bytes \*/(\d+|\*)", text):
            if r.body():
                raise Refused(400, "invalid", "a status query has no body")
            s.queries += 1
            if found.group(1) != "*" and int(found.group(1)) == s.size:
                return self.finish(r, s, turn)
            return self.incomplete(r, s)
        elif found := re.fullmatch(r"bytes (\d+)-(\d+)/(\d+|\*)", text):
            first, last, total = int(found.group(1)), int(found.group(2)), None if found.group(3) == "*" else int(found.group(3))
        else:
            raise Refused(400, "invalid", f"Failed to parse Content-Range header: {text}")
        if first > s.size:
            raise Refused(503, "backendError", "Invalid request. According to the Content-Range header, the upload offset is beyond the current size.")
        if total is None and last is not None and (last + 1 - first) % GRAIN:
            raise Refused(400, "invalid", f"The number of bytes is not a multiple of {GRAIN}")
        if s.total is not None and total is not None and s.total != total:
            raise Refused(400, "invalid", "the total differs from X-Upload-Content-Length")
        at = first
        whole = False
        s.busy = True
        try:
            for piece in r.pieces():
                with s.lock:
                    if s.turn != turn or s.answer:
                        raise Cut
                    fresh = piece[max(0, s.size - at):]
                    at += len(piece)
                    s.data.seek(s.size)
                    s.data.write(fresh)
                    s.size += len(fresh)
            whole = last is None or at == last + 1
        finally:
            with s.lock:
                if s.turn == turn and not s.answer:
                    s.busy = False
                    if not whole:
                        s.floor()
        if not whole:
            raise Refused(400, "invalid", "the body's length is not the range's")
        if last is None or (total is not None and last + 1 == total):
            return self.finish(r, s, turn)
        return self.incomplete(r, s)

    @staticmethod
    def incomplete(r, s):
        kept = s.size - s.size % GRAIN
        return r.reply(308, b"", {"Range": f"bytes=0-{kept - 1}"} if kept else {})

    def finish(self, r, s, turn):
        with s.lock:
            if s.turn != turn:
                raise Cut
            try:
                status, headers, text = self.store(s.bucket, s.name, s.data, self.expected(r, s.metadata))
            except Refused as e:
                status, headers, text = e.status, {}, json.dumps({"error": {"code": e.status, "message": e.why}}).encode()
            s.answer = (status, headers, text)
            s.open = False
            s.data.close()
        return r.reply(status, text, headers)

    # ---- the XML API: objects and multipart uploads ----

    def xml(self, r):
        _, bucket, *rest = r.raw_path.split("/", 2)
        bucket, name = unquote(bucket), unquote(rest[0]) if rest else ""
        if "uploadId" in r.query or "uploads" in r.query:
            return self.multipart(r, bucket, name)
        if not name:
            raise Refused(400, "InvalidURI", "no object")
        where = f"/storage/v1/b/{quote(bucket, safe='')}/o/{quote(name, safe='')}"
        if r.command in ("GET", "HEAD"):
            more = {"Content-Disposition": r.query["response-content-disposition"]} if "response-content-disposition" in r.query else {}
            if "response-content-type" in r.query:
                more["Content-Type"] = r.query["response-content-type"]
            return self.pass_on(r, "/download" + where + "?alt=media", more=more)
        if r.command == "PUT":
            with tempfile.TemporaryFile() as data:
                for piece in r.pieces():
                    data.write(piece)
                status, headers, text = self.store(bucket, name, data, self.expected(r, {"contentType": r.headers.get("Content-Type", "application/octet-stream")}))
            made = json.loads(text) if status == 200 else {}
            return r.reply(status, b"", {"ETag": f'"{made.get("etag", "").strip(chr(34))}"', "X-Goog-Hash": headers["X-Goog-Hash"]})
        if r.command == "DELETE":
            reply = self.ask("DELETE", where)
            reply.read()
            return r.reply(204 if reply.status == 200 else reply.status, b"")
        raise Refused(405, "MethodNotAllowed", r.command)

    def multipart(self, r, bucket, name):
        client = self.parts_client
        xml = {"Content-Type": "application/xml; charset=UTF-8"}
        key = f"{bucket}/{name}"
        if r.command == "POST" and "uploads" in r.query:
            probe = self.ask("GET", f"/storage/v1/b/{quote(bucket, safe='')}")
            probe.read()
            if probe.status != 200:
                raise Refused(404, "NoSuchBucket", "The specified bucket does not exist.")
            theirs = client.create_multipart_upload(Bucket=PARTS, Key=key)["UploadId"]
            upload = secrets.token_urlsafe(32)
            with self.lock:
                self.uploads[upload] = (bucket, name, theirs, r.headers.get("Content-Type", "application/octet-stream"))
            return r.reply(200, f"<?xml version='1.0' encoding='UTF-8'?><InitiateMultipartUploadResult xmlns='http://s3.amazonaws.com/doc/2006-03-01/'>"
                                f"<Bucket>{bucket}</Bucket><Key>{escape(name)}</Key><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>", xml)
        found = self.uploads.get(r.query.get("uploadId"))
        if not found or found[:2] != (bucket, name):
            raise Refused(404, "NoSuchUpload", "The requested upload was not found.")
        _, _, theirs, kind = found
        if r.command == "PUT":
            number = int(r.query["partNumber"])
            with tempfile.TemporaryFile() as data:
                for piece in r.pieces():
                    data.write(piece)
                data.seek(0)
                have = crc32c_of(data)
                if self.expected(r, {}).get("crc32c", have) != have:
                    raise Refused(400, "BadDigest", "The CRC32C you specified did not match what we received.")
                data.seek(0)
                made = client.upload_part(Bucket=PARTS, Key=key, UploadId=theirs, PartNumber=number, Body=data)
            return r.reply(200, b"", {"ETag": made["ETag"], "X-Goog-Hash": f"crc32c={have}"})
        if r.command == "POST":
            return self.complete(r, client, bucket, name, theirs, kind)
        if r.command == "DELETE":
            client.abort_multipart_upload(Bucket=PARTS, Key=key, UploadId=theirs)
            with self.lock:
                self.uploads.pop(r.query["uploadId"], None)
            return r.reply(204, b"")
        raise Refused(405, "MethodNotAllowed", r.command)

    def complete(self, r, client, bucket, name, theirs, kind):
        from botocore.exceptions import ClientError

        key = f"{bucket}/{name}"
        parts = []
        try:
            for part in ElementTree.fromstring(r.body()):
                texts = {child.tag.rsplit("}")[-1]: child.text for child in part}
                parts.append({"PartNumber": int(texts["PartNumber"]), "ETag": texts["ETag"]})
            client.complete_multipart_upload(Bucket=PARTS, Key=key, UploadId=theirs, MultipartUpload={"Parts": parts})
        except (ElementTree.ParseError, KeyError, TypeError):
            raise Refused(400, "MalformedCompleteMultipartUploadRequest", "The XML you provided was not well-formed.") from None
        except ClientError as e:
            raise Refused(e.response["ResponseMetadata"]["HTTPStatusCode"], e.response["Error"]["Code"], e.response["Error"]["Message"]) from None
        with self.lock:
            self.uploads.pop(r.query["uploadId"], None)
        with tempfile.TemporaryFile() as data:
            client.download_fileobj(PARTS, key, data)
            status, headers, text = self.store(bucket, name, data, {"contentType": kind})
        client.delete_object(Bucket=PARTS, Key=key)
        if status != 200:
            raise Refused(status, "InternalError", text.decode(errors="replace"))
        etag = json.loads(text).get("etag", "").strip('"')
        return r.reply(200, f"<?xml version='1.0' encoding='UTF-8'?><CompleteMultipartUploadResult xmlns='http://s3.amazonaws.com/doc/2006-03-01/'>"
                            f"<Bucket>{bucket}</Bucket><Key>{escape(name)}</Key><ETag>\"{etag}\"</ETag></CompleteMultipartUploadResult>",
                       {"Content-Type": "application/xml; charset=UTF-8"})


def escape(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
