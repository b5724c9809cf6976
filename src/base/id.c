/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "base/id.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/arena.h"

/* At most 7 letters each: adjective-noun-1000 is never longer than MLflow's 20 characters. */
static const char *const adjectives[] = {
	"agile", "amber", "ample", "arctic", "azure", "bold", "brave", "breezy", "bright",
	"brisk", "calm", "candid", "clean", "clear", "clever", "cosmic", "cozy", "crisp",
	"curious", "daring", "deep", "eager", "early", "earnest", "easy", "exact", "fair",
	"fancy", "fine", "fleet", "fluent", "fresh", "gentle", "golden", "grand", "green",
	"happy", "hardy", "honest", "humble", "jolly", "keen", "kind", "lively", "loyal",
	"lucid", "lucky", "lunar", "mellow", "merry", "mild", "modest", "neat", "nimble",
	"noble", "patient", "placid", "plucky", "proud", "quick", "quiet", "rapid", "ready",
	"robust", "royal", "rustic", "sharp", "silent", "silver", "smooth", "snowy", "solar",
	"solid", "steady", "stellar", "sturdy", "sunny", "swift", "tidy", "vivid", "warm",
	"wise", "witty", "zesty",
};
static const char *const nouns[] = {
	"acorn", "anchor", "anvil", "aspen", "badger", "basin", "beacon", "birch", "bison",
	"breeze", "bridge", "brook", "canyon", "cedar", "cliff", "cloud", "comet", "compass",
	"coral", "crane", "delta", "dune", "eagle", "ember", "falcon", "fern", "finch", "fjord",
	"forest", "fox", "garnet", "geyser", "glacier", "grove", "harbor", "hawk", "hazel",
	"heron", "island", "ivy", "jasper", "juniper", "kestrel", "lagoon", "lantern", "larch",
	"lark", "ledge", "lynx", "maple", "marlin", "meadow", "mesa", "moose", "moss", "nebula",
	"oak", "ocean", "orbit", "orchid", "osprey", "otter", "pebble", "pine", "planet",
	"plum", "prairie", "quartz", "raven", "reef", "ridge", "river", "robin", "sail",
	"salmon", "spruce", "sparrow", "stone", "summit", "thistle", "thunder", "tide", "tulip",
	"valley", "walnut", "willow", "winch", "zephyr",
};

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static const char hex[] = "0123456789abcdef";

void id_random(void *out, unsigned size)
{
	char *p = out;

	while (size) {
		ssize_t n = getrandom(p, size, 0);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			abort();        /* no kernel we support refuses; a guessable id is worse */
		p += n;
		size -= (unsigned)n;
	}
}

void id_format_uuid(const uint8_t in[16], char out[33])
{
	for (unsigned i = 0; i < 16; i++) {
		out[2 * i] = hex[in[i] >> 4];
		out[2 * i + 1] = hex[in[i] & 15];
	}
	out[32] = '\0';
}

static void new_uuid(char out[33])
{
	uint8_t bytes[16];

	id_random(bytes, sizeof(bytes));
	bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x40);         /* version 4 */
	bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80);         /* RFC 9562 variant */
	id_format_uuid(bytes, out);
}

char *id_uuid_hex(struct arena *a)
{
	char *id = arena_alloc(a, 33);

	new_uuid(id);
	return id;
}

char *id_model(struct arena *a)
{
	char *id = arena_alloc(a, 2 + 33);

	memcpy(id, "m-", 2);
	new_uuid(id + 2);
	return id;
}

char *id_run_name(struct arena *a)
{
	uint32_t random[3];

	id_random(random, sizeof(random));
	return arena_printf(a, "%s-%s-%u", adjectives[random[0] % COUNT(adjectives)],
	                    nouns[random[1] % COUNT(nouns)], random[2] % 1001);
}

static int digit(char ch)
{
	if (ch >= '0' && ch <= '9')
		return ch - '0';
	return ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : -1;
}

bool id_parse_uuid(const char *text, uint8_t out[16])
{
	for (unsigned i = 0; i < 16; i++) {
		int high = digit(text[2 * i]);
		int low = high < 0 ? -1 : digit(text[2 * i + 1]);

		if (low < 0)
			return false;
		out[i] = (uint8_t)(high << 4 | low);
	}
	return !text[32];
}
