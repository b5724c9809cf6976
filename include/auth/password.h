/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * password — password hashes in werkzeug's form, as MLflow stores them: "scrypt:32768:8:1$salt$hex"
 * and "pbkdf2:sha256:600000$salt$hex".
 *
 * Both calls are slow on purpose (tens of milliseconds, 32 MiB for scrypt); at most
 * AUTH_KDF_AT_ONCE run at the same time, further ones wait for a while.
 */
#ifndef AUTH_PASSWORD_H
#define AUTH_PASSWORD_H

#include "base/ctx.h"

enum { AUTH_KDF_AT_ONCE = 2 };

/* 1 it is the password of this hash, 0 it is not (or the hash is in no known form), -1
   TEMPORARILY_UNAVAILABLE. hash NULL (no such user): always 0, at the cost of a real one. */
int auth_password_verify(struct ctx *c, const char *password, const char *hash) MUST_CHECK;

/* A new scrypt hash, in c's arena. NULL: TEMPORARILY_UNAVAILABLE. */
const char *auth_password_hash(struct ctx *c, const char *password) MUST_CHECK;

#endif
