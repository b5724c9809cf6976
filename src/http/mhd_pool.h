/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* mhd_pool — a larger buffer for the bodies of uploads, and for heads, than HTTP_POOL has room for. */
#ifndef HTTP_MHD_POOL_H
#define HTTP_MHD_POOL_H

#include <stdbool.h>

struct MHD_Connection;
struct MemoryPool;

/* Within request_step() that takes nothing of more than HTTP_POOL / 4 bytes of a body of which more are to come: what is
   read next goes to a buffer of HTTP_WIDE, until the request ends. The offer stands until it is taken back, at the next
   request_step(). */
struct MemoryPool *mhd_pool_offer(struct MHD_Connection *connection);
/* Within request_begin(), where the request line is read: the rest of the head may be as large as HTTP_WIDE, if it has to
   be and not too many others are. Until it is taken back, at the first request_step(). */
struct MemoryPool *mhd_pool_offer_head(struct MHD_Connection *connection);
void mhd_pool_take_back(struct MemoryPool *pool);

/* Does the read buffer lie elsewhere? */
bool mhd_pool_is_wide(const struct MemoryPool *pool);

#endif
