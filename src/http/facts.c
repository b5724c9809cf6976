/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "facts.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"

/* A key has one set of places; the newest replaces the one that came longest ago. */
enum { WAYS = 4, SETS = LIMIT_FACTS / WAYS, LOCKS = 64, KEY = LIMIT_MODEL_ID + 4 };

struct place {
	char key[KEY];
	int64_t experiment;
};

struct set {
	struct place places[WAYS];
	unsigned next;
};

struct facts {
	pthread_mutex_t locks[LOCKS];
	struct set sets[SETS];
};

struct facts *facts_new(void)
{
	struct facts *f = calloc(1, sizeof(*f));

	for (unsigned i = 0; f && i < LOCKS; i++)
		pthread_mutex_init(&f->locks[i], NULL);
	return f;
}

void facts_free(struct facts *f)
{
	for (unsigned i = 0; f && i < LOCKS; i++)
		pthread_mutex_destroy(&f->locks[i]);
	free(f);
}

/* False: no id of ours is so long. */
static bool make_key(enum fact_kind kind, const char *id, char key[KEY], unsigned *set)
{
	uint32_t h = 2166136261u;
	size_t n = strlen(id);

	if (!n || n + 2 > KEY)
		return false;
	memset(key, 0, KEY);
	key[0] = (char)kind;
	memcpy(key + 1, id, n);
	for (size_t i = 0; i <= n; i++)
		h = (h ^ (unsigned char)key[i]) * 16777619u;
	*set = (h ^ h >> 15) % SETS;
	return true;
}

static struct place *find(struct set *s, const char key[KEY])
{
	for (unsigned i = 0; i < WAYS; i++) {
		if (memcmp(s->places[i].key, key, KEY) == 0)
			return &s->places[i];
	}
	return NULL;
}

bool facts_get(struct facts *f, enum fact_kind kind, const char *id, int64_t *experiment)
{
	const struct place *p;
	char key[KEY];
	unsigned set;

	if (!f || !make_key(kind, id, key, &set))
		return false;
	pthread_mutex_lock(&f->locks[set % LOCKS]);
	p = find(&f->sets[set], key);
	if (p)
		*experiment = p->experiment;
	pthread_mutex_unlock(&f->locks[set % LOCKS]);
	return p != NULL;
}

void facts_put(struct facts *f, enum fact_kind kind, const char *id, int64_t experiment)
{
	struct place *p;
	struct set *s;
	char key[KEY];
	unsigned set;

	if (!f || !make_key(kind, id, key, &set))
		return;
	pthread_mutex_lock(&f->locks[set % LOCKS]);
	s = &f->sets[set];
	p = find(s, key);
	if (!p) {
		p = &s->places[s->next];
		s->next = (s->next + 1) % WAYS;
	}
	memcpy(p->key, key, KEY);
	p->experiment = experiment;
	pthread_mutex_unlock(&f->locks[set % LOCKS]);
}
