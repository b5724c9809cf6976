/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Application Default Credentials: where google-auth looks, in its order (google/auth/_default.py). */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/arena.h"
#include "gcp_impl.h"

static const char *environment(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

/* Where gcloud leaves a user's login; NULL: nowhere. */
static const char *gclouds_file(struct ctx *c)
{
	const char *config = environment("CLOUDSDK_CONFIG");
	const char *home = environment("HOME");

	if (config)
		return arena_printf(c->arena, "%s/application_default_credentials.json", config);
	return home ? arena_printf(c->arena,
				   "%s/.config/gcloud/application_default_credentials.json", home)
		    : NULL;
}

static bool is_file(const char *path)
{
	struct stat st;

	return path && stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

/* What was set for this process, not what happens to lie about: for an emulator, often without TLS, nobody's login is
   sent that was not meant for it. */
static bool metadata_set(void)
{
	return environment("GCE_METADATA_HOST") || environment("GCE_METADATA_ROOT") ||
	       environment("GCE_METADATA_IP");
}

static int fetch(struct ctx *c, struct net *n, void *arg, struct identity_value *ret)
{
	const char *named = environment("GOOGLE_APPLICATION_CREDENTIALS");
	const char *emulator = environment("STORAGE_EMULATOR_HOST");
	const char *quota = environment("GOOGLE_CLOUD_QUOTA_PROJECT");
	const char *gclouds = gclouds_file(c);
	bool same = named && gclouds && strcmp(named, gclouds) == 0;
	int result = 0;

	(void)arg;
	*ret = (struct identity_value){ 0 };
	if (named && !same)
		result = gcp_file_fetch(c, n, named, ret);
	else if (is_file(gclouds) && (!emulator || same || environment("CLOUDSDK_CONFIG")))
		result = gcp_file_fetch(c, n, gclouds, ret);
	else if ((!emulator || metadata_set()) && gcp_metadata_here(c, n))
		result = gcp_metadata_fetch(c, n, ret);
	else if (emulator)
		*ret = (struct identity_value){ .text[GCP_TOKEN] = "" };
	else
		return fail_because(
			c, INVALID_STATE, gclouds,
			"The server has no Google Cloud credentials: GOOGLE_APPLICATION_CREDENTIALS is not "
			"set, gcloud's application_default_credentials.json is not there and no metadata "
			"server answers. Set GOOGLE_APPLICATION_CREDENTIALS to a credentials file, or run "
			"the server with a service account.");
	if (quota)
		ret->text[GCP_QUOTA] = quota;
	return result;
}

struct identity *gcp_identity_new(void)
{
	static const struct identity_ops ops = { .fetch = fetch, .name = "gcp" };

	return identity_new(&ops, NULL);
}
