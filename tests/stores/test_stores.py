# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""The stores refuse what they must, and the gate does what Cloud Storage does."""

import datetime
import io
import os
import time

import pytest
import requests
from botocore.exceptions import ClientError
from google.api_core import exceptions
from google.cloud import storage
from google.cloud.storage import transfer_manager
from google.oauth2 import credentials, service_account

from .gcs_gate import GRAIN


@pytest.fixture(params=["versitygw", "minio"])
def s3(request):
    return request.getfixturevalue(request.param)


def test_s3(s3):
    bucket = s3.bucket()
    s3.put(bucket, "a b/c+d%ü", b"text")
    assert s3.get(bucket, "a b/c+d%ü") == b"text" and s3.keys(bucket) == {"a b/c+d%ü": 4} and s3.get(bucket, "none") is None
    upload = s3.client().create_multipart_upload(Bucket=bucket, Key="m")
    s3.client().upload_part(Bucket=bucket, Key="m", UploadId=upload["UploadId"], PartNumber=1, Body=b"x" * (5 << 20))
    # MinIO lists the uploads of a whole key only.
    if s3.name == "versitygw":
        assert s3.uploads(bucket) == ["m"]


def test_s3_is_strict(s3):
    bucket = s3.bucket()
    for wrong in ({"secret": "x" * 40}, {"key": "AKUNKNOWN"}):
        with pytest.raises(ClientError):
            s3.client(**wrong).put_object(Bucket=bucket, Key="k", Body=b"")
    good = s3.client().generate_presigned_url("get_object", Params={"Bucket": bucket, "Key": "k"})
    assert requests.get(good).status_code == 404
    assert requests.get(good.replace("/k?", "/j?")).status_code == 403


def test_s3_checks_checksums(s3):
    bucket = s3.bucket()
    with pytest.raises(ClientError):
        s3.client().put_object(Bucket=bucket, Key="k", Body=b"text", ChecksumCRC32C="AAAAAA==")
    assert s3.get(bucket, "k") is None


@pytest.fixture
def bucket(gcs):
    return gcs.bucket()


def test_gcs(gcs, bucket):
    gcs.put(bucket, "a b/c+d%ü", b"text")
    assert gcs.get(bucket, "a b/c+d%ü") == b"text" and gcs.keys(bucket) == {"a b/c+d%ü": 4} and gcs.get(bucket, "none") is None
    blob = gcs.client().bucket(bucket).blob("a b/c+d%ü")
    assert blob.download_as_bytes(start=1, end=2) == b"ex"
    blob.delete()
    assert gcs.keys(bucket) == {}


def test_gcs_tokens(gcs, bucket, identity):
    where = f"{gcs.url}/storage/v1/b/{bucket}/o"
    assert requests.get(where).status_code == 401
    assert requests.get(where, headers={"Authorization": "Bearer x"}).status_code == 401
    read = identity.issue("user", ["https://www.googleapis.com/auth/devstorage.read_only"])
    assert requests.get(where, headers={"Authorization": "Bearer " + read}).status_code == 200
    with pytest.raises(exceptions.Forbidden):
        client = storage.Client(project="p", credentials=credentials.Credentials(read), client_options={"api_endpoint": gcs.url})
        client.bucket(bucket).blob("x").upload_from_string("x")


def test_gcs_resumable_as_google_uploads(gcs, bucket):
    data = os.urandom(3 * GRAIN + 17)
    blob = gcs.client().bucket(bucket).blob("r", chunk_size=GRAIN)
    blob.upload_from_file(io.BytesIO(data))
    assert gcs.get(bucket, "r") == data and gcs.uploads(bucket) == []


def begin(gcs, bucket, name="r"):
    token = gcs.identity.issue("x", ["https://www.googleapis.com/auth/devstorage.read_write"])
    reply = requests.post(f"{gcs.url}/upload/storage/v1/b/{bucket}/o?uploadType=resumable&name={name}", json={}, headers={"Authorization": "Bearer " + token})
    assert reply.status_code == 200
    return reply.headers["Location"]


def put(url, data=b"", **headers):
    return requests.put(url, data=data, headers={k.replace("_", "-"): v for k, v in headers.items()})


