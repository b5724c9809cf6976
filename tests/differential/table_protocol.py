# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

from play import Raw

PROXY = "/api/2.0/mlflow-artifacts/artifacts"
NOWHERE = "0" * 32

# What MLflow 3.17.2 serves of tracking, and how: both mounts, unless the path begins otherwise.
ROUTES = """
POST experiments/create                 POST experiments/delete                 POST experiments/delete-experiment-tag
GET experiments/get                     GET experiments/get-by-name             POST experiments/restore
GET experiments/search                  POST experiments/search                 POST experiments/set-experiment-tag
POST experiments/update                 POST logged-models                      POST logged-models/search
DELETE logged-models/m-1                GET logged-models/m-1                   PATCH logged-models/m-1
GET logged-models/m-1/artifacts/directories                                     POST logged-models/m-1/params
PATCH logged-models/m-1/tags            DELETE logged-models/m-1/tags/t         GET metrics/get-history
GET metrics/get-history-bulk            GET metrics/get-history-bulk-interval   POST runs/create
POST runs/delete                        POST runs/delete-tag                    GET runs/get
POST runs/log-batch                     POST runs/log-inputs                    POST runs/log-metric
POST runs/log-model                     POST runs/log-parameter                 POST runs/outputs
POST runs/restore                       POST runs/search                        POST runs/set-tag
POST runs/update                        GET artifacts/list                      POST artifacts/presigned-download-url
POST artifacts/presigned-upload-url     POST upload-artifact                    GET logged-models/m-1/artifacts/files
POST experiments/search-datasets
""".replace("  ", "\n").split("\n")
ROUTES = [r.strip() for r in ROUTES if r.strip()]
ROUTES_3 = ["GET server-info"]


def mounted(route, version="2.0"):
    method, path = route.split(" ")
    return [(f"{method} {mount}/{version}/mlflow/{path}", {}) for mount in ("/api", "/ajax-api")]


def refuse_methods(route):
    method, path = route.split(" ")
    other = {"GET": ["PUT", "DELETE"], "POST": ["PUT", "PATCH"], "PATCH": ["PUT"], "DELETE": ["PUT"]}[method]
    return [(f"{o} {path}", {}) for o in other]


PROTOCOL = [
    *[step for route in ROUTES for step in mounted(route)],
    *[step for route in ROUTES_3 for step in mounted(route, "3.0")],
    *[step for route in ROUTES for step in refuse_methods(route)],
    "GET /health", "GET /version", "POST /health", "PUT /version", "HEAD /health",
    "GET /api/2.0/mlflow/server-info", ("POST /api/3.0/mlflow/server-info", {}),
    "GET experiments/get/?experiment_id=0", "GET experiments/nowhere", "GET /api/2.0/mlflow",
    "GET /api/1.0/mlflow/experiments/get",
    "GET /nowhere", "GET /api/3.0/mlflow/experiments/get?experiment_id=0",
    "GET /API/2.0/mlflow/experiments/get?experiment_id=0",
    "GET /api/2.0/mlflow//experiments/get?experiment_id=0",
    "GET /api/2.0/preview/mlflow/experiments/get?experiment_id=0",
    ("POST experiments/get", {"experiment_id": "0"}), "GET experiments/create",
    ("POST experiments/create", {"name": "$u protocol"}, "e=experiment_id"),
    ("POST runs/create", {"experiment_id": "$e", "run_name": "p", "start_time": 1}, "r=run.info.run_id"),
    ("POST runs/create", {"experiment_id": "$e", "run_name": "scratch", "start_time": 1}, "s=run.info.run_id"),
    # the content type
    *[("POST runs/set-tag", Raw('{"run_id": "$r", "key": "type", "value": "1"}', Content_Type=t))
        for t in ("application/json", "application/json; charset=utf-8", "APPLICATION/JSON", "text/plain",
        "application/x-www-form-urlencoded", None, "", "application/jsonx", "application/json, text/plain")],
    # the body
    *[("POST runs/set-tag", b) for b in ("", "{", "nonsense", "[]", "5", "null", "\"x\"", "true", "{}garbage",
        '{"run_id": "$r", "key": "a", "value": "1"} x',
        '"{\\"run_id\\": \\"$r\\", \\"key\\": \\"inner\\", \\"value\\": \\"1\\"}"',
        '{"run_id": "$r", "key": "twice", "key": "last", "value": "1"}',
        '{"run_id": "$r", "key": "a", "value": "\\ud800"}',
        '{"run_id": "$r", "key": "a", "value": "\\ud83d\\ude00"}',
        '{"run_id": "$r", "key": "a", "value": "\\u0000"}', b'{"run_id": "$r", "key": "a", "value": "\xff"}',
        '{"run_id": "$r", "key": "tab", "value": "a\tb"}', "\ufeff{}", '{"run_id": "$r", "key": "a", "value": "1",}',
        "{'run_id': '$r'}", '{"run_id": "$r", "key": "unknown", "value": "1", "more": {"a": [1, null]}}',
        '{"RUN_ID": "$r", "key": "a", "value": "1"}', '{"runId": "$s", "key": "camel", "value": "1"}',
        '{"run_id": "$r", "runId": "x", "key": "both", "value": "1"}',
        '{"run_id": "$r", "key": "deep", "value": "1", "x": ' + "[" * 60 + "]" * 60 + "}",
        '  {"run_id": "$r", "key": "space", "value": "1"}  ')],
    ("POST runs/set-tag?run_id=$r&key=query&value=1", {}),
    ("GET runs/get?run_id=$r", {"run_id": "x"}),
    ("GET runs/get?run_id=" + "%C3%A9"), ("GET runs/get?run_id=%ff"), ("GET runs/get?run_id=a+b"),
    ("GET runs/get?run_id"), ("GET runs/get?&&run_id=$r"),
    ("GET runs/get?run_id=$r&run_id=x"), ("GET runs/get?run_id=x&run_id=$r"), ("GET runs/get?run_id=$r#part"),
    ("GET runs/get?run_id=$r%00"),
    ("DELETE logged-models/$r?model_id=x"),
    ("GET runs/get", {"run_id": "$r"}),
]


