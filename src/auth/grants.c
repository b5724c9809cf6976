/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "auth/grants.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "store/user.h"

/* ---- names ---- */

static const char *const permission_names[] = {
	"DENY", "NO_PERMISSIONS", "READ", "USE", "EDIT", "MANAGE"
};

static const char *const resource_names[AUTH_RESOURCE_COUNT] = {
#define X(name, text) [AUTH_##name] = text,
	AUTH_RESOURCES(X)
#undef X
};

bool auth_permission_parse(const char *name, enum auth_permission *ret)
{
	for (int p = AUTH_DENY; p <= AUTH_MANAGE; p++) {
		if (strcmp(name, permission_names[p + 1]) == 0) {
			*ret = (enum auth_permission)p;
			return true;
		}
	}
	return false;
}

const char *auth_permission_name(enum auth_permission p)
{
	return permission_names[p + 1];
}

bool auth_permission_allows(enum auth_permission p, enum auth_action action)
{
	switch (action) {
	case ACTION_READ:
		return p >= AUTH_READ;
	case ACTION_USE:
	case ACTION_CREATE:
		return p >= AUTH_USE;
	case ACTION_UPDATE:
		return p >= AUTH_EDIT;
	case ACTION_DELETE:
	case ACTION_MANAGE:
		return p >= AUTH_MANAGE;
	case ACTION_NOT_DENIED:
		return p != AUTH_DENY;
	}
	return false;
}

bool auth_resource_parse(const char *name, enum auth_resource *ret)
{
	for (int i = 0; i < AUTH_RESOURCE_COUNT; i++) {
		if (strcmp(name, resource_names[i]) == 0) {
			*ret = (enum auth_resource)i;
			return true;
		}
	}
	return false;
}

const char *auth_resource_name(enum auth_resource type)
{
	return resource_names[type];
}

bool auth_resource_has_ids(enum auth_resource type)
{
	return type >= AUTH_EXPERIMENT && type <= AUTH_MCP_SERVER;
}

/* ---- the set ---- */

/* What the grants of one key come to. */
struct fold {
	bool any;
	signed char permission;         /* enum auth_permission */
};

struct id_fold {
	char *id;
	struct fold fold;
};

struct auth_grants {
	struct fold all[AUTH_RESOURCE_COUNT];   /* "*" */
	struct id_fold *ids[AUTH_RESOURCE_COUNT];       /* sorted by id, each once */
	size_t counts[AUTH_RESOURCE_COUNT];
	bool manage_workspace;
};

static void add(struct fold *f, enum auth_permission p)
{
	if (!f->any || p == AUTH_DENY || (f->permission != AUTH_DENY && p > f->permission))
		f->permission = (signed char)p;
	f->any = true;
}

static struct fold both(struct fold a, struct fold b)
{
	if (b.any)
		add(&a, b.permission);
	return a;
}

static int by_id(const void *a, const void *b)
{
	return strcmp(((const struct id_fold *)a)->id, ((const struct id_fold *)b)->id);
}

static bool add_row(struct auth_grants *g, const struct grant *row)
{
	enum auth_resource type;
	enum auth_permission p;

	if (!auth_resource_parse(row->resource_type, &type)
	    || !auth_permission_parse(row->permission, &p))
		return true;
	if (strcmp(row->resource_pattern, "*") == 0) {
		add(&g->all[type], p);
		if (type == AUTH_WORKSPACE && p == AUTH_MANAGE)
			g->manage_workspace = true;
		return true;
	}
	if (!auth_resource_has_ids(type))
		return true;
	struct id_fold *entry = &g->ids[type][g->counts[type]];

	entry->id = strdup(row->resource_pattern);
	if (!entry->id)
		return false;
	add(&entry->fold, p);
	g->counts[type]++;
	return true;
}

static void sort(struct auth_grants *g, int type)
{
	struct id_fold *ids = g->ids[type];
	size_t kept = 0;

	if (g->counts[type] < 2)
		return;
	qsort(ids, g->counts[type], sizeof(*ids), by_id);
	for (size_t i = 1; i < g->counts[type]; i++) {
		if (strcmp(ids[kept].id, ids[i].id) == 0) {
			ids[kept].fold = both(ids[kept].fold, ids[i].fold);
			free(ids[i].id);
		} else {
			ids[++kept] = ids[i];
		}
	}
	g->counts[type] = kept + 1;
}

