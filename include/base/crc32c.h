/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* crc32c — Castagnoli's CRC-32 (RFC 3720, B.4), by which object stores check what they are sent. */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Of n bytes more; begin with 0. Safe from any thread. */
uint32_t crc32c(uint32_t crc, const void *data, size_t n);

#endif
