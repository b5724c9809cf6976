/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * record_read() on any bytes: no crash, no leak; what it takes is valid, and what record_write()
 * makes of it reads back and is written the same again.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/record.h"
#include "base/utf8.h"

static const char *const views[] = { "", "ACTIVE_ONLY", "DELETED_ONLY", "ALL", NULL };

struct item {
	const char *key;
	const double *value;
	const int64_t *step;
	struct item *item;
	struct list items;
};

static const struct record item_record;
static const struct field item_fields[] = {
	STRING(struct item, key,   REQUIRED),
	DOUBLE(struct item, value, 0),
	INT64 (struct item, step,  0),
	OBJECT(struct item, item,  0, &item_record),
	LIST  (struct item, items, 0, &item_record),
	END };
static const struct record item_record = { sizeof(struct item), item_fields };

struct all {
	const char *run_id;
	const double *value;
	const int64_t *step;
	const bool *flag;
	const char *view_type;
	struct item *item;
	struct list items;
	struct list order_by;
	const char *extra;
};

static const struct record all_record = { sizeof(struct all), (const struct field[]){
	STRING   (struct all, run_id,    0),
	STRING_AS(struct all, run_id,    "run_uuid"),
	DOUBLE   (struct all, value,     0),
	INT64    (struct all, step,      0),
	BOOL     (struct all, flag,      0),
	ENUM     (struct all, view_type, 0, views),
	OBJECT   (struct all, item,      0, &item_record),
	LIST     (struct all, items,     0, &item_record),
	STRINGS  (struct all, order_by,  0),
	RAW      (struct all, extra,     0),
	END }};

struct job {
	char *text;
	size_t size;
	struct all out;
};

static int read_job(struct ctx *c, void *arg)
{
	struct job *job = arg;

	return record_read(c, &all_record, job->text, job->size, &job->out);
}

static int write_job(struct ctx *c, void *arg)
{
	struct job *job = arg;
	struct buf b = BUF(c->arena, 1 << 24);

	record_write(&b, &all_record, &job->out);
	assert(!buf_failed(&b));
	job->text = b.data;
	job->size = b.size;
	job->out = (struct all){ 0 };
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ctx c = { .arena = arena_new(4 << 20) };
	struct job job = { .text = malloc(size + 1), .size = size };

	arena_defer(c.arena, free, job.text);
	if (size)
		memcpy(job.text, data, size);
	job.text[size] = 'x';           /* the byte that is only writable */
	if (work_run(&c, read_job, &job)) {
		struct buf b = BUF(c.arena, 1 << 20);

		assert(c.error.code == INVALID_PARAMETER_VALUE ||
		       c.error.code == MALFORMED_REQUEST);
		assert(utf8_valid(c.error.message, strlen(c.error.message)));
		if (arena_used(c.arena) < 3 << 20)
			error_write(&c.error, &b);
	} else if (!work_run(&c, write_job, &job)) {
		char *first = job.text;

		assert(utf8_valid(job.text, job.size));
		job.text = malloc(job.size + 1);
		memcpy(job.text, first, job.size + 1);
		arena_defer(c.arena, free, job.text);
		if (!work_run(&c, read_job, &job) && !work_run(&c, write_job, &job))
			assert(!strcmp(job.text, first));
		else
			assert(arena_used(c.arena) > 1 << 20);  /* only for want of room */
	}
	arena_free(c.arena);
	return 0;
}
