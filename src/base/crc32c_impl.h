/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#ifndef BASE_CRC32C_IMPL_H
#define BASE_CRC32C_IMPL_H

#include <stddef.h>
#include <stdint.h>

/* crc32c() on processors without an instruction for it. */
uint32_t crc32c_by_table(uint32_t crc, const void *data, size_t n);

#endif
