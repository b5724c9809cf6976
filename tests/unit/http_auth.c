/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* What each row asks of a user's grants, as requirements in text: "type:id:action|fallback ...". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "../../src/http/http.h"
#include "../../src/http/require.h"
#include "base/arena.h"
#include "base/buf.h"

#include <cmocka.h>

#define RUN "0123456789abcdef0123456789abcdef"
#define RUN2 "fedcba9876543210fedcba9876543210"
#define MODEL "m-0123456789abcdef0123456789abcdef"

static const char *const types[] = {
#define X(name, text) text,
	AUTH_RESOURCES(X)
#undef X
};
static const char *const actions[] = { "read", "use", "update", "delete", "manage", "create",
				       "not_denied" };

static struct http_server server;

struct asked {
	struct job job;
	struct requirements needed;
	int result;
	const char *text;
};

static void describe(struct asked *a)
{
	struct buf b = BUF(a->job.ctx.arena, 1 << 16);

	for (size_t i = 0; i < a->needed.count; i++) {
		const struct auth_requirement *r = &a->needed.items[i];

		buf_add(&b, i ? " " : "");
		for (unsigned k = 0; k < r->count; k++)
			buf_addf(&b, "%s%s:%s:%s", k ? "|" : "", types[r->rungs[k].type],
				 r->rungs[k].id ? r->rungs[k].id : "*",
				 actions[r->rungs[k].action]);
	}
	a->text = buf_text(&b);
}

static void read_request(struct job *j, const char *body)
{
	const struct record *r = j->match.route->request;

	if (!r)
		return;
	j->in = arena_alloc(j->ctx.arena, r->size);
	for (size_t i = 0; i < j->match.count; i++)
		assert_int_equal(record_set(&j->ctx, r, j->match.names[i], j->match.values[i],
					    j->in), 0);
	for (size_t i = 0; i < j->target.count; i++)
		assert_int_equal(record_set(&j->ctx, r, j->target.arguments[i].name,
					    j->target.arguments[i].value, j->in), 0);
	if (body) {
		char *copy = arena_alloc(j->ctx.arena, strlen(body) + 2);

		memcpy(copy, body, strlen(body));
		if (record_read(&j->ctx, r, copy, strlen(body), j->in))
			error_clear(&j->ctx); /* other fields than those judged may be absent */
	}
}

static void ask(struct asked *a, const char *method, const char *target, const char *body)
{
	struct job *j = &a->job;

	*a = (struct asked){ 0 };
	j->ctx.arena = arena_new(1 << 22);
	j->server = &server;
	j->method = method_parse(method);
	assert_int_equal(target_parse(&j->ctx, target, &j->target), 0);
	route_find(&j->ctx, j->method, j->target.path, &j->match);
	if (!j->match.route)
		fail_msg("no row: %s %s", method, target);
	read_request(j, body);
	a->result = require_route(j, &a->needed);
	describe(a);
}

static void done(struct asked *a)
{
	arena_free(a->job.ctx.arena);
}

#define V2 "/api/2.0/mlflow/"
#define PROXY "/api/2.0/mlflow-artifacts/"
#define ON_RUN(action) \
	"experiment:7:read run:*:" action "|experiment:7:" action
#define ON_MODEL(action) \
	"experiment:9:read logged_model:*:" action "|experiment:9:" action
#define METRIC "\"key\":\"k\",\"value\":1,\"timestamp\":1"

