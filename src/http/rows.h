/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * rows — reads routes.def and absent.def once with the ROW_* macros the includer defined:
 *   ROW_ROUTE, ROW_READ, ROW_WRITE(mount, method, path, handler, request, reply, needs)
 *   ROW_STREAM, ROW_STREAM_DB, ROW_INLINE, ROW_BLOCKING(mount, method, path, handler, needs)
 *   ROW_ABSENT(mount, method, path, reason), from absent.def
 * No include guard: it is included several times.
 */
#define ROUTE(m, p, h, in, out, n)      ROW_ROUTE(MOUNT_BOTH, m, p, h, in, out, n)
#define ROUTE_AJAX(m, p, h, in, out, n) ROW_ROUTE(MOUNT_AJAX, m, p, h, in, out, n)
#define ROUTE_ROOT(m, p, h, in, out, n) ROW_ROUTE(MOUNT_ROOT, m, p, h, in, out, n)
#define READ(m, p, h, in, out, n)       ROW_READ(MOUNT_BOTH, m, p, h, in, out, n)
#define WRITE(m, p, h, in, out, n)      ROW_WRITE(MOUNT_BOTH, m, p, h, in, out, n)
#define WRITE_AJAX(m, p, h, in, out, n) ROW_WRITE(MOUNT_AJAX, m, p, h, in, out, n)
#define WRITE_ROOT(m, p, h, in, out, n) ROW_WRITE(MOUNT_ROOT, m, p, h, in, out, n)
#define STREAM(m, p, h, n)              ROW_STREAM(MOUNT_BOTH, m, p, h, n)
#define STREAM_AJAX(m, p, h, n)         ROW_STREAM(MOUNT_AJAX, m, p, h, n)
#define STREAM_ROOT(m, p, h, n)         ROW_STREAM(MOUNT_ROOT, m, p, h, n)
#define STREAM_DB(m, p, h, n)           ROW_STREAM_DB(MOUNT_BOTH, m, p, h, n)
#define STREAM_DB_AJAX(m, p, h, n)      ROW_STREAM_DB(MOUNT_AJAX, m, p, h, n)
#define STREAM_DB_ROOT(m, p, h, n)      ROW_STREAM_DB(MOUNT_ROOT, m, p, h, n)
#define INLINE(m, p, h, n)              ROW_INLINE(MOUNT_BOTH, m, p, h, n)
#define INLINE_AJAX(m, p, h, n)         ROW_INLINE(MOUNT_AJAX, m, p, h, n)
#define INLINE_ROOT(m, p, h, n)         ROW_INLINE(MOUNT_ROOT, m, p, h, n)
#define BLOCKING(m, p, h, n)            ROW_BLOCKING(MOUNT_BOTH, m, p, h, n)
#define BLOCKING_AJAX(m, p, h, n)       ROW_BLOCKING(MOUNT_AJAX, m, p, h, n)
#define BLOCKING_ROOT(m, p, h, n)       ROW_BLOCKING(MOUNT_ROOT, m, p, h, n)

#define ABSENT(m, p, why)               ROW_ABSENT(MOUNT_BOTH, m, p, why)
#define ABSENT_AJAX(m, p, why)          ROW_ABSENT(MOUNT_AJAX, m, p, why)
#define ABSENT_ROOT(m, p, why)          ROW_ABSENT(MOUNT_ROOT, m, p, why)
#define ABSENT_METHODS(mount, p, why) \
	ROW_ABSENT(mount, GET, p "/{path}", why) ROW_ABSENT(mount, POST, p "/{path}", why) \
	ROW_ABSENT(mount, PUT, p "/{path}", why) ROW_ABSENT(mount, PATCH, p "/{path}", why) \
	ROW_ABSENT(mount, DELETE, p "/{path}", why)
#define ABSENT_BELOW(p, why)            ABSENT_METHODS(MOUNT_BOTH, p, why)
#define ABSENT_BELOW_AJAX(p, why)       ABSENT_METHODS(MOUNT_AJAX, p, why)
#define ABSENT_BELOW_ROOT(p, why)       ABSENT_METHODS(MOUNT_ROOT, p, why)

#include "routes.def"
#include "absent.def"

#undef ROUTE
#undef ROUTE_AJAX
#undef ROUTE_ROOT
#undef READ
#undef WRITE
#undef WRITE_AJAX
#undef WRITE_ROOT
#undef STREAM
#undef STREAM_AJAX
#undef STREAM_ROOT
#undef STREAM_DB
#undef STREAM_DB_AJAX
#undef STREAM_DB_ROOT
#undef INLINE
#undef INLINE_AJAX
#undef INLINE_ROOT
#undef BLOCKING
#undef BLOCKING_AJAX
#undef BLOCKING_ROOT
#undef ABSENT
#undef ABSENT_AJAX
#undef ABSENT_ROOT
#undef ABSENT_METHODS
#undef ABSENT_BELOW
#undef ABSENT_BELOW_AJAX
#undef ABSENT_BELOW_ROOT
#undef ROW_ROUTE
#undef ROW_READ
#undef ROW_WRITE
#undef ROW_STREAM
#undef ROW_STREAM_DB
#undef ROW_INLINE
#undef ROW_BLOCKING
#undef ROW_ABSENT
