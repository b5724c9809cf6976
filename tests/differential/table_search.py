# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

RUNS = [
    ("alpha", 100, {"acc": 0.5, "loss": 1.0}, {"opt": "adam", "lr": "0.1"}, {"team": "a", "note": "Hello World"}),
    ("beta", 200, {"acc": 0.7}, {"opt": "sgd"}, {"team": "b", "note": "100%_sure"}),
    ("gamma", 300, {"acc": 0.9, "loss": "NaN"}, {"opt": "Adam", "lr": "0.2"}, {"team": "a", "note": ""}),
    ("delta", 400, {"loss": -2.5, "val/top 5": 1}, {}, {"team": "c", "a b": "quoted"}),
    ("Epsilon", 500, {"acc": 0.75, "val/top 5": 3.0, "loss": "Infinity"}, {"opt": "rms.prop", "x.y": "1"},
        {"path.to.key": "v"}),
]


def world(name, count=len(RUNS)):
    yield ("POST experiments/create", {"name": f"$u {name}"}, "e=experiment_id")
    for name, start, metrics, params, tags in RUNS[:count]:
        yield ("POST runs/create", {"experiment_id": "$e", "run_name": name, "start_time": start,
            "user_id": f"user {name}"}, f"{name}=run.info.run_id")
        yield ("POST runs/log-batch", {"run_id": f"${name}", "metrics": [{"key": k, "value": v, "timestamp": start,
            "step": 1} for k, v in metrics.items()], "params": [{"key": k, "value": v} for k, v in params.items()],
            "tags": [{"key": k, "value": v} for k, v in tags.items()]})
    yield ("POST runs/update", {"run_id": "$alpha", "status": "FINISHED", "end_time": 150})
    yield ("POST runs/update", {"run_id": "$beta", "status": "FAILED", "end_time": 260})


def find(filter=None, **more):
    return ("POST runs/search", {"experiment_ids": ["$e"], **({} if filter is None else {"filter": filter}), **more})


