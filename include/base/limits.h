/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Every limit of the daemon, in one place. Sizes are bytes, times milliseconds, unless said. */
#ifndef BASE_LIMITS_H
#define BASE_LIMITS_H

enum {
	LIMIT_BODY = 16 << 20,            /* JSON request body */
	LIMIT_BODIES = 64 << 20,          /* all JSON bodies in memory at one time */
	LIMIT_INLINE_BODY = 16 << 10,     /* larger bodies are decoded by a worker */
	LIMIT_ARENA = 256 << 20,          /* one unit of work: one largest page */
	LIMIT_JSON_DEPTH = 64,
	LIMIT_ERROR_MESSAGE = 16 << 10,   /* what is longer is cut */
	LIMIT_JSON_VALUE_ECHO = 200,      /* bytes of a wrong value repeated in its error message */
	LIMIT_HEADER_LINE = 8 << 10,
	LIMIT_CONNECTIONS = 16384,
	LIMIT_QUEUE = 4096,               /* requests waiting for a worker or a commit */
	LIMIT_COMMIT_REQUESTS = 512,      /* requests sharing one commit */
	LIMIT_COMMIT_POINTS = 2000,       /* points sharing one, unless one request has more */
	LIMIT_KEYS_CACHED = 32768,        /* ids of metric, param and tag keys kept in memory */

	LIMIT_PAGE = 50000,               /* MLflow's SEARCH_MAX_RESULTS_THRESHOLD */
	LIMIT_PAGE_TOKEN = 1 << 20,       /* LIMIT_ORDER_BY tags of LIMIT_TAG_VALUE fit in */
	LIMIT_SQL = 1 << 20,
	LIMIT_FILTER = 64 << 10,          /* filter_string */
	LIMIT_FILTER_TERMS = 200,
	LIMIT_FILTER_DEPTH = 32,
	LIMIT_ORDER_BY = 20,

	/* MLflow 3.17.2: mlflow/utils/validation.py and the column widths of its schema */
	LIMIT_KEY = 250,                  /* characters: metric, param and tag keys */
	LIMIT_PARAM_VALUE = 6000,         /* its column would take 8000 */
	LIMIT_TAG_VALUE = 8000,
	LIMIT_EXPERIMENT_TAG_VALUE = 20000,
	LIMIT_EXPERIMENT_NAME = 500,
	LIMIT_CUSTOM_VIEWS = 50,          /* tags mlflow.customView.view* of one experiment */
	LIMIT_MODEL_NAME = 500,           /* logged models */
	LIMIT_MODEL_TYPE = 500,
	LIMIT_MODEL_KEY = 255,            /* their params and tags */
	LIMIT_HISTORY_RUNS = 100,         /* get-history-bulk, -interval */
	LIMIT_HISTORY_BULK = 25000,       /* points of get-history-bulk */
	LIMIT_HISTORY_INTERVAL = 2500,    /* points per run of get-history-bulk-interval */
	LIMIT_DATASET_EXPERIMENTS = 20,   /* search-datasets */
	LIMIT_DATASET_SUMMARIES = 1000,
	LIMIT_RUN_NAME = 250,
	LIMIT_USER_ID = 256,
	LIMIT_DATASET_NAME = 500,
	LIMIT_DATASET_DIGEST = 36,
	LIMIT_DATASET_SOURCE_TYPE = 36,
	LIMIT_DATASET_SOURCE = 65535,
	LIMIT_DATASET_SCHEMA = 1048575,
	LIMIT_DATASET_PROFILE = 16777215,
	LIMIT_INPUT_TAG_KEY = 255,
	LIMIT_INPUT_TAG_VALUE = 500,
	LIMIT_MODEL_ID = 36,
	LIMIT_ARTIFACT_LOCATION = 2048,
	LIMIT_BATCH_METRICS = 1000,
	LIMIT_BATCH_PARAMS = 100,
	LIMIT_BATCH_TAGS = 100,
	LIMIT_BATCH_TOTAL = 1000,

	LIMIT_PATH = 4096,                /* artifact path */
	LIMIT_PATH_SEGMENT = 255,
	LIMIT_RING = 256 << 10,           /* one transfer's ring */
	LIMIT_TRANSFERS = 256,            /* at one time; further ones wait in a queue */
	LIMIT_UI_UPLOAD = 10 << 20,       /* ajax-api upload-artifact */
};

#endif