def put(path, data=b"hello\n", **headers):
    return (f"PUT {PROXY}/{path}", Raw(data, Content_Type=None, **headers))


def get(path, **headers):
    return (f"GET {PROXY}/{path}", Raw(b"", Content_Type=None, **headers))


def listing(path=None):
    return (f"GET {PROXY}", {} if path is None else {"path": path})


AWAY = ["../x", "a/../../x", "%2e%2e/x", "..%2fx", "%252e%252e/x", "/capstan-nowhere/x", "//capstan-nowhere/x",
    "%2Fcapstan-nowhere/x", "a%00b", "C:/x", "C:%5Cx", "..%5Cx", "file:/x", "file%3A///capstan-nowhere/x", "a%23b",
    "a%3Fb", "a%2523b", "a;b", "~/x", "a%5Cb", ".", "a/./b", "a//b", "", "%20", "a%0Ab", "caf%C3%A9", "a:b", "x%25y",
    "*", "http://x/y", "a%ffb"]
TYPES = ["a.txt", "a.html", "a.js", "a.json", "a.png", "a.csv", "a.md", "a.yaml", "MLmodel", "a.pkl", "a.pdf",
    "a.tar.gz", "a.svg", "a.xml", "a.css", "a.ipynb", "a.py", "a.JPG", "a.unknown", ".hidden", "conda.yaml", "a.mp4",
    "a%20b.txt", "caf%C3%A9.txt", "a%22b.txt", "a.log", "a.jsonl", "a.parquet", "a.npy", "a.zip", "a.htm", "a.xhtml",
    "a'b.txt", "a,b.txt"]

