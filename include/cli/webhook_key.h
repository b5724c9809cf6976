/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* webhook_key — webhook-secrets.key in the data directory. */
#ifndef CLI_WEBHOOK_KEY_H
#define CLI_WEBHOOK_KEY_H

#include "base/ctx.h"
#include "registry/fernet.h"

/* Reads it, makes it at first. The text is in c's arena. */
int cli_webhook_key(struct ctx *c, const char *dir, const char **ret) MUST_CHECK;

#endif
