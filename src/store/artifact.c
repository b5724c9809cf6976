/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "store/artifact.h"

#include "base/arena.h"
#include "db/db.h"

enum { ARTIFACT_PUT, ARTIFACT_GET, ARTIFACT_FORGET };

static const struct stmt stmts[] = {
	/* set_config() counts for this transaction, which is the statement. */
	[ARTIFACT_PUT] = { "artifact_put", "TTITi",
		"INSERT INTO artifact_objects (uri, etag, size, sha256, made_at)"
		" SELECT DISTINCT ON (o.uri) o.uri, o.etag, o.size, decode(o.sha256, 'hex'), $5"
		" FROM unnest($1, $2, $3, $4) WITH ORDINALITY AS o (uri, etag, size, sha256, place),"
		"  set_config('synchronous_commit', 'off', true)"
		" ORDER BY o.uri, o.place DESC"
		" ON CONFLICT (uri) DO UPDATE SET etag = excluded.etag, size = excluded.size,"
		"  sha256 = excluded.sha256, made_at = excluded.made_at" },
	[ARTIFACT_GET] = { "artifact_get", "t",
		"SELECT uri, etag, size, encode(sha256, 'hex') AS sha256"
		" FROM artifact_objects WHERE uri = $1" },
	/* '0' is the character after '/'. */
	[ARTIFACT_FORGET] = { "artifact_forget", "t",
		"DELETE FROM artifact_objects"
		" WHERE uri = $1 OR (uri > $1 || '/' AND uri < $1 || '0')" },
};

const struct record artifact_object_record = { sizeof(struct artifact_object), (const struct field[]){
	STRING(struct artifact_object, uri,    0),
	STRING(struct artifact_object, etag,   0),
	INT64 (struct artifact_object, size,   0),
	STRING(struct artifact_object, sha256, 0),
	END }};

int store_artifact_put(struct ctx *c, const struct artifact_object *objects, size_t count,
		       int64_t now)
{
	const char **uris = NEW_ARRAY(c->arena, count, const char *);
	const char **etags = NEW_ARRAY(c->arena, count, const char *);
	const char **sums = NEW_ARRAY(c->arena, count, const char *);
	int64_t *sizes = NEW_ARRAY(c->arena, count, int64_t);

	for (size_t i = 0; i < count; i++) {
		uris[i] = objects[i].uri;
		etags[i] = objects[i].etag;
		sums[i] = objects[i].sha256;
		sizes[i] = *objects[i].size;
	}
	return db_exec(c, &stmts[ARTIFACT_PUT],
		       ARGS(TEXTS(uris, count), TEXTS(etags, count), BIGINTS(sizes, count),
			    TEXTS(sums, count), BIGINT(now))) < 0 ? -1 : 0;
}

int store_artifact_get(struct ctx *c, const char *uri, struct artifact_object *ret)
{
	return db_one(c, &stmts[ARTIFACT_GET], ARGS(TEXT(uri)), &artifact_object_record, ret);
}

int store_artifact_forget(struct ctx *c, const char *uri)
{
	return db_exec(c, &stmts[ARTIFACT_FORGET], ARGS(TEXT(uri))) < 0 ? -1 : 0;
}