static const struct {
	const char *method, *target, *body, *needs;
} table[] = {
	{ "POST", V2 "experiments/create", "{\"name\":\"x\"}", "experiment:*:not_denied" },
	{ "GET", V2 "experiments/get?experiment_id=3", NULL, "experiment:3:read" },
	/* grants know one spelling of an id */
	{ "GET", V2 "experiments/get?experiment_id=0003", NULL, "experiment:3:read" },
	{ "GET", V2 "experiments/get?experiment_id=%2B3", NULL, "experiment:3:read" },
	{ "GET", V2 "experiments/get?experiment_id=-0", NULL, "experiment:0:read" },
	{ "GET", V2 "experiments/get?experiment_id=x", NULL, "experiment:x:read" },
	{ "POST", V2 "experiments/update", "{\"experiment_id\":\"3\"}", "experiment:3:update" },
	{ "POST", V2 "experiments/delete", "{\"experiment_id\":\"3\"}",
	  "experiment:3:delete run:*:delete|experiment:3:delete"
	  " trace:*:delete|experiment:3:delete logged_model:*:delete|experiment:3:delete"
	  " assessment:*:delete|experiment:3:delete review_queue:*:delete|experiment:3:delete"
	  " scorer:*:delete|experiment:3:delete scorer_version:*:delete|experiment:3:delete" },
	{ "POST", "/ajax-api/2.0/mlflow/experiments/search-datasets",
	  "{\"experiment_ids\":[\"1\",\"02\"]}", "experiment:1:read experiment:2:read" },
	{ "POST", V2 "experiments/search", "{}", "" },

	{ "POST", V2 "runs/create", "{\"experiment_id\":\"3\"}",
	  "experiment:3:update run:*:not_denied" },
	{ "POST", V2 "runs/create", "{}", "experiment:0:update run:*:not_denied" },
	{ "GET", V2 "runs/get?run_id=" RUN, NULL, ON_RUN("read") },
	{ "GET", V2 "runs/get?run_uuid=" RUN, NULL, ON_RUN("read") },
	{ "POST", V2 "runs/delete", "{\"run_id\":\"" RUN "\"}", ON_RUN("delete") },
	{ "POST", V2 "runs/restore", "{\"runId\":\"" RUN "\"}", ON_RUN("delete") },
	{ "POST", V2 "runs/set-tag", "{\"run_uuid\":\"" RUN "\",\"key\":\"k\"}", ON_RUN("update") },
	{ "POST", V2 "runs/log-metric", "{\"run_id\":\"" RUN "\"," METRIC "}", ON_RUN("update") },
	{ "POST", V2 "runs/log-metric",
	  "{\"run_id\":\"" RUN "\"," METRIC ",\"modelId\":\"" MODEL "\"}",
	  ON_RUN("update") " " ON_MODEL("update") },
	{ "POST", V2 "runs/log-batch",
	  "{\"run_id\":\"" RUN "\",\"metrics\":[{" METRIC ",\"model_id\":\"" MODEL "\"},{" METRIC
	  "},{" METRIC ",\"model_id\":\"" MODEL "\"}]}",
	  ON_RUN("update") " " ON_MODEL("update") },
	{ "POST", V2 "runs/log-inputs",
	  "{\"run_id\":\"" RUN "\",\"models\":[{\"model_id\":\"" MODEL "\"}]}",
	  ON_RUN("update") " " ON_MODEL("update") },
	{ "POST", V2 "runs/outputs",
	  "{\"run_id\":\"" RUN "\",\"models\":[{\"model_id\":\"" MODEL "\",\"step\":1}]}",
	  ON_RUN("update") " " ON_MODEL("update") },
	{ "POST", V2 "runs/search", "{}", "" },
	{ "GET", V2 "artifacts/list?run_id=" RUN, NULL, ON_RUN("read") },
	{ "GET", V2 "metrics/get-history?run_id=" RUN "&metric_key=k", NULL, ON_RUN("read") },
	{ "GET", "/ajax-api/2.0/mlflow/metrics/get-history-bulk?run_id=" RUN "&run_id=" RUN2, NULL,
	  ON_RUN("read") " experiment:8:read run:*:read|experiment:8:read" },
	{ "GET", V2 "metrics/get-history-bulk-interval?run_ids=" RUN "&metric_key=k", NULL,
	  ON_RUN("read") },

	{ "POST", V2 "logged-models", "{\"experiment_id\":\"3\"}",
	  "experiment:3:update logged_model:*:not_denied" },
	{ "POST", V2 "logged-models", "{\"experiment_id\":\"3\",\"source_run_id\":\"" RUN "\"}",
	  "experiment:3:update logged_model:*:not_denied " ON_RUN("read") },
	{ "GET", V2 "logged-models/" MODEL, NULL, ON_MODEL("read") },
	{ "PATCH", V2 "logged-models/" MODEL, "{\"status\":\"LOGGED_MODEL_READY\"}",
	  ON_MODEL("update") },
	{ "DELETE", V2 "logged-models/" MODEL, NULL, ON_MODEL("delete") },
	{ "DELETE", V2 "logged-models/" MODEL "/tags/x", NULL, ON_MODEL("delete") },
	{ "PATCH", V2 "logged-models/" MODEL "/tags", "{}", ON_MODEL("update") },
	{ "GET", V2 "logged-models/" MODEL "/artifacts/directories", NULL, ON_MODEL("read") },
	{ "GET", "/ajax-api/2.0/mlflow/logged-models/" MODEL
		 "/artifacts/files?model_id=m-x&artifact_file_path=a", NULL, ON_MODEL("read") },
	{ "POST", V2 "logged-models/search", "{\"filter\":\"name = 'x'\"}", "" },
	{ "POST", V2 "logged-models/search", "{\"filter\":\"attributes.source_run_id = 'x'\"}",
	  "run:*:not_denied" },
	{ "POST", V2 "artifacts/presigned-upload-url", "{\"run_id\":\"" RUN "\",\"path\":\"a\"}",
	  ON_RUN("update") },
	{ "POST", V2 "artifacts/presigned-upload-url", "{\"modelId\":\"" MODEL "\",\"path\":\"a\"}",
	  ON_MODEL("update") },

	{ "GET", "/get-artifact?path=a&run_uuid=" RUN, NULL, ON_RUN("read") },
	/* whichever of the two a handler takes, both must be the user's */
	{ "GET", "/get-artifact?path=a&run_uuid=" RUN "&run_id=" RUN2, NULL,
	  "experiment:8:read run:*:read|experiment:8:read " ON_RUN("read") },
	{ "POST", "/ajax-api/2.0/mlflow/upload-artifact?path=a&run_uuid=" RUN, NULL,
	  ON_RUN("update") },

	{ "GET", PROXY "artifacts", NULL, "experiment:*:read" },
	{ "GET", PROXY "artifacts?path=5", NULL, "experiment:5:read" },
	{ "GET", PROXY "artifacts?path=./5/x", NULL, "experiment:5:read" },
	{ "GET", PROXY "artifacts?path=5/" RUN, NULL,
	  "experiment:5:read run:*:read|experiment:5:read" },
	{ "GET", PROXY "artifacts/5/some/artifacts", NULL,
	  "experiment:5:read run:*:read|experiment:5:read" },
	{ "GET", PROXY "artifacts/5/anything/a", NULL, "experiment:5:read" },
	{ "PUT", PROXY "artifacts/5/" RUN "/artifacts/a", NULL,
	  "experiment:5:read run:*:update|experiment:5:update" },
	{ "PUT", PROXY "artifacts/5/notarun/artifacts/a", NULL,
	  "experiment:5:read run:*:update|experiment:5:update" },
	{ "PUT", PROXY "artifacts/5//models//x/a", NULL,
	  "experiment:5:read logged_model:*:update|experiment:5:update" },
	{ "PUT", PROXY "artifacts/5/models/x/a", NULL,
	  "experiment:5:read logged_model:*:update|experiment:5:update" },
	{ "PUT", PROXY "artifacts/5/traces/x/a", NULL,
	  "experiment:5:read trace:*:update|experiment:5:update" },
	/* the query of a streamed request is nobody's path */
	{ "PUT", PROXY "artifacts/5/x?artifact_path=6/y&path=6/y", NULL, "experiment:5:update" },
	{ "PUT", PROXY "artifacts/workspaces/w/5/x", NULL, "experiment:5:update" },
	{ "PUT", PROXY "artifacts/workspaces/w/x", NULL, "experiment:*:update" },
	{ "PUT", PROXY "artifacts/5x/y", NULL, "experiment:*:update" },
	{ "DELETE", PROXY "artifacts/5", NULL,
	  "experiment:5:read run:*:manage|experiment:5:manage"
	  " trace:*:manage|experiment:5:manage logged_model:*:manage|experiment:5:manage" },
	{ "DELETE", PROXY "artifacts/5/x", NULL,
	  "experiment:5:read run:*:manage|experiment:5:manage" },
	{ "DELETE", PROXY "artifacts/5/models/x", NULL,
	  "experiment:5:read logged_model:*:manage|experiment:5:manage" },
	/* the object is the named folder's, by the last part of the client's path */
	{ "POST", PROXY "mpu/create/5/" RUN "/artifacts", "{\"path\":\"/tmp/6/x\",\"num_parts\":1}",
	  "experiment:5:read run:*:update|experiment:5:update" },
	{ "POST", PROXY "mpu/create/workspaces/w", "{\"path\":\"5\",\"num_parts\":1}",
	  "experiment:5:update" },
	{ "POST", PROXY "mpu/complete/5", "{\"path\":\"x\",\"upload_id\":\"u\"}",
	  "experiment:5:update" },
	{ "POST", PROXY "mpu/abort/5", "{\"path\":\"x\",\"upload_id\":\"u\"}",
	  "experiment:5:update" },
	{ "GET", PROXY "presigned/5/x", NULL, "experiment:5:read" },
	{ "GET", "/version", NULL, "" },
};