FILTERS = [
    "", " ",
    *[f"metrics.acc {op} 0.7" for op in ("=", "!=", ">", ">=", "<", "<=", "==", "<>", "LIKE", "ILIKE", "IN", "IS")],
    *[f"metrics.loss {op} 1" for op in ("=", "!=", ">", "<")],
    *[f"metrics.acc > {n}" for n in ("-1", "1e-2", ".05", "+1", "0x10", "inf", "nan", "'0.6'", "\"0.6\"", "0.6.1",
        "abc", "-.5", "1E0", "5e")],
    *[f"{e}.acc > 0.6" for e in ("metric", "metrics", "METRICS", "Metric", "m", "param", "run")],
    *[f"{e}.opt = 'adam'" for e in ("param", "params", "parameter", "parameters", "Params")],
    *[f"{e}.team = 'a'" for e in ("tag", "tags", "Tags")],
    *[f"{e}.status = 'FINISHED'" for e in ("attribute", "attributes", "attr", "run", "Run", "runs")],
    *[f"params.opt {op} 'adam'" for op in ("=", "!=", "LIKE", "ILIKE", "like", "ilike", ">", "==", "IN", "IS")],
    *[f"params.opt LIKE '{p}'" for p in ("a%", "A%", "%a%", "ad_m", "rms.prop", "%", "", "\\\\%")],
    *[f"tags.note {op}" for op in ("LIKE '100\\%%'", "LIKE '100%\\_sure'", "= ''", "LIKE ''", "!= ''",
        "ILIKE 'hello%'", "= 'Hello World'")],
    "params.lr IS NULL", "params.lr IS NOT NULL", "tags.team IS NULL", "tags.team IS NOT NULL",
    "metrics.acc IS NULL", "params.lr is null",
    "tags.team Is Not Null", "attributes.run_name IS NULL", "attributes.end_time IS NULL", "params.lr IS 5",
    "params.lr IS NOT 'x'",
    "metrics.`val/top 5` = 3", "metrics.\"val/top 5\" >= 3.0", "metrics.'val/top 5' > 0", "metrics.val/top > 0",
    "tags.`a b` = 'quoted'",
    "tags.\"a b\" = 'quoted'", "tags.path.to.key = 'v'", "params.x.y = '1'", "`tags`.`team` = 'a'",
    "tags.team = \"a\"", "tags.team = a", "tags.team = 5",
    "params.lr = 0.1", "params.lr = '0.1'", "params.opt IN ('adam', 'sgd')", "params.opt NOT IN ('adam')",
    "tags.team IN ('a')",
    *[f"attributes.run_name {op} 'beta'" for op in ("=", "!=", "LIKE", "ILIKE", ">")],
    "run_name = 'beta'", "`run name` = 'beta'", "attributes.`run name` = 'beta'", "attributes.`Run name` = 'beta'",
    "`Run Name` = 'beta'",
    "run_name ILIKE 'EPS%'", "run_name LIKE 'eps%'", "tags.mlflow.runName = 'beta'",
    "tags.`mlflow.runName` LIKE 'b%'",
    *[f"start_time {op} 300" for op in ("=", "!=", ">", ">=", "<", "<=", "LIKE")],
    "attributes.start_time > '300'", "attributes.start_time > 1.5", "created > 300", "attributes.created > 300",
    "attributes.Created > 300",
    "end_time > 200", "end_time = 150", "attributes.end_time != 150", "attributes.duration > 10", "duration > 10",
    "status = 'FINISHED'", "status != 'FINISHED'", "status = 'finished'", "status = 'BOGUS'", "status LIKE 'F%'",
    "status IN ('FINISHED')",
    "user_id = 'user beta'", "user_id LIKE 'user %'", "attributes.user_id != 'user beta'",
    "artifact_uri LIKE '%artifacts'", "artifact_uri = 'x'",
    "run_id = '$beta'", "run_id != '$beta'", "run_id IN ('$beta', '$gamma')", "run_id NOT IN ('$beta', '$gamma')",
    "run_id IN ('$beta')",
    "attributes.run_id IN ('$beta')", "run_id IN ()", "run_id IN '$beta'", "run_id IN (abc)", "run_id in ('$beta')",
    "run_id LIKE '%'",
    "run_id IN (\"$beta\")", "run_id IN ('$beta',)", "run_id not in ('$beta')", "run_uuid = '$beta'",
    "experiment_id = '$e'",
    "lifecycle_stage = 'active'", "lifecycle_stage = 'deleted'", "attributes.bogus = 'x'", "bogus = 'x'",
    "bogus.x = 'y'", "attributes.name = 'beta'",
    "metrics.acc > 0.5 AND params.opt = 'Adam'", "metrics.acc > 0.5 and tags.team = 'a' And start_time > 1",
    "metrics.acc>0.5 AND tags.team='a'",
    "metrics.acc > 0.5\nAND\ttags.team = 'a'", "metrics.acc > 0.6 AND metrics.acc < 0.8",
    "params.opt LIKE '%a%' AND params.opt != 'adam'",
    "tags.team = 'a' AND tags.note = ''", "AND metrics.acc > 0.5", "metrics.acc > 0.5 AND",
    "metrics.acc > 0.5 AND AND tags.team = 'a'",
    "metrics.acc > 0.5 tags.team = 'a'", "metrics.acc > 0.8 OR metrics.acc < 0.6", "NOT metrics.acc > 0.5",
    "(metrics.acc > 0.5)",
    "(metrics.acc > 0.5 AND tags.team = 'a')", "metrics.acc BETWEEN 0 AND 1", "metrics.acc > 0.5;",
    "metrics.acc > 0.5 -- x", "metrics.acc > 0.5 /* x */",
    "metrics.acc", "metrics.acc >", "> 0.5", "0.5 < metrics.acc", "metrics. > 0.5", "metrics > 0.5", ".acc > 0.5",
    "tags.team = 'it''s'",
    "tags.team = 'a", "tags.team = a'", "tags.`team = 'a'", "tags.team = ''", "tags.team != 'a'",
    "tags.nowhere != 'a'", "params.nowhere != 'a'",
    "metrics.nowhere != 1", "SELECT 1", "1 = 1", "'a' = 'a'", "tags.team = tags.note",
    "tags.team = 'a' AND '1' = '1'", "tags.team = 'x' UNION SELECT 1",
    "tags.team = 'é日本'", "params.`opt` = 'adam'", "params.\"opt\" = 'adam'", "tags.team == 'a'",
    "tags.team = 'a b' AND", "tags.date = '2020'",
    "params.key = 'x'", "tags.order = 'x'", "tags.select = 'x'", "metrics.count > 1", "metrics.max > 1",
    "tags.user = 'x'", "tags.type = 'x'",
    "datasets.name = 'iris'", "dataset.name = 'iris'", "datasets.digest = 'd1'", "dataset.context = 'training'",
    "datasets.name LIKE 'i%'",
    "datasets.name ILIKE 'I%'", "datasets.name != 'iris'", "datasets.name IN ('iris', 'x')",
    "datasets.name NOT IN ('iris')", "datasets.bogus = 'x'",
    "datasets.name = 'iris' AND datasets.digest = 'd2'", "dataset.name = 'iris' AND dataset.context = 'eval'",
    "datasets.name IS NULL", "datasets.name > 'a'",
    "datasets.context LIKE 'tr%'", "dataset.digest IN ('d2')",
]

