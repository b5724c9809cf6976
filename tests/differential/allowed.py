# SPDX-License-Identifier: Apache-2.0
# Copyright The Capstan Authors

"""
Where our reply may differ from MLflow's, and why. Per script: (request, MLflow's reply, our reply, how often,
reason); a
* stands for anything. A difference that no row allows fails,
and so does a row that allows more or fewer than it says.
"""

INVALID = "400 INVALID_PARAMETER_VALUE: "
PAGE_500 = "500 (a page) {}"
ERROR_500 = "500 INTERNAL_ERROR: *"
SQL = "400 BAD_REQUEST: *(psycopg2.errors.*"
TYPE = INVALID + "Invalid value * for parameter '*' supplied: Hint: Value was of type '*'. See *"
MISSING = INVALID + "Missing value for required parameter '*'. See *"
LONG = INVALID + "'*' exceeds the maximum length of * characters *"
NOT_JSON = "400 MALFORMED_REQUEST: Request body *"

# stricter
IGNORED = "MLflow drops or zeroes what has the wrong type; we say so"
CRASH = "MLflow crashes"
WORDS = "the same refusal in better words"
DATABASE = "MLflow lets its database refuse and shows the SQL"
MALFORMED = "MLflow takes what it cannot parse for an empty object"
NAMELESS = "MLflow stores an entity without a name"
TEXT_ONLY = "no NUL, lone surrogates or invalid UTF-8 anywhere"
FRAGMENT = "no fragments in places: they hide what is opened"
BACKSLASH = "no backslash, drive, '.' or invalid UTF-8 in artifact paths"
PASSIVE = "nothing that a browser would run"
# more
MORE = "OR, NOT, parentheses, IN and IS NULL wherever they make sense"
IDEMPOTENT = "a repeat is no error: clients retry"
DEFAULT = "without an experiment MLflow means 0 but stores nothing"
PATH_ID = "the path names the model already"
ALIAS = "every name of a field counts as given"
MULTIPART = "multipart uploads to a directory"
# MLflow's mistakes
STORED = "MLflow stores 0 at time 0"
NAN = "our NaN is the greatest of equal (timestamp, step); MLflow's stands at 0"
QUOTES = "MLflow compares with the quotes"
NOT_REALLY_JSON = "MLflow writes a bare NaN, which is no JSON"
EXTREMES = "our samples keep minima and maxima"
OTHER_ERRORS = "one kind of error document"