struct auth_grants *auth_grants_new(const struct list *rows)
{
	struct auth_grants *g = calloc(1, sizeof(*g));
	size_t wanted[AUTH_RESOURCE_COUNT] = { 0 };
	enum auth_resource type;
	bool good = g != NULL;

	for (size_t i = 0; good && i < rows->count; i++) {
		if (auth_resource_parse(LIST_AT(const struct grant, rows, i)->resource_type, &type))
			wanted[type]++;
	}
	for (int t = 0; good && t < AUTH_RESOURCE_COUNT; t++) {
		if (wanted[t] && auth_resource_has_ids((enum auth_resource)t))
			good = (g->ids[t] = calloc(wanted[t], sizeof(*g->ids[t]))) != NULL;
	}
	for (size_t i = 0; good && i < rows->count; i++)
		good = add_row(g, LIST_AT(const struct grant, rows, i));
	if (!good) {
		auth_grants_free(g);
		return NULL;
	}
	for (int t = 0; t < AUTH_RESOURCE_COUNT; t++)
		sort(g, t);
	return g;
}

void auth_grants_free(struct auth_grants *g)
{
	if (!g)
		return;
	for (int t = 0; t < AUTH_RESOURCE_COUNT; t++) {
		for (size_t i = 0; i < g->counts[t]; i++)
			free(g->ids[t][i].id);
		free(g->ids[t]);
	}
	free(g);
}

/* ---- the rules ---- */

bool auth_grants_manage_workspace(const struct auth_grants *g)
{
	return g->manage_workspace;
}

static const struct id_fold *find(const struct auth_grants *g, enum auth_resource type,
                                  const char *id)
{
	size_t low = 0, high = g->counts[type];

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(id, g->ids[type][middle].id);

		if (!order)
			return &g->ids[type][middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

bool auth_grants_at(const struct auth_grants *g, enum auth_resource type, const char *id,
                    enum auth_permission *ret)
{
	struct fold f = g->all[type];
	const struct id_fold *own = id ? find(g, type, id) : NULL;

	if (own)
		f = both(f, own->fold);
	*ret = f.permission;
	return f.any;
}

/* A positive grant never comes to less than the default; a DENY or NO_PERMISSIONS stays. */
static enum auth_permission floored(enum auth_permission p, enum auth_permission fallback)
{
	return p > AUTH_NO_PERMISSIONS && fallback > p ? fallback : p;
}

enum auth_permission auth_grants_effective(const struct auth_grants *g,
                                           enum auth_permission fallback,
                                           enum auth_resource type, const char *id)
{
	enum auth_permission p;

	if (g->manage_workspace)
		return AUTH_MANAGE;
	return auth_grants_at(g, type, id, &p) ? floored(p, fallback) : fallback;
}

bool auth_grants_allow(const struct auth_grants *g, enum auth_permission fallback,
                       const struct auth_requirement *r)
{
	enum auth_permission p;

	assert(r->count && r->count <= AUTH_RUNGS);
	if (g->manage_workspace)
		return true;
	for (unsigned i = 0; i < r->count; i++) {
		if (auth_grants_at(g, r->rungs[i].type, r->rungs[i].id, &p))
			return auth_permission_allows(floored(p, fallback), r->rungs[i].action);
	}
	return auth_permission_allows(fallback, r->rungs[r->count - 1].action);
}

/* As a search of MLflow judges a row: read on its own key, else on the workspace. */
static bool may_read(const struct auth_grants *g, enum auth_permission fallback,
                     enum auth_resource type, const char *id)
{
	return auth_grants_allow(g, fallback, &(struct auth_requirement){
		.rungs = { { type, id, ACTION_READ }, { AUTH_WORKSPACE, NULL, ACTION_READ } },
		.count = 2 });
}

void auth_grants_view(struct ctx *c, const struct auth_grants *g, enum auth_permission fallback,
                      enum auth_resource type, struct auth_view *ret)
{
	const char **ids;

	*ret = (struct auth_view){ .all = may_read(g, fallback, type, NULL) };
	if (g->manage_workspace || !g->counts[type])
		return;
	ids = NEW_ARRAY(c->arena, g->counts[type], const char *);
	for (size_t i = 0; i < g->counts[type]; i++) {
		const char *id = g->ids[type][i].id;

		if (may_read(g, fallback, type, id) != ret->all)
			ids[ret->count++] = arena_strdup(c->arena, id);
	}
	ret->ids = ids;
}