ORDERS = [
    [], ["metrics.acc"], ["metrics.acc ASC"], ["metrics.acc DESC"], ["metrics.acc desc"], ["metrics.loss"],
    ["metrics.loss DESC"], ["metric.loss DESC"],
    ["params.lr"], ["params.lr DESC"], ["parameter.opt DESC"], ["tags.team"], ["tags.team DESC"],
    ["tags.team", "metrics.acc DESC"],
    ["tag.team ASC", "start_time DESC"], ["start_time"], ["start_time DESC"], ["attributes.start_time ASC"],
    ["attribute.end_time"], ["end_time DESC"],
    ["attributes.end_time DESC"], ["status"], ["status DESC", "start_time"], ["run_name"], ["run_name DESC"],
    ["attributes.run_name"], ["Created"],
    ["attributes.Created DESC"], ["`Run Name`"], ["attributes.`Run name` DESC"], ["user_id"],
    ["metrics.`val/top 5` DESC"], ["metrics.\"val/top 5\""], ["metrics.nowhere"], ["params.nowhere DESC"],
    ["tags.nowhere"], ["bogus"], ["bogus.x"],
    ["attributes.bogus"], ["metrics.acc SIDEWAYS"], ["metrics.acc ASC DESC"], ["metrics.acc,metrics.loss"],
    ["metrics.acc, start_time"], [""], [" "],
    [5], [None], "metrics.acc", ["metrics.acc", "metrics.acc"], ["start_time", "start_time DESC"],
    ["metrics.acc  DESC"], ["metrics.acc DESC "],
    ["experiment_id"], ["lifecycle_stage"], ["datasets.name"], ["metrics"], ["metrics."], ["DESC"], ["run_uuid"],
    ["duration"],
]

DATA = {"name": "iris", "digest": "d1", "source_type": "local", "source": "x"}

SEARCH_RUNS = [
    *world("search"),
    ("POST runs/log-inputs", {"run_id": "$alpha", "datasets": [
        {"dataset": DATA, "tags": [{"key": "mlflow.data.context", "value": "training"}]}]}),
    ("POST runs/log-inputs", {"run_id": "$beta", "datasets": [
        {"dataset": {**DATA, "digest": "d2"}, "tags": [{"key": "mlflow.data.context", "value": "eval"}]},
        {"dataset": {**DATA, "name": "zoo"}}]}),
    find(),
    *[find(f) for f in FILTERS],
    *[find(order_by=o) for o in ORDERS],
    ("POST /ajax-api/2.0/mlflow/runs/search", {"experiment_ids": ["$e"], "filter": "metrics.acc > 0.6"}),
]

SEARCH_PAGES = [
    *world("pages"),
    ("POST experiments/create", {"name": "$u pages two"}, "f=experiment_id"),
    ("POST runs/create", {"experiment_id": "$f", "run_name": "zeta", "start_time": 250}, "zeta=run.info.run_id"),
    ("POST runs/delete", {"run_id": "$gamma"}),
    *[find(run_view_type=v) for v in ("ACTIVE_ONLY", "DELETED_ONLY", "ALL", "active_only", "BOGUS", 1, 2, 3, 9, "2",
        None)],
    *[find(max_results=n) for n in (0, -1, 2, "2", 50000, 50001, "x", 1.5, True, None, 2**40)],
    ("POST runs/search", {"experiment_ids": ["$e", "$f"]}),
    ("POST runs/search", {"experiment_ids": ["$f", "$e", "$f"], "order_by": ["start_time"]}),
    ("POST runs/search", {"experiment_ids": ["$f", "99999999"]}),
    *[("POST runs/search", {"experiment_ids": v}) for v in ([], None, "x", [5], ["x"], [None], ["99999999"], [""],
        {}, [[]])],
    ("POST runs/search", {}),
    ("POST runs/search", {"filter": "metrics.acc > 0"}),
    find(5), find([]), find(order_by={}), find(page_token="garbage"), find(page_token=5), find(page_token=""),
    ("POST runs/search", {"experiment_ids": ["$e", "$f"], "max_results": 2, "order_by": ["metrics.acc DESC"]},
        "t=next_page_token"),
    ("POST runs/search", {"experiment_ids": ["$e", "$f"], "max_results": 2, "order_by": ["metrics.acc DESC"],
        "page_token": "$t"}, "t=next_page_token"),
    ("POST runs/search", {"experiment_ids": ["$e", "$f"], "max_results": 2, "order_by": ["metrics.acc DESC"],
        "page_token": "$t"}),
    ("POST runs/search", {"experiment_ids": ["$e", "$f"], "max_results": 5}),
    ("POST runs/search", {"experiment_ids": ["$e", "$f"], "max_results": 1, "order_by": ["metrics.loss"]},
        "t=next_page_token"),
    *[("POST runs/search", {"experiment_ids": ["$e", "$f"], "max_results": 1, "order_by": ["metrics.loss"],
        "page_token": "$t"}, "t=next_page_token")] * 4,
    ("GET runs/search", {"experiment_ids": ["$e"]}),
    # by what is generated: equal in everything else
    *[("POST runs/create", {"experiment_id": "$f", "run_name": "twin", "start_time": 1}, f"{n}=run.info.run_id")
        for n in "xy"],
    ("GET /version", None, "sort:x,y"),
    *[("POST runs/search", {"experiment_ids": ["$f"], "filter": "run_name = 'twin'", "order_by": o})
        for o in ([], ["run_id"], ["run_id DESC"], ["artifact_uri"], ["artifact_uri DESC"], ["start_time DESC"],
        ["metrics.a"])],
]

SCRIPTS = {"run search": SEARCH_RUNS, "run search pages": SEARCH_PAGES}
