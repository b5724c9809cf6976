/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* handlers — what artifact.c and multipart.c share. */
#ifndef ARTIFACTS_HANDLERS_H
#define ARTIFACTS_HANDLERS_H

#include "base/ctx.h"

/* 503 without --serve-artifacts. */
int artifacts_proxy_ready(struct ctx *c) MUST_CHECK;

#endif
