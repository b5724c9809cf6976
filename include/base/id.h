/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* id — identifiers and names as MLflow makes them. */
#ifndef BASE_ID_H
#define BASE_ID_H

#include <stdbool.h>
#include <stdint.h>

struct arena;

/* 32 lower-case hex digits of a random (version 4) uuid: run ids, dataset ids. */
char *id_uuid_hex(struct arena *a);

/* "m-" + uuid hex: logged model ids. */
char *id_model(struct arena *a);

/* adjective-noun-N, at most 20 characters, N in 0..1000 (mlflow/utils/name_utils.py). */
char *id_run_name(struct arena *a);

/* 32 hex digits to 16 bytes. Capitals and dashes are refused: as text that is another id. */
bool id_parse_uuid(const char *text, uint8_t out[16]);
void id_format_uuid(const uint8_t in[16], char out[33]);

/* `size` random bytes from the kernel. */
void id_random(void *out, unsigned size);

#endif
