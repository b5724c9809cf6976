/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * fernet — small secrets at rest: AES-128-CBC and HMAC-SHA256 in the token format of Python's cryptography.fernet,
 * which MLflow keeps webhook secrets in.
 */
#ifndef REGISTRY_FERNET_H
#define REGISTRY_FERNET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/ctx.h"

enum { FERNET_KEY_TEXT = 44 };

struct fernet {
	uint8_t signing[16];
	uint8_t encryption[16];
};

/* The text of a key: 32 bytes in URL-safe base64. False: not one. */
bool registry_fernet_key(const char *text, struct fernet *ret);
void registry_fernet_new_key(char ret[FERNET_KEY_TEXT + 1]);

/* NULL: error set. */
const char *registry_fernet_encrypt(struct ctx *c, const struct fernet *f, const char *text);
/* 1, or 0: not a token of this key. */
int registry_fernet_decrypt(struct ctx *c, const struct fernet *f, const char *token, const char **ret) MUST_CHECK;

#endif