def test_gcs_resumes(gcs, bucket):
    data = os.urandom(3 * GRAIN + 5)
    url = begin(gcs, bucket)
    ask = put(url, Content_Range="bytes */*")
    assert ask.status_code == 308 and "Range" not in ask.headers
    assert put(url, data[:GRAIN], Content_Range=f"bytes 0-{GRAIN - 1}/*").headers["Range"] == f"bytes=0-{GRAIN - 1}"
    assert put(url, data[GRAIN:GRAIN + 5], Content_Range=f"bytes {GRAIN}-{GRAIN + 4}/*").status_code == 400      # no multiple of 256 KiB
    assert put(url, data[2 * GRAIN:], Content_Range=f"bytes {2 * GRAIN}-{len(data) - 1}/{len(data)}").status_code == 503  # a gap
    assert put(url, Content_Range="bytes */*").headers["Range"] == f"bytes=0-{GRAIN - 1}" and gcs.get(bucket, "r") is None
    done = put(url, data[:], Content_Range=f"bytes 0-{len(data) - 1}/{len(data)}")      # what is there is not taken again
    assert done.status_code == 200 and done.json()["size"] == str(len(data)) and gcs.get(bucket, "r") == data
    assert put(url, Content_Range="bytes */*").status_code == 200


def test_gcs_session_broken_in_the_middle(gcs, bucket):
    import http.client
    from urllib.parse import urlsplit

    url = begin(gcs, bucket)
    at = urlsplit(url)
    c = http.client.HTTPConnection(at.hostname, at.port)
    c.putrequest("PUT", at.path + "?" + at.query)
    c.putheader("Content-Length", str(4 * GRAIN))
    c.putheader("Content-Range", f"bytes 0-{4 * GRAIN - 1}/{4 * GRAIN}")
    c.endheaders(b"x" * (GRAIN + 100))
    c.close()
    reply = put(url, Content_Range=f"bytes */{4 * GRAIN}")
    assert reply.status_code == 308 and reply.headers.get("Range") in (None, f"bytes=0-{GRAIN - 1}")
    assert put(url, Content_Range=f"bytes */{4 * GRAIN}").headers.get("Range") == f"bytes=0-{GRAIN - 1}"
    assert gcs.uploads(bucket) == ["r"]
    assert requests.delete(url).status_code == 499 and gcs.uploads(bucket) == []


def test_gcs_checks_checksums(gcs, bucket):
    for kind in ("crc32c=AAAAAA==", "md5=AAAAAAAAAAAAAAAAAAAAAA=="):
        assert put(begin(gcs, bucket, "k"), b"text", X_Goog_Hash=kind).status_code == 400
    assert gcs.get(bucket, "k") is None


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_gcs_signed_urls(gcs, bucket, method):
    gcs.put(bucket, "a b", b"text")
    key = service_account.Credentials.from_service_account_file(gcs.key_file)
    blob = gcs.client().bucket(bucket).blob("a b")
    url = blob.generate_signed_url(datetime.timedelta(seconds=60), method=method, version="v4", credentials=key, api_access_endpoint=gcs.url)
    if method == "GET":
        assert requests.get(url).content == b"text"
        assert requests.put(url, data=b"other").status_code == 403
        assert requests.get(url.replace("a%20b", "a%20c")).status_code == 403
        assert requests.get(url.replace("X-Goog-Expires=60", "X-Goog-Expires=61")).status_code == 403
    else:
        assert requests.put(url, data=b"other").status_code == 200 and gcs.get(bucket, "a b") == b"other"
    old = blob.generate_signed_url(datetime.timedelta(seconds=1), version="v4", credentials=key, api_access_endpoint=gcs.url)
    time.sleep(2.1)
    assert requests.get(old).status_code == 400


def test_gcs_xml_multipart_as_google_uploads(gcs, bucket, tmp_path):
    data = os.urandom(11 << 20)
    (tmp_path / "f").write_bytes(data)
    blob = gcs.client().bucket(bucket).blob("x/y z")
    transfer_manager.upload_chunks_concurrently(str(tmp_path / "f"), blob, chunk_size=5 << 20, max_workers=2, worker_type="thread")
    assert gcs.get(bucket, "x/y z") == data and gcs.uploads(bucket) == []


def test_gcs_no_bucket(gcs):
    with pytest.raises(exceptions.NotFound):
        gcs.client().bucket("none").blob("k").upload_from_string("x")


def test_gcs_pages(gcs, bucket):
    """Objects and prefixes in one order, each once; a page has both."""
    for name in ("a", "b/1", "b/2", "c", "d/1", "e"):
        gcs.put(bucket, name, b"x")
    token = gcs.own._credentials.token
    seen, page = [], ""
    while page is not None:
        reply = requests.get(f"{gcs.url}/storage/v1/b/{bucket}/o?delimiter=/&maxResults=2&pageToken={page}", headers={"Authorization": "Bearer " + token}).json()
        seen.append([i["name"] for i in reply.get("items", [])] + reply.get("prefixes", []))
        page = reply.get("nextPageToken")
    assert seen == [["a", "b/"], ["c", "d/"], ["e"]]
    assert [b.name for b in gcs.own.list_blobs(bucket, page_size=2)] == ["a", "b/1", "b/2", "c", "d/1", "e"]
