/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* mime — what an artifact is, by its name. */
#ifndef ARTIFACTS_MIME_H
#define ARTIFACTS_MIME_H

/* Static text. */
const char *mime_type(const char *key);
/* What Python's mimetypes says of it, for stores: here nothing is done for browsers' sake. */
const char *mime_guess(const char *key);

#endif
