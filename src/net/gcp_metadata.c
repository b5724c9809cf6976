/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* The metadata server of Compute Engine, GKE and Cloud Run (google/auth/compute_engine/_metadata.py). */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/number.h"
#include "gcp_impl.h"

#define PRODUCT_NAME "/sys/class/dmi/id/product_name"

enum { PAUSE_MS = 100, DEFAULT_TIMEOUT_S = 3, DEFAULT_TRIES = 3, MOST = 60 };

static const struct net_header flavor = { "Metadata-Flavor", "Google" };

static const char *environment(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

static int number(const char *name, int otherwise)
{
	const char *value = environment(name);
	int n = value ? number_leading(value) : otherwise;

	return n < 1 ? 1 : n > MOST ? MOST : n;
}

static const char *host_set(void)
{
	const char *host = environment("GCE_METADATA_HOST");

	return host ? host : environment("GCE_METADATA_ROOT");
}

static const char *root(struct ctx *c)
{
	const char *host = host_set();

	return arena_printf(c->arena, "http://%s/computeMetadata/v1/",
			    host ? host : "metadata.google.internal");
}

/* 1: it is there, 0: somebody else answers, -1: nobody does. Asked by address: where there is none, resolving its name
   may take long. Its own name on an answer is what tells it from other clouds' servers at that address. */
static int ping(struct ctx *c, struct net *n)
{
	const char *ip = environment("GCE_METADATA_IP");
	const struct net_request r = {
		.method = "GET",
		.url = arena_printf(c->arena, "http://%s/",
				    ip           ? ip
				    : host_set() ? host_set()
						 : "169.254.169.254"),
		.headers = &flavor,
		.header_count = 1,
		.flags = NET_DIRECT,
		.timeout_ms = 1000 * number("GCE_METADATA_TIMEOUT", DEFAULT_TIMEOUT_S),
		.wanted = flavor.name,
		.discard_body = true,
		.cancel = identity_cancel(),
	};
	struct net_reply got;

	if (net_perform(c, n, &r, &got)) {
		error_clear(c);
		return -1;
	}
	return got.status == 200 && got.wanted && strcmp(got.wanted, flavor.value) == 0;
}

/* A metadata server that is only slow to come up: the firmware of Google's machines says whose they are. */
static bool googles_machine(void)
{
	char name[16] = "";
	int fd = open(PRODUCT_NAME, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, name, sizeof(name) - 1);

	if (fd >= 0)
		close(fd);
	return n > 0 && strncmp(name, "Google", strlen("Google")) == 0;
}

bool gcp_metadata_here(struct ctx *c, struct net *n)
{
	const char *off = environment("NO_GCE_CHECK");
	const struct timespec pause = { 0, PAUSE_MS * 1000000L };
	int tries = number("GCE_METADATA_DETECT_RETRIES", DEFAULT_TRIES);

	if (off && strcmp(off, "true") == 0)
		return false;
	for (int i = 0; i < tries && !(identity_cancel() && atomic_load(identity_cancel())); i++) {
		int here = ping(c, n);

		if (here > 0)
			return true;
		if (here == 0)
			break;
		nanosleep(&pause, NULL);
	}
	return googles_machine();
}

int gcp_metadata_fetch(struct ctx *c, struct net *n, struct identity_value *ret)
{
	struct gcp_call call = {
		.request = { .method = "GET",
			     .headers = &flavor,
			     .header_count = 1,
			     .flags = NET_DIRECT },
		.what = "The metadata server",
		.whose = "the service account of this machine",
		.advice = "give the machine (or the Kubernetes service account) a Google service "
			  "account",
	};
	const char *accounts =
		arena_printf(c->arena, "%sinstance/service-accounts/default/", root(c));
	int64_t now = clock_wall_ms();
	const char *email;
	json_t *answer;

	/* Without scopes=: what the machine was given. Asking for others is ignored by some servers and refused by others. */
	call.request.url = arena_printf(c->arena, "%stoken", accounts);
	if (gcp_http_ask(c, n, &call, &answer) || gcp_http_token(c, &call, answer, now, ret))
		return -1;
	call.request.url = arena_printf(c->arena, "%s?recursive=true", accounts);
	if (gcp_http_ask(c, n, &call, &answer))
		return -1;
	/* A workload identity without a service account behind it has no address: it cannot sign. */
	email = gcp_text_member(answer, "email");
	ret->text[GCP_EMAIL] = email && strchr(email, '@') ? arena_strdup(c->arena, email) : NULL;
	return 0;
}