ARTIFACTS = [
    ("POST experiments/create", {"name": "$u artifacts"}, "e=experiment_id"),
    ("POST runs/create", {"experiment_id": "$e", "run_name": "p", "start_time": 1}, "r=run.info.run_id"),
    ("GET artifacts/list", {"run_id": "$r"}),
    ("GET artifacts/list", {"run_uuid": "$r"}),
    ("GET artifacts/list", {}), ("GET artifacts/list", {"run_id": NOWHERE}),
    ("GET artifacts/list", {"run_id": "$r", "path": "nowhere"}),
    put("$e/$r/artifacts/a.txt"), put("$e/$r/artifacts/a.txt", b"changed"), put("$e/$r/artifacts/dir/b.json", b"{}"),
    put("$e/$r/artifacts/dir/empty.bin", b""),
    put("$e/$r/artifacts/dir/sub/c", b"c"), put("$e/$r/artifacts/page.html", b"<script>1</script>"),
    put("$e/$r/artifacts/dir", b"over a directory"),
    put("$e/$r/artifacts/a.txt/below", b"below a file"), put("$e/$r/artifacts/slash/", b"x"), put("", b"x"),
    ("PUT /ajax-api/2.0/mlflow-artifacts/artifacts/$e/$r/artifacts/ajax.txt", Raw(b"ajax", Content_Type="text/csv")),
    *[("GET artifacts/list", {"run_id": "$r", **q}) for q in ({}, {"path": "dir"}, {"path": "dir/"},
        {"path": "a.txt"}, {"path": "dir/sub"}, {"path": ""}, {"path": "."}, {"path": ".."}, {"path": "../x"},
        {"path": "/etc"}, {"path": "dir//sub"}, {"path": "%2e%2e"}, {"path": "a#b"}, {"path": "./dir"},
        {"page_token": "x"})],
    ("GET /ajax-api/2.0/mlflow/artifacts/list", {"run_id": "$r"}),
    *[("GET /get-artifact", q) for q in ({"run_id": "$r", "path": "a.txt"}, {"run_uuid": "$r", "path": "a.txt"},
        {"run_id": "$r", "path": "page.html"}, {"run_id": "$r", "path": "dir"}, {"run_id": "$r", "path": "nowhere"},
        {"run_id": "$r", "path": "../x"}, {"run_id": "$r", "path": "%2e%2e/x"},
        {"run_id": "$r", "path": "/capstan-nowhere/x"}, {"run_id": "$r"}, {"path": "a.txt"},
        {"run_id": NOWHERE, "path": "a.txt"}, {"run_id": "$r", "path": "dir/empty.bin"},
        {"run_id": "$r", "path": ""}, {"run_id": "$r", "path": "dir/b.json"})],
    "POST /get-artifact?run_id=$r&path=a.txt",
    get("$e/$r/artifacts/a.txt"), get("$e/$r/artifacts/dir"), get("$e/$r/artifacts/nowhere"),
    get("$e/$r/artifacts/dir/empty.bin"), get("$e/$r/artifacts/"),
    "GET /ajax-api/2.0/mlflow-artifacts/artifacts/$e/$r/artifacts/ajax.txt",
    "HEAD /api/2.0/mlflow-artifacts/artifacts/$e/$r/artifacts/a.txt",
    ("POST /api/2.0/mlflow-artifacts/artifacts/$e/$r/artifacts/a.txt", {}),
    *[get("$e/$r/artifacts/a.txt", Range=r) for r in ("bytes=0-2", "bytes=2-", "bytes=-2", "bytes=5-100",
        "bytes=100-", "bytes=3-1", "bytes=x", "chars=0-1", "bytes=0-0,2-3", "bytes=-0", "bytes=-100", "bytes=0-")],
    get("$e/$r/artifacts/dir/empty.bin", Range="bytes=0-0"),
    *[listing(p) for p in ("$e/$r/artifacts", "$e/$r/artifacts/", "$e/$r/artifacts/dir", "$e/$r/artifacts/a.txt",
        "$e/$r/artifacts/nowhere", "$e", "../x", "/etc", "%2e%2e", "$e//$r", "a#b", "$e/$r/artifacts/dir/../dir")],
    "GET /ajax-api/2.0/mlflow-artifacts/artifacts?path=$e/$r/artifacts/dir",
    "GET /api/2.0/mlflow-artifacts/artifacts/?path=$e/$r", ("POST /api/2.0/mlflow-artifacts/artifacts", {}),
    *[put("$e/away/" + p if p in ("", "%20") or p[0] not in "./%fChH~" else p) for p in AWAY],
    *[get(p) for p in AWAY if p],
    *[("DELETE " + PROXY + "/" + p,) for p in AWAY if ".." in p or p.startswith("/")],
    listing("$e/away"), listing("$e/away/a"),
    *[put("$e/types/" + t) for t in TYPES], *[get("$e/types/" + t) for t in TYPES], listing("$e/types"),
    ("DELETE " + PROXY + "/$e/types/a.txt",), ("DELETE " + PROXY + "/$e/types/a.txt",),
    ("DELETE " + PROXY + "/$e/types",), listing("$e/types"), ("DELETE " + PROXY + "/$e/types",),
    ("DELETE " + PROXY + "/",), ("DELETE " + PROXY,),
    "DELETE /ajax-api/2.0/mlflow-artifacts/artifacts/$e/$r/artifacts/ajax.txt",
    *[("POST /ajax-api/2.0/mlflow/upload-artifact" + q, Raw(d, Content_Type=t)) for q, d,
        t in (("?run_uuid=$r&path=up.txt", b"up", "text/plain"), ("?run_uuid=$r&path=dir/up.json", b"{}",
        "application/json"), ("?run_uuid=$r&path=up2.txt", b"", "text/plain"), ("?path=x", b"x", None),
        ("?run_uuid=$r", b"x", None), ("?run_uuid=$r&path=../x", b"x", None),
        ("?run_uuid=" + NOWHERE + "&path=x", b"x", None), ("?run_uuid=$r&path=big", b"x" * (10 * 1024 * 1024 + 1),
        None), ("?run_uuid=$r&path=notype", b"x", None), ("?run_id=$r&path=byid", b"x", None),
        ("?run_uuid=$r&path=form", b"a=b", "application/x-www-form-urlencoded"))],
    ("POST upload-artifact?run_uuid=$r&path=up.txt", Raw(b"x")),
    ("GET artifacts/list", {"run_id": "$r"}), ("GET /get-artifact", {"run_id": "$r", "path": "up.txt"}),
    *[("POST artifacts/presigned-upload-url", b) for b in ({"run_id": "$r", "path": "a"}, {"path": "a"},
        {"run_id": "$r"}, {"run_id": "$r", "model_id": "m-1", "path": "a"}, {"run_id": "$r", "path": "../a"},
        {"run_id": NOWHERE, "path": "a"}, {"model_id": "m-1", "path": "a"}, {"run_id": "$r", "path": "a",
        "expiration": "x"})],
    *[("POST artifacts/presigned-download-url", b) for b in ({"run_id": "$r", "path": "a"}, {"path": "a"},
        {"run_id": "$r"}, {"run_id": "$r", "path": "../a"}, {"run_id": NOWHERE, "path": "a"},
        {"run_id": "$r", "path": "a", "expiration": 0}, {"run_id": "$r", "path": "a", "expiration": 604801})],
    *[(f"{m} {mount}/2.0/mlflow-artifacts/{p}", b) for mount in ("/api", "/ajax-api") for m, p,
        b in (("POST", "mpu/create/$e/big", {"path": "big.bin", "num_parts": 2}),
        ("POST", "mpu/complete/$e/big", {"path": "big.bin", "upload_id": "x",
        "parts": [{"part_number": 1, "etag": "x", "url": "x"}]}), ("POST", "mpu/abort/$e/big",
        {"path": "big.bin", "upload_id": "x"}), ("GET", "presigned/$e/big", None), ("POST", "mpu/create/$e/big", {}),
        ("POST", "mpu/create/../x", {"path": "x", "num_parts": 1}), ("POST", "mpu/complete/$e/big", {}),
        ("POST", "mpu/abort/$e/big", {}), ("GET", "presigned/../x", None), ("POST", "mpu/create/$e/big",
        {"path": "x", "num_parts": "x"}))],
    # a run whose artifacts are elsewhere
    ("POST experiments/create", {"name": "$u deep", "artifact_location": "mlflow-artifacts:/$u/place"},
        "f=experiment_id"),
    ("POST runs/create", {"experiment_id": "$f", "run_name": "q", "start_time": 1}, "q=run.info.run_id"),
    put("$u/place/$q/artifacts/x.txt"), ("GET artifacts/list", {"run_id": "$q"}),
    ("GET /get-artifact", {"run_id": "$q", "path": "x.txt"}),
    ("POST runs/delete", {"run_id": "$q"}), ("GET artifacts/list", {"run_id": "$q"}),
    ("GET /get-artifact", {"run_id": "$q", "path": "x.txt"}),
    ("DELETE " + PROXY + "/.",),        # MLflow loses everything here
]

SCRIPTS = {"protocol": PROTOCOL, "artifacts": ARTIFACTS}