static void test_requirements(void **state)
{
	struct asked a;

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		ask(&a, table[i].method, table[i].target, table[i].body);
		if (a.result != 1 || strcmp(a.text, table[i].needs) != 0)
			fail_msg("%s %s %s: %d %s\n  needs    %s\n  expected %s", table[i].method,
				 table[i].target, table[i].body ? table[i].body : "", a.result,
				 a.job.ctx.error.message ? a.job.ctx.error.message : "", a.text,
				 table[i].needs);
		done(&a);
	}
}

static void test_refused(void **state)
{
	static const struct {
		const char *method, *target, *body;
		enum error_code code;
	} rows[] = {
		{ "GET", V2 "runs/get", NULL, INVALID_PARAMETER_VALUE },
		{ "GET", V2 "experiments/get", NULL, INVALID_PARAMETER_VALUE },
		{ "GET", "/get-artifact?path=a", NULL, INVALID_PARAMETER_VALUE },
		{ "POST", V2 "artifacts/presigned-upload-url", "{\"path\":\"a\"}",
		  INVALID_PARAMETER_VALUE },
		{ "POST", V2 "artifacts/presigned-upload-url",
		  "{\"path\":\"a\",\"run_id\":\"" RUN "\",\"model_id\":\"" MODEL "\"}",
		  INVALID_PARAMETER_VALUE },
		{ "GET", PROXY "artifacts/5/../6/a", NULL, PERMISSION_DENIED },
		{ "GET", PROXY "artifacts/5/%252e%252e/6/a", NULL, PERMISSION_DENIED },
		{ "GET", PROXY "artifacts?path=../6", NULL, PERMISSION_DENIED },
	};
	struct asked a;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		ask(&a, rows[i].method, rows[i].target, rows[i].body);
		if (a.result != -1 || a.job.ctx.error.code != rows[i].code)
			fail_msg("%s: %d %s", rows[i].target, a.result, a.text);
		done(&a);
	}
}

