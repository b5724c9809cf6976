/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* settings — what every daemon on one database shares. */
#ifndef STORE_SETTINGS_H
#define STORE_SETTINGS_H

#include "base/ctx.h"

/* Reads them, once, before any request. */
int store_settings_load(struct ctx *c) MUST_CHECK;

/* Signs page tokens; "" before store_settings_load(). */
const char *store_settings_token_key(void);

#endif
