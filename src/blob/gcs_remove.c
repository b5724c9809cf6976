/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Removing: an object, or all below a prefix, several at one time. */
#include "gcs.h"

#include <string.h>

#include "base/arena.h"

enum { PAGE_ARENA = 64 << 20 };

static const short missing_is_fine[] = { 404, 0 };

struct sweep {
	struct gcs *g;
	struct remote_wait wait;
	struct {
		struct remote_call *call;
		uint64_t size;
	} slots[GCS_DELETES];
	unsigned active;
	uint64_t bytes;
	uint64_t removed;
};

/* Takes the answers that are there. *freed: how many slots became free. */
static int reap(struct ctx *c, struct sweep *s, unsigned *freed)
{
	for (unsigned i = 0; i < GCS_DELETES; i++) {
		struct net_head head;
		int rc;

		if (!s->slots[i].call)
			continue;
		rc = remote_call_head(c, s->slots[i].call, &head);
		if (rc == BLOB_AGAIN)
			continue;
		if (rc)
			return -1;
		if (head.status != 404) {
			s->bytes += s->slots[i].size;
			s->removed++;
		}
		remote_call_close(TAKE(s->slots[i].call));
		s->active--;
		(*freed)++;
	}
	return 0;
}

/* Waits until at most `most` deletes are in flight. */
static int settle(struct ctx *c, struct sweep *s, unsigned most)
{
	for (;;) {
		unsigned freed = 0;

		if (reap(c, s, &freed))
			return -1;
		if (s->active <= most)
			return 0;
		if (!freed && remote_wait(c, &s->wait))
			return -1;
	}
}

static int begin(struct ctx *c, struct sweep *s, const char *object, uint64_t size)
{
	const struct remote_request q = { .method = "DELETE",
					  .object = object,
					  .also = missing_is_fine };

	if (settle(c, s, GCS_DELETES - 1))
		return -1;
	for (unsigned i = 0; i < GCS_DELETES; i++) {
		if (s->slots[i].call)
			continue;
		if (remote_call_begin(c, &s->g->remote, &q, (struct blob_ready){ remote_wait_ready, &s->wait },
				      &s->slots[i].call))
			return -1;
		s->slots[i].size = size;
		s->active++;
		return 0;
	}
	return 0;
}

static int remove_page(struct ctx *c, struct sweep *s, const char *prefix, size_t *seen)
{
	const json_t *page, *items;

	if (gcs_page(c, s->g,
		     arena_printf(c->arena, "prefix=%s&maxResults=%d&fields=items(name,size)",
				  net_encode(c, prefix, false), GCS_PAGE),
		     &page))
		return -1;
	items = json_object_get(page, "items");
	*seen = json_array_size(items);
	for (size_t i = 0; i < *seen; i++) {
		const json_t *item = json_array_get(items, i);
		const char *name = json_string_value(json_object_get(item, "name"));
		uint64_t size = 0;

		/* Never outside of what was asked, whatever the store says. */
		if (!name || strncmp(name, prefix, strlen(prefix)) != 0)
			return fail_because(c, TEMPORARILY_UNAVAILABLE,
					    "a name outside of the prefix",
					    "The artifact store's answer cannot be understood");
		(void)gcs_json_uint(item, "size", &size);
		if (begin(c, s, name, size))
			return -1;
	}
	return settle(c, s, 0);
}

/* Lists are consistent: the first page is asked for again until it is empty. */
static int remove_below(struct ctx *c, struct sweep *s, const char *prefix)
{
	struct ctx each = *c;
	size_t seen = 1;

	each.arena = arena_child(c->arena, PAGE_ARENA);
	for (int pages = 0, idle = 0; seen > 0; pages++) {
		uint64_t before = s->removed;

		if (remove_page(&each, s, prefix, &seen))
			return fail_because(c, each.error.code, each.error.detail, "%s",
					    each.error.message);
		arena_reset(each.arena);
		/* A page that others were quicker to delete is fine, but not many in a row. */
		idle = s->removed == before ? idle + 1 : 0;
		if (seen > 0 && (pages == REMOTE_PAGES || idle > REMOTE_TRIES))
			return fail(c, TEMPORARILY_UNAVAILABLE,
				    "The artifact store's listing never ends");
	}
	return 0;
}

static int remove_object(struct ctx *c, struct sweep *s, const char *object)
{
	const struct remote_request q = { .method = "GET",
					  .object = object,
					  .query = "fields=size",
					  .also = missing_is_fine };
	struct remote_reply got;
	const json_t *tree;
	uint64_t size = 0;

	if (remote_perform(c, &s->g->remote, &q, &got))
		return -1;
	if (got.reply.status == 404)
		return 0;
	tree = gcs_json(c, got.reply.body, got.reply.size);
	if (!tree)
		return -1;
	(void)gcs_json_uint(tree, "size", &size);
	return begin(c, s, object, size) || settle(c, s, 0) ? -1 : 0;
}

static void end_sweep(void *arg)
{
	struct sweep *s = arg;

	for (unsigned i = 0; i < GCS_DELETES; i++)
		remote_call_close(TAKE(s->slots[i].call));
	remote_wait_end(&s->wait);
}

int gcs_remove(struct ctx *c, struct blob *b, const char *key, uint64_t *bytes)
{
	struct gcs *g = (struct gcs *)b;
	/* An arena of its own: when it is exhausted midway, its end closes the calls. */
	struct ctx mine = *c;
	struct sweep *s;
	const char *object;
	int rc;

	mine.arena = arena_child(c->arena, 2 * PAGE_ARENA);
	s = NEW(mine.arena, struct sweep);
	s->g = g;
	remote_wait_begin(&s->wait, 0);
	arena_defer(mine.arena, end_sweep, s);
	object = remote_object(&mine, &g->remote, key);
	rc = remove_object(&mine, s, object);
	if (!rc)
		rc = remove_below(&mine, s, arena_printf(mine.arena, "%s/", object));
	*bytes += s->bytes;
	if (!rc)
		rc = s->removed > 0;
	else
		(void)fail_because(c, mine.error.code, mine.error.detail, "%s", mine.error.message);
	arena_reset(mine.arena);
	return rc;
}
