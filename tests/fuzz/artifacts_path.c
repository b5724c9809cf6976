/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * artifact_path_key() on any bytes: what it lets through is a canonical key, it stays the same when
 * asked again, and no further decoding makes it climb.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "artifacts/location.h"
#include "artifacts/path.h"
#include "base/arena.h"
#include "base/limits.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const char *key)
{
	assert(strlen(key) <= LIMIT_PATH && *key != '/' && !strchr(key, '\\') && !strchr(key, '#'));
	assert(strcmp(key, ".capstan-tmp") && strncmp(key, ".capstan-tmp/", 13));
	while (*key) {
		size_t n = strcspn(key, "/");

		assert(n && n <= LIMIT_PATH_SEGMENT);
		assert(!(n <= 2 && strspn(key, ".") >= n));
		key += n;
		assert(!*key || key[1]);
		key += *key == '/';
	}
}

static void decoded(struct ctx *c, const char *key)
{
	for (int i = 0; i < 20; i++) {
		const char *more = artifact_path_decode(c, key);

		if (!strcmp(more, key))
			return;
		key = more;
		assert(*key != '/' && strcmp(key, "..") && strncmp(key, "../", 3) &&
		       !strstr(key, "/../"));
		assert(strlen(key) < 3 || strcmp(key + strlen(key) - 3, "/..") != 0);
	}
	assert(0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (int use = ARTIFACT_FILE; use <= ARTIFACT_ANY; use++) {
		struct ctx c = { .arena = arena_new(16 << 20) };
		char *path = arena_strndup(c.arena, (const char *)data, size);
		const char *key, *again;

		if (artifact_path_key(&c, path, (enum artifact_path_use)use, &key) == 0) {
			check(key);
			decoded(&c, key);
			assert(!artifact_path_key(&c, key, ARTIFACT_ANY, &again) &&
			       !strcmp(key, again));
		}
		error_clear(&c);
		if (location_to_key(&c, path, &key) == 0)
			check(key);
		arena_free(c.arena);
	}
	return 0;
}
