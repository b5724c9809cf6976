/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* utf8 — strict UTF-8 (RFC 3629: no surrogates, no overlong forms, no NUL inside). */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool utf8_valid(const char *s, size_t n);

/* Code points: the "characters" of MLflow's limits. */
size_t utf8_length(const char *s);

/* Bytes of the first `characters` code points (all of it when shorter): to truncate whole. */
size_t utf8_prefix(const char *s, size_t characters);

/* Decodes one code point at *s and advances; *s must be valid UTF-8. */
uint32_t utf8_next(const char **s);

#endif
