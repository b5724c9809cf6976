/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * log — one line per event on standard error, text (logfmt) or JSON. Thread-safe; one write() a
 * line. A value never breaks a line: control characters are escaped.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };
enum log_format { LOG_TEXT, LOG_JSON };

void log_configure(enum log_level level, enum log_format format);
bool log_enabled(enum log_level level);

/* event: a short fixed text ("listening", "postgres started"), then pairs of key and text, ended by
   NULL; numbers through log_fmt(). A NULL text leaves its pair out. */
void log_event(enum log_level level, const char *event, ... /* key, text, ..., NULL */)
	__attribute__((sentinel));

/* Formats into one of a few thread-local buffers (cut at 1 KiB): for arguments of log_event() only.
 */
const char *log_fmt(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