/* What memory does not know waits for a database; nothing is decided without. */
static void test_unknown_subjects(void **state)
{
	static const char *const rows[][3] = {
		{ "GET", V2 "runs/get?run_id=00000000000000000000000000000000", NULL },
		{ "GET", V2 "logged-models/m-unknown", NULL },
		{ "GET", V2 "experiments/get-by-name?experiment_name=x", NULL },
		{ "POST", V2 "runs/log-metric",
		  "{\"run_id\":\"" RUN "\"," METRIC ",\"model_id\":\"m-unknown\"}" },
	};
	struct asked a;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		ask(&a, rows[i][0], rows[i][1], rows[i][2]);
		if (a.result != 0)
			fail_msg("%s: %d %s", rows[i][1], a.result, a.text);
		done(&a);
	}
}

static bool has(const struct record *r, const char *name, enum field_type type)
{
	for (const struct field *f = r->fields; f->name; f++) {
		if (strcmp(f->name, name) == 0 && f->type == type)
			return true;
	}
	return false;
}

/* A row's request must have the field that its permission is judged by. */
static void test_rows_have_what_is_judged(void **state)
{
	static const struct {
		enum http_permission needs;
		const char *field;
	} judged[] = {
		{ NEEDS_READ_EXPERIMENT, "experiment_id" },
		{ NEEDS_READ_EXPERIMENT_NAMED, "experiment_name" },
		{ NEEDS_EDIT_EXPERIMENT, "experiment_id" },
		{ NEEDS_DELETE_EXPERIMENT, "experiment_id" },
		{ NEEDS_CREATE_RUN, "experiment_id" },
		{ NEEDS_READ_RUN, "run_id" },
		{ NEEDS_EDIT_RUN, "run_id" },
		{ NEEDS_EDIT_RUN_AND_MODELS, "run_id" },
		{ NEEDS_DELETE_RUN, "run_id" },
		{ NEEDS_CREATE_LOGGED_MODEL, "experiment_id" },
		{ NEEDS_CREATE_LOGGED_MODEL, "source_run_id" },
		{ NEEDS_READ_LOGGED_MODEL, "model_id" },
		{ NEEDS_EDIT_LOGGED_MODEL, "model_id" },
		{ NEEDS_DELETE_LOGGED_MODEL, "model_id" },
		{ NEEDS_EDIT_RUN_OR_LOGGED_MODEL, "run_id" },
		{ NEEDS_EDIT_RUN_OR_LOGGED_MODEL, "model_id" },
		{ NEEDS_FILTER_LOGGED_MODELS, "filter" },
		{ NEEDS_FILTER_MODEL_VERSIONS, "filter" },
		{ NEEDS_CREATE_REGISTERED_MODEL, "name" },
		{ NEEDS_READ_REGISTERED_MODEL, "name" },
		{ NEEDS_EDIT_REGISTERED_MODEL, "name" },
		{ NEEDS_RENAME_REGISTERED_MODEL, "name" },
		{ NEEDS_DELETE_REGISTERED_MODEL, "name" },
		{ NEEDS_CREATE_MODEL_VERSION, "name" },
		{ NEEDS_CREATE_MODEL_VERSION, "source" },
		{ NEEDS_CREATE_MODEL_VERSION, "run_id" },
		{ NEEDS_CREATE_MODEL_VERSION, "model_id" },
		{ NEEDS_READ_MODEL_VERSION, "name" },
		{ NEEDS_EDIT_MODEL_VERSION, "name" },
		{ NEEDS_DELETE_MODEL_VERSION, "name" },
		{ NEEDS_MOVE_ALIAS, "name" },
		{ NEEDS_REMOVE_ALIAS, "name" },
	};

	(void)state;
	for (size_t i = 0; i < route_count; i++) {
		const struct route *r = &routes[i];

		for (size_t k = 0; r->request && k < sizeof(judged) / sizeof(judged[0]); k++) {
			if (judged[k].needs == r->needs &&
			    !has(r->request, judged[k].field, FIELD_STRING))
				fail_msg("%s %s: no %s", method_names[r->method], r->path,
					 judged[k].field);
		}
		if (r->needs == NEEDS_READ_EXPERIMENTS &&
		    !has(r->request, "experiment_ids", FIELD_STRINGS))
			fail_msg("%s", r->path);
		if (r->needs == NEEDS_READ_RUNS && !has(r->request, "run_id", FIELD_STRINGS) &&
		    !has(r->request, "run_ids", FIELD_STRINGS))
			fail_msg("%s", r->path);
		/* with a query alone the run is named there, with a path the model or artifact */
		if (!r->request && (r->needs == NEEDS_READ_LOGGED_MODEL ||
				    r->needs == NEEDS_READ_ARTIFACTS ||
				    r->needs == NEEDS_EDIT_ARTIFACTS) && !strchr(r->path, '{'))
			fail_msg("%s", r->path);
	}
}