ALLOWED = {
    "registry search": [
        ("GET registered-models/search *IS*NULL*", PAGE_500, "200 *", 2, MORE),
        ("GET registered-models/search *tags.a IN *", INVALID + "Expected a quoted string *", "200 *", 1, MORE),
        ("GET registered-models/search *x'; name*", INVALID + "Search filter contained multiple *",
            INVALID + "Search filter contained multiple *", 1, WORDS),
        ("GET registered-models/search *", INVALID + "Invalid clause(s) in filter string: *", "200 *", 3, MORE),
        ("GET model-versions/search *IN (x)*", PAGE_500, INVALID + "While parsing a list *", 1, CRASH),
        ("GET model-versions/search *source = *", INVALID + "Invalid clause(s) in filter string: source*",
            INVALID + "Invalid attribute key 'source'*", 1, WORDS),
        ("GET model-versions/search * OR *", INVALID + "Invalid clause(s) in filter string: OR*", "200 *", 1, MORE),
        ("GET model-versions/search *IS NULL*", PAGE_500, "200 *", 1, MORE),
        ("GET *s/search *[\"name\", \"name\"]}", ERROR_500, INVALID + "*", 2, CRASH),
        ("GET registered-models/search *`name`\"}", INVALID + "Invalid order by key*", "200 *", 1, MORE),
        ("GET model-versions/search *order_by\": \"version\"}", INVALID + "Invalid order_by clause*",
            INVALID + "Invalid attribute key 'version'*", 1, WORDS),
        ('GET registered-models/search {"max_results": 0,*', "200 *", "200 *", 1, "a token for a page of nothing"),
        ('GET registered-models/search {"max_results": -1,*', "200 *", INVALID + "Invalid value for max_results*", 1,
            "less than nothing"),
    ],
    "webhooks": [
        ("POST webhooks*", PAGE_500, INVALID + "A webhook event must have an entity and an action.*", 6, CRASH),
        ("POST webhooks *", SQL, INVALID + "Webhook event 'registered_model.created' is listed twice.*", 1, DATABASE),
        ("POST webhooks *", SQL, LONG, 2, DATABASE),
        ('P* webhooks*"BOGUS"}', "200 *", INVALID + "Invalid value for parameter 'status'; *", 2, IGNORED),
        ('POST webhooks * "status": 5}', TYPE, INVALID + "Invalid value for parameter 'status'; *", 1, WORDS),
    ],
    "registered models": [
        ('POST registered-models/create {"name": "x<257>"}', SQL, LONG, 1, DATABASE),
        ('POST registered-models/create * 8", "tags": *', "200 *", TYPE, 1, IGNORED),
        ('POST registered-models/create * 13", "tags": *', INVALID + 'Invalid value ""*', TYPE, 1, WORDS),
        ('POST registered-models/rename *"$u one"}', "400 RESOURCE_ALREADY_EXISTS: *(psycopg2*",
            "400 RESOURCE_ALREADY_EXISTS: Registered Model (name=* one) already exists. {*", 1, DATABASE),
        ('POST registered-models/rename *x<257>"}', SQL, LONG, 1, DATABASE),
    ],
    "model versions": [
        ('POST model-versions/create *x<501>"}', INVALID + "Invalid model version source: *", LONG, 1, WORDS),
        ('POST model-versions/create *"value": 5}]}', "200 *", TYPE, 1, IGNORED),
    ],
    "model version sources": [
        ('POST model-versions/create *"gs://b/x#y"}', "200 *",
            INVALID + "Invalid model version source: *fragments or params.*", 1, FRAGMENT),
        ("POST model-versions/create *", INVALID + "'source' cannot use the * Set the MLFLOW_ALLOWED_HOST_*",
            INVALID + "'source' cannot use the * scheme: *", 10, "no such setting"),
        ("POST model-versions/create *", INVALID + "Invalid model version source: '*'. To use a local path*",
            INVALID + "Invalid model version source: '*'. To use a local path*", 7,
            "MLflow says where its server runs"),
    ],
    "model stages": [
        ('POST model-versions/transition-stage *true}', "500 INTERNAL_ERROR: Model version transition cannot archive *",
            INVALID + "Model version transition cannot archive *", 2, "the client's mistake"),
    ],
    "experiments": [
        ('POST experiments/create {"name": "$u e"}',
            "400 RESOURCE_ALREADY_EXISTS: Experiment(name=* e) already exists. Error: (psycopg2*",
            "400 RESOURCE_ALREADY_EXISTS: Experiment(name=* e) already exists. {*", 1, DATABASE),
        ('POST experiments/create {"name": "$u x<300>"}', SQL, "200 *", 1,
            "MLflow promises 500 characters, its column has 256"),
        ("POST experiments/create *nul*", ERROR_500, NOT_JSON, 1, TEXT_ONLY),
        ("POST experiments/create *[1]}", INVALID + 'Invalid value ""*', TYPE, 1, WORDS),
        ('POST experiments/create *[{"value": "v"}]}', INVALID + 'Invalid value ""*', MISSING, 1, WORDS),
        ("POST experiments/create *t5*", "400 RESOURCE_ALREADY_EXISTS: *(psycopg2*",
            INVALID + "Duplicate tag key 'k' *", 1, DATABASE),
        ('POST experiments/create *"value": 5}]}', "200 *", TYPE, 1, IGNORED),
        ("POST experiments/create *x<2049>*", INVALID + "* 2048 characters. To configure*",
            INVALID + "* 2048 characters. {*", 1, "no such setting"),
        ('POST experiments/update *unknown"}', SQL, "400 RESOURCE_ALREADY_EXISTS: *", 1, DATABASE),
    ],
    "experiment life": [
        ('POST experiments/create {"name": "$u life"}', "400 RESOURCE_ALREADY_EXISTS: *(psycopg2*",
            "400 RESOURCE_ALREADY_EXISTS: * already exists in deleted state. Restore it, *", 1, DATABASE),
    ],
    "experiment search": [
        ("POST experiments/search * OR *", INVALID + "Invalid clause(s) in filter string: OR *", "200 {}", 1, MORE),
        ("POST experiments/search *NOT name*", INVALID + "Invalid clause(s) in filter string: NOT *", "200 *", 1,
            MORE),
        ("POST experiments/search *(name*", INVALID + "Invalid clause(s) in filter string: (*", "200 {}", 1, MORE),
        ("POST experiments/search * BETWEEN *", INVALID + "Invalid clause(s)*", INVALID + "Invalid clause(s)*", 1,
            WORDS),
        ("POST experiments/search *", "200 *", TYPE, 3, IGNORED),
        ('POST experiments/search {"max_results": *', INVALID + "Invalid value 0 for parameter 'max_results'*", TYPE,
            2, IGNORED),
    ],
    "runs": [
        ("POST runs/create {*}", SQL, '200 *"experiment_id": "0"*', 2, DEFAULT),
        ("POST runs/create *", "200 *", TYPE, 7, IGNORED),
        ('POST runs/create *"start_time": []}', PAGE_500, TYPE, 1, CRASH),
        ("POST runs/create *", SQL, LONG, 3, DATABASE),
        ('POST runs/create *[{"value": "k"}]}', "200 *", MISSING, 1, NAMELESS),
        ("POST runs/create *", SQL, INVALID + "Duplicate tag key 'k'*", 1, DATABASE),
        ("POST runs/update *", "200 *", TYPE, 2, IGNORED),
        ("POST runs/update *", SQL, LONG, 1, DATABASE),
        ("POST runs/*u0000b*", INVALID + "Invalid value *", NOT_JSON, 2, TEXT_ONLY),
    ],
    "metrics": [
        ("POST runs/log-metric *u0000b*", INVALID + "Invalid value *", NOT_JSON, 1, TEXT_ONLY),
        ("POST runs/log-metric *", PAGE_500, TYPE, 4, CRASH),
        ("POST runs/log-metric *", "200 {}", TYPE, 6, IGNORED),
        ("POST runs/log-metric '*", MISSING, NOT_JSON, 5, MALFORMED),
        ('POST runs/log-metric *"timestamp": ""}', TYPE, MISSING, 1, WORDS),
        ("GET metrics/get-history *odd0*", "200 *: 0.0}]}", "200 *: -0.0}]}", 1, "MLflow loses the sign"),
        ("GET metrics/get-history *odd1*", '200 *"timestamp": 0, "value": 0.0}]}',
            '200 *"timestamp": 5, "value": "NaN"}]}', 1, STORED),
        ("GET metrics/get-history *raw0*", '200 *"timestamp": 0, "value": 0.0}]}',
            '200 *"timestamp": 5, "value": "NaN"}]}', 1, STORED),
        ("GET metrics/get-history *raw*", '200 *"timestamp": 0, "value": 0.0}]}',
            '200 *"timestamp": 5, "value": *1.7976931348623157e+308}]}', 4, STORED),
        ("GET metrics/get-history *nan*", '200 *-1.0}, *"NaN"}, * 1.0}]}', '200 *-1.0}, * 1.0}, *"NaN"}]}', 1, NAN),
        ("GET metrics/get-history *", "200 *", TYPE, 3, IGNORED),
        ("GET */get-history-bulk *", PAGE_500, TYPE, 1, CRASH),
        ("GET */get-history-bulk *-1}", SQL, INVALID + "Invalid value -1 for parameter 'max_results'*", 1, DATABASE),
        ("GET */get-history-bulk *latest*", "200 *: NaN}*", '200 *: "NaN"}*', 1, NOT_REALLY_JSON),
        ("GET */get-history-bulk-interval *", "200 *", "200 *", 6, EXTREMES),
    ],
    "batch": [
        ("POST runs/log-batch *", "200 {}", TYPE, 7, IGNORED),
        ("POST runs/log-batch *", PAGE_500, TYPE, 5, CRASH),
        ('POST runs/log-batch *"key": 5*', INVALID + 'Invalid value ""*', TYPE, 3, WORDS),
        ("POST runs/log-batch *null*", PAGE_500, "200 {}", 1, CRASH),
        ("POST runs/log-batch *runId*", MISSING, "200 {}", 1, ALIAS),
        ("POST runs/log-batch *run_uuid*", INVALID + "Invalid value \"\" for parameter 'run_id' supplied.*",
            "200 {}", 1, ALIAS),
        ("POST runs/log-batch *m-1*", SQL, INVALID + "Logged model with ID 'm-1' not found.*", 1, DATABASE),
    ],
    "inputs": [
        ("POST runs/log-inputs *", "200 {}", INVALID + "Dataset * cannot be None *", 3, NAMELESS),
        ("POST runs/log-inputs *", "200 {}", INVALID + "Dataset cannot be None *", 2, NAMELESS),
        ("POST runs/log-inputs *", "200 {}", MISSING, 2, NAMELESS),
        ("POST runs/log-inputs *", "200 {}", TYPE, 3, IGNORED),
        ("POST runs/log-inputs *", SQL, LONG, 1, DATABASE),
        ("POST runs/log-inputs *", SQL, INVALID + "Duplicate dataset input tag 'k'*", 1, DATABASE),
        ("POST runs/outputs *", SQL, "200 {}", 1, IDEMPOTENT),
        ('POST runs/outputs *[{"step": 1}]}', "200 {}", MISSING, 1, NAMELESS),
        ("POST runs/outputs *", "200 {}", TYPE, 1, IGNORED),
        ("POST runs/log-model *", PAGE_500, INVALID + "Malformed model info. * is not a valid JSON.*", 4, CRASH),
        ("POST */search-datasets *", INVALID + "SearchDatasets request must specify at least one experiment_id.*",
            TYPE, 2, WORDS),
        ("POST /*api/2.0mlflow/experiments/search-datasets *", "404 *", "200 *", 2,
            "its path as MLflow's protocol spells it"),
    ],
    "run search": [
        ("POST runs/search *", INVALID + "Invalid comparator *", INVALID + "Invalid comparator *'IN', *", 3, MORE),
        ("POST runs/search * IS NULL*", INVALID + "IS NULL / IS NOT NULL is only *",
            INVALID + "IS NULL / IS NOT NULL is only * (and metrics)*", 3, MORE),
        ("POST runs/search *metrics.acc IS NULL*", INVALID + "IS NULL / IS NOT NULL is only *", "200 *", 1, MORE),
        ("POST runs/search * IN (*", INVALID + "Expected a quoted string value*", "200 *", 3, MORE),
        ("POST runs/search * IN (abc)*", ERROR_500, INVALID + "While parsing a list in the query*", 1, CRASH),
        ("POST runs/search * OR *", INVALID + "Invalid clause(s)*", "200 *", 1, MORE),
        ("POST runs/search *NOT metrics*", INVALID + "Invalid clause(s)*", "200 *", 1, MORE),
        ("POST runs/search *(metrics*", INVALID + "Invalid clause(s)*", "200 *", 2, MORE),
        ("POST runs/search *", INVALID + "Invalid clause(s)*", INVALID + "Invalid clause(s)*", 3, WORDS),
        ("POST runs/search *= a'*", INVALID + "Invalid clause(s)*",
            INVALID + "Parameter value is either not quoted*", 1, WORDS),
        ("POST runs/search *", "500 INTERNAL_ERROR: `order_by` contains duplicate fields: *",
            INVALID + "`order_by` contains duplicate fields: *", 2, CRASH),
        ('POST runs/search *"metrics.acc DESC "*', INVALID + "Invalid order_by clause*", "200 *", 1,
            "blanks mean nothing"),
    ],
    "run search pages": [
        ("POST runs/search *", "200 *", TYPE, 7, IGNORED),
        ('POST runs/search *"max_results": null}', PAGE_500, "200 *", 1, CRASH),
    ],
    "logged models": [
        ("POST logged-models *", SQL, LONG, 3, DATABASE),
        ("POST logged-models *", "200 *", TYPE, 4, IGNORED),
        ("POST logged-models *", SQL, INVALID + "Duplicate * key 'k' *", 3, DATABASE),
        ("PATCH logged-models/$s *", "200 *", TYPE, 4, IGNORED),
        ("PATCH logged-models/$s *", MISSING, "200 *", 1, PATH_ID),
        ('PATCH logged-models/$s {"model_id": "$o", *', "200 *<o>*", "200 *<s>*", 1,
            "the path is what was authorized"),
        ("PATCH logged-models/$m {}", MISSING, MISSING, 1, PATH_ID),
        ("POST logged-models/$s/params *", SQL, "200 {}", 1, IDEMPOTENT),
        ("POST logged-models/$s/params *", SQL, INVALID + "Changing param values is not allowed.*", 2, DATABASE),
        ("POST logged-models/$s/params *", SQL, INVALID + "Duplicate parameter key 'd'*", 1, DATABASE),
        ("POST logged-models/$s/params *", "200 {}", TYPE, 1, IGNORED),
        ("POST logged-models/$s/params *", MISSING, "200 {}", 2, PATH_ID),
        ("PATCH logged-models/$s/tags *", "200 {}", TYPE, 1, IGNORED),
        ("GET logged-models/$o", '200 *"value": 0.0}*', '200 *"value": "NaN"}*', 1, "MLflow stores 0 for NaN"),
        ("POST runs/log-metric *", SQL, INVALID + "Logged model with ID '*' not found.*", 1, DATABASE),
    ],
    "logged model search": [
        ("POST logged-models/search *status *", SQL, "200 *", 4,
            "MLflow's status filter wants the number in its column"),
        ("POST logged-models/search * IS NULL*", INVALID + "Invalid comparison: *", "200 *", 2, MORE),
        ("POST logged-models/search * IS NULL*", INVALID + "Invalid comparison: *",
            INVALID + "IS NULL / IS NOT NULL is only*", 1, WORDS),
        ("POST logged-models/search *> 'x'*", ERROR_500, INVALID + "Invalid value for *. Expected a number.*", 2,
            CRASH),
        ("POST logged-models/search *", INVALID + "Invalid comparison operator*", INVALID + "Invalid attribute key*",
            1, WORDS),
        ("POST logged-models/search *", "200 {}", "200 *", 2, QUOTES),
        ("POST logged-models/search *", INVALID + "Invalid filter string: *", "200 *", 3, MORE),
        ("POST logged-models/search *", ERROR_500, INVALID + "Invalid attribute key 'bogus' specified.*", 1, CRASH),
        ("POST logged-models/search *;*", INVALID + "Invalid filter string: \"*",
            INVALID + "Invalid filter string: '*", 1, WORDS),
        ("POST logged-models/search *", INVALID + "Invalid order by field name: *ATTRIBUTE_NOT_FOUND*",
            INVALID + "Invalid order by field name: *", 3, "one error class per code"),
        ("POST logged-models/search *", INVALID + "Invalid order by field name: *ATTRIBUTE_NOT_FOUND*", TYPE, 3,
            WORDS),
        ("POST logged-models/search *", "200 *", TYPE, 2, IGNORED),
        ('POST logged-models/search *[{"dataset_name": "iris"}]}', "200 {}", "200 *", 2,
            "MLflow documents the digest as optional, and finds nothing without"),
        ('POST logged-models/search *"datasets": [5]}', INVALID + "`dataset_name` in the `datasets` clause must*",
            TYPE, 1, WORDS),
        ('POST logged-models/search *"max_results": -1*', '200 {"next_page_token": "<token>"}',
            INVALID + "Invalid value -1*", 1, "an endless list of empty pages"),
        ("POST logged-models/search *$t*", INVALID + "* in the page token do* not match *",
            INVALID + "Invalid page token: it belongs to another query*", 3, WORDS),
        ('POST logged-models/search *"garbage"}', PAGE_500, INVALID + "Invalid page token*", 1, CRASH),
    ],
    "protocol": [
        ("PATCH *logged-models/* {}", MISSING, MISSING, 3, PATH_ID),
        ("POST *logged-models/m-1/params {}", MISSING, "404 RESOURCE_DOES_NOT_EXIST: *", 2, PATH_ID),
        ("POST */runs/create {}", SQL, '200 *"experiment_id": "0"*', 2, DEFAULT),
        ("GET */server-info {}", '200 *"gateway": true}*', '200 *"gateway": false}*', 2, "no AI gateway here"),
        ("HEAD /health", "200 *text/html*", "200 *text/plain*", 1, "as for GET"),
        ("GET /api/2.0/mlflow//experiments/get*", "308 *", "404 *", 1, "no redirects"),
        ("POST runs/set-tag *APPLICATION/JSON*", INVALID + "Bad Request. Content-Type*", "200 {}", 1,
            "media types have no case"),
        ("POST runs/set-tag *", MISSING, NOT_JSON, 9, MALFORMED),
        ("POST runs/set-tag *", PAGE_500, NOT_JSON, 4, CRASH),
        ("POST runs/set-tag *ud800*", "200 {}", NOT_JSON, 1, TEXT_ONLY),
        ("POST runs/set-tag *u0000*", ERROR_500, NOT_JSON, 1, TEXT_ONLY),
        ("POST runs/set-tag *camel*", MISSING, "200 {}", 1, ALIAS),
        ("GET runs/get?run_id=%ff", "404 *", INVALID + "*", 1, TEXT_ONLY),
        ("GET runs/get?run_id=$r%00", ERROR_500, INVALID + "*", 1, TEXT_ONLY),
        ("GET runs/get?run_id=$r#part", "404 *", INVALID + "Invalid character in the request target.*", 1,
            "RFC 9112"),
    ],
    "artifacts": [
        ("PUT *", PAGE_500, INVALID + "Artifact path *", 2, CRASH),
        ("* *", '400 {"detail": "Artifact path *', INVALID + "Artifact path *", 4, OTHER_ERRORS),
        ("PUT /api/2.0/mlflow-artifacts/artifacts/ *", '400 {"detail": *', "404 *", 1, "the root is no artifact"),
        ("GET /api/2.0/mlflow-artifacts/artifacts/?path=*", '400 {"detail": *', "404 *", 1,
            "the root is no artifact"),
        ('GET /get-artifact *"path": ""}', INVALID + "*artifacts/' *", INVALID + "*artifacts' *", 1, WORDS),
        ("GET *", "200 * {\"Content-Type\": \"text/html\", *", "200 * {\"Content-Type\": \"text/plain\", *", 3,
            PASSIVE),
        ("GET *a.svg *", "200 *image/svg+xml*", "200 *text/plain*", 1, PASSIVE),
        ("GET *a.xhtml *", "200 *application/xhtml+xml*", "200 *application/octet-stream*", 1, PASSIVE),
        ("GET *Range*", "400 (a page) {}", "200 *", 3, "RFC 9110: an invalid Range is ignored"),
        ("GET *Range*", "206 *multipart/byteranges*", "200 *", 1, "one range at most"),
        ("PUT *", "200 *", INVALID + "Invalid path *", 2, BACKSLASH),
        ("PUT *a%ffb*", "200 *", INVALID + "The path is not valid UTF-8.*", 1, BACKSLASH),
        ("PUT */. *", PAGE_500, INVALID + "Invalid path *", 1, CRASH),
        ("PUT */./*", ERROR_500, INVALID + "Invalid path *", 1, CRASH),
        ("PUT *http://x/y *", ERROR_500, "200 *", 1, CRASH),
        ("GET *http://x/y *", "404 *", "200 *", 1, "was stored"),
        ("PUT *%0A*", '404 {"detail": "Not Found"}', "200 *", 1, "a file name like any other"),
        ("GET *%0A*", '404 {"detail": "Not Found"}', "404 RESOURCE_DOES_NOT_EXIST: *", 1, OTHER_ERRORS),
        ("GET *..%5Cx *", "200 *", INVALID + "Invalid path *", 1, BACKSLASH),
        ("GET *", "404 *", INVALID + "Invalid path *", 3, BACKSLASH),
        ("GET */. *", '400 {"detail": *', INVALID + "Invalid path *", 1, OTHER_ERRORS),
        ("GET *a%ffb *", "404 *", INVALID + "The path is not valid UTF-8.*", 1, BACKSLASH),
        ("GET *a//b *", "404 *'a//b'*", "404 *'a/b'*", 1, WORDS),
        ("GET *%20 *", '400 {"detail": *', "404 *", 1, "MLflow strips the blank and means the root"),
        ("GET * {\"path\": \"$e/away\"}", "200 *", "200 *", 1, BACKSLASH),
        ("DELETE *//*", "308 *", INVALID + "Invalid path *", 2, "no redirects"),
        ("DELETE *..%5Cx", "200 {}", INVALID + "Invalid path *", 1, BACKSLASH),
        ("GET *caf%C3%A9.txt *", "*filename=cafe.txt; *", "*filename=caf.txt; *", 1,
            "a name for browsers of the past"),
        ("POST *path=form *", INVALID + "Request must specify data.*", "200 *", 1, "bytes are bytes"),
        ('GET artifacts/list {"run_id": "$r"}', "200 *", '200 *"path": "form"*', 1, "see above"),
        ("POST */upload-artifact?*", "200 *application/json*", "200 (0 bytes) b'' {}", 3,
            "an empty reply has no type"),
        ("POST */mpu/create/*", "501 NOT_IMPLEMENTED: *", '200 {"credentials": *', 2, MULTIPART),
        ("POST */mpu/*", "501 NOT_IMPLEMENTED: *", "404 RESOURCE_DOES_NOT_EXIST: No such multipart upload *", 4,
            MULTIPART),
        ("DELETE */.", PAGE_500, INVALID + "Invalid path *", 1, CRASH),
    ],
}
