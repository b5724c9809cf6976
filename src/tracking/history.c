/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "tracking/history.h"

#include <string.h>

#include "base/buf.h"
#include "base/limits.h"

#define SEE_DOCS " See the API docs for more information about request parameters."

const struct record get_history_record = { sizeof(struct get_history), (const struct field[]){
	STRING(struct get_history, run_id,      REQUIRED),
	{ "run_uuid", FIELD_STRING, ALIAS, offsetof(struct get_history, run_id), NULL, NULL },
	STRING(struct get_history, metric_key,  REQUIRED),
	STRING(struct get_history, page_token,  0),
	INT64 (struct get_history, max_results, 0),
	END }};

const struct record history_reply_record = { sizeof(struct history_reply), (const struct field[]){
	RAW   (struct history_reply, all,             WHOLE),
	LIST  (struct history_reply, metrics,         0, &point_record),
	STRING(struct history_reply, next_page_token, 0),
	END }};

const struct record get_history_bulk_record = {
	sizeof(struct get_history_bulk), (const struct field[]){
	STRINGS(struct get_history_bulk, run_id,      0),
	STRING (struct get_history_bulk, metric_key,  0),
	INT64  (struct get_history_bulk, max_results, 0),
	END }};

const struct record history_bulk_reply_record = {
	sizeof(struct history_bulk_reply), (const struct field[]){
	LIST(struct history_bulk_reply, metrics, 0, &point_record),
	{ "metrics", FIELD_RAW, 0, offsetof(struct history_bulk_reply, no_metrics), NULL, NULL },
	END }};

const struct record get_history_interval_record = {
	sizeof(struct get_history_interval), (const struct field[]){
	STRINGS(struct get_history_interval, run_ids,     REQUIRED),
	STRING (struct get_history_interval, metric_key,  REQUIRED),
	INT64  (struct get_history_interval, start_step,  0),
	INT64  (struct get_history_interval, end_step,    0),
	INT64  (struct get_history_interval, max_results, 0),
	END }};

/* Without a limit a history can be longer than what memory holds point by point. */
static int get_all(struct ctx *c, const struct history_page *p, struct history_reply *out)
{
	struct buf text = BUF(c->arena, LIMIT_ARENA);

	buf_add(&text, "{\"metrics\":");
	if (store_history_text(c, p, &text))
		return -1;
	buf_addc(&text, '}');
	if (buf_failed(&text))
		return fail(c, INVALID_PARAMETER_VALUE,
		            "The history is too long for one answer; ask with max_results.");
	out->all = text.size > strlen("{\"metrics\":[]}") ? buf_text(&text) : NULL;
	return 0;
}

int tracking_history_get(struct ctx *c, const struct get_history *in, struct history_reply *out)
{
	struct history_page p = { .run_id = in->run_id, .key = in->metric_key };

	if (in->max_results && *in->max_results <= 0)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Invalid value %lld for parameter 'max_results' supplied. It must be a"
		            " positive"
		            " integer.", (long long)*in->max_results);
	if (in->max_results)
		p.max_results = *in->max_results < INT32_MAX ? *in->max_results : INT32_MAX;
	if (in->page_token && *in->page_token)
		p.page_token = in->page_token;
	if (!p.max_results && !p.page_token)
		return get_all(c, &p, out);
	return store_history(c, &p, &out->metrics, &out->next_page_token);
}

int tracking_history_bulk(struct ctx *c, const struct get_history_bulk *in,
                          struct history_bulk_reply *out)
{
	int64_t max_results = in->max_results ? *in->max_results : LIMIT_HISTORY_BULK;

	if (!in->run_id.count)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "GetMetricHistoryBulk request must specify at least one run_id.");
	if (in->run_id.count > LIMIT_HISTORY_RUNS)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "GetMetricHistoryBulk request cannot specify more than %d run_ids."
		            " Received %zu"
		            " run_ids.", LIMIT_HISTORY_RUNS, in->run_id.count);
	if (!in->metric_key)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "GetMetricHistoryBulk request must specify a metric_key.");
	if (max_results < 0)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "Invalid value %lld for parameter 'max_results' supplied. It must not"
		            " be negative.",
		            (long long)max_results);
	if (max_results > LIMIT_HISTORY_BULK)
		max_results = LIMIT_HISTORY_BULK;
	if (store_history_bulk(c, in->run_id.items, in->run_id.count, in->metric_key, max_results,
	                       &out->metrics))
		return -1;
	if (!out->metrics.count)
		out->no_metrics = "[]";
	return 0;
}

int tracking_history_interval(struct ctx *c, const struct get_history_interval *in,
                              struct history_reply *out)
{
	struct history_interval i = {
		.run_ids = in->run_ids.items, .run_count = in->run_ids.count, .key = in->metric_key,
		.max_results = in->max_results ? *in->max_results : LIMIT_HISTORY_INTERVAL,
		.start_step = in->start_step, .end_step = in->end_step,
	};

	if (i.run_count > LIMIT_HISTORY_RUNS)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "GetMetricHistoryBulkInterval request must specify at most %d run_ids."
		            " Received %zu"
		            " run_ids." SEE_DOCS, LIMIT_HISTORY_RUNS, i.run_count);
	if (i.max_results < 1 || i.max_results > LIMIT_HISTORY_INTERVAL)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "max_results must be between 1 and %d." SEE_DOCS,
		            LIMIT_HISTORY_INTERVAL);
	if (!i.start_step != !i.end_step)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "If either start step or end step are specified, both must be"
		            " specified.");
	if (i.start_step && *i.start_step > *i.end_step)
		return fail(c, INVALID_PARAMETER_VALUE,
		            "end_step must be greater than start_step. Found start_step=%lld and"
		            " end_step=%lld.",
		            (long long)*i.start_step, (long long)*i.end_step);
	return store_history_interval(c, &i, &out->metrics);
}