static void test_facts(void **state)
{
	struct facts *f = facts_new();
	int64_t at = 0;
	char id[40];

	(void)state;
	assert_false(facts_get(f, FACT_RUN, RUN, &at));
	facts_put(f, FACT_RUN, RUN, 5);
	assert_true(facts_get(f, FACT_RUN, RUN, &at));
	assert_int_equal(at, 5);
	assert_false(facts_get(f, FACT_LOGGED_MODEL, RUN, &at));
	assert_false(facts_get(f, FACT_RUN, RUN2, &at));
	facts_put(f, FACT_RUN, "", 5);
	assert_false(facts_get(f, FACT_RUN, "", &at));
	facts_put(f, FACT_RUN, RUN RUN, 5);
	assert_false(facts_get(f, FACT_RUN, RUN RUN, &at));
	/* far more than it holds: what is there is right */
	for (int i = 0; i < 100000; i++) {
		snprintf(id, sizeof(id), "%032x", (unsigned)i);
		facts_put(f, FACT_RUN, id, i);
	}
	int kept = 0;
	for (int i = 0; i < 100000; i++) {
		snprintf(id, sizeof(id), "%032x", (unsigned)i);
		if (facts_get(f, FACT_RUN, id, &at)) {
			assert_int_equal(at, i);
			kept++;
		}
	}
	assert_in_range(kept, 10000, 16384);
	facts_free(f);
	assert_false(facts_get(NULL, FACT_RUN, RUN, &at));
	facts_put(NULL, FACT_RUN, RUN, 1);
	facts_free(NULL);
}

static int setup(void **state)
{
	(void)state;
	routes_init();
	server.facts = facts_new();
	facts_put(server.facts, FACT_RUN, RUN, 7);
	facts_put(server.facts, FACT_RUN, RUN2, 8);
	facts_put(server.facts, FACT_LOGGED_MODEL, MODEL, 9);
	return server.facts ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	facts_free(server.facts);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requirements),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_unknown_subjects),
		cmocka_unit_test(test_rows_have_what_is_judged),
		cmocka_unit_test(test_facts),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
