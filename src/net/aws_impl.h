/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* aws_impl — what the sources of AWS credentials share. Lookups return 1 found, 0 not configured, -1 configured but
   failed: that ends the chain. */
#ifndef NET_AWS_IMPL_H
#define NET_AWS_IMPL_H

#include <jansson.h>

#include "net/aws.h"

/* What has to do with credentials and cannot be helped by asking again. */
#define AWS_TROUBLE PERMISSION_DENIED

/* ---- aws_config.c ---- */

struct aws_entry {
	const struct aws_entry *next;
	const char *name, *value;       /* names in lower case; lines of a value are separated by '\n' */
};

struct aws_section {
	const struct aws_section *next;
	const char *name;
	const struct aws_entry *entries;
};

struct aws_config {
	const char *config_path, *credentials_path;
	const struct aws_section *config, *credentials;         /* NULL: no such file, or empty */
	const char *profile;
	bool is_named;                  /* by AWS_PROFILE: then it must be there */
};

int aws_config_read(struct ctx *c, struct aws_config *ret) MUST_CHECK;
bool aws_config_has(struct ctx *c, const struct aws_config *f, const char *profile);
/* Of both files; what the credentials file says wins. NULL: not there. */
const char *aws_config_get(struct ctx *c, const struct aws_config *f, const char *profile, const char *name);
/* Of one of them. */
const char *aws_config_own(struct ctx *c, const struct aws_config *f, const char *profile, const char *name);
const char *aws_config_secret(struct ctx *c, const struct aws_config *f, const char *profile, const char *name);
/* "s3", "sts". *ret: NULL: none. */
int aws_config_endpoint(struct ctx *c, const struct aws_config *f, const char *service, const char **ret) MUST_CHECK;
const char *aws_config_region(struct ctx *c, const struct aws_config *f);
/* The environment's, else the profile's; NULL. */
const char *aws_config_setting(struct ctx *c, const struct aws_config *f, const char *variable, const char *name);

/* ---- aws_text.c ---- */

/* ISO 8601 in milliseconds since 1970; -1: no time. */
int64_t aws_time(const char *text);
/* Words as a shell's, ended by NULL; NULL: a quote without its end. */
char **aws_words(struct ctx *c, const char *text);
/* A regular file whole, NUL-terminated. 1, 0: there is none, -1. */
int aws_file(struct ctx *c, const char *what, const char *path, size_t most, const char **text);
/* The variable's value; NULL where it is empty or not set. */
const char *aws_variable(const char *name);
/* Puts words before the error there is. -1. */
int aws_explain(struct ctx *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* NULL: no JSON object. Ends with the arena, as its strings do. */
const json_t *aws_json(struct ctx *c, const char *text, size_t size);
/* NULL: no such string, or empty. */
const char *aws_json_text(const json_t *object, const char *name);
/* The text, or NULL where it repeats the secret. Both may be NULL. */
const char *aws_harmless(const char *text, const char *secret);
/* Sleeps at most so long. -1: the identity is being ended (error set). */
int aws_pause(struct ctx *c, int ms) MUST_CHECK;
/* The failure was not that of a caller who gives up. */
bool aws_may_retry(const struct net_reply *reply);

/* ---- sources ---- */

/* aws_process.c */
int aws_process(struct ctx *c, const char *profile, const char *command, struct identity_value *ret);

/* aws_sts.c */
struct aws_role {
	const char *arn;
	const char *session;            /* NULL: a name of ours */
	const char *external_id, *duration;     /* NULL */
};
int aws_sts_assume(struct ctx *c, struct net *n, const struct aws_config *f, const struct aws_role *r,
                   const struct identity_value *source, struct identity_value *ret) MUST_CHECK;
int aws_sts_assume_web(struct ctx *c, struct net *n, const struct aws_config *f, const struct aws_role *r,
                       const char *token_file, struct identity_value *ret) MUST_CHECK;

/* aws_metadata.c */
int aws_container(struct ctx *c, struct net *n, struct identity_value *ret);
/* *why: with 0, in a few words. */
int aws_instance(struct ctx *c, struct net *n, const struct aws_config *f, struct identity_value *ret, const char **why);

#endif
