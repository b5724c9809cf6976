/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/utf8.h"

enum {
	LINE = 4096,                    /* PIPE_BUF: lines of processes sharing a pipe do not mix */
	END_OF_LINE = 4,                /* kept free for what closes a cut line: "} and newline */
	FORMATTED = 1024,
	FORMATTED_AT_ONCE = 8,          /* arguments of one log_event() */
};

struct line {
	size_t size;
	char data[LINE];
};

static atomic_int lowest = LOG_INFO;
static atomic_int format = LOG_TEXT;

void log_configure(enum log_level level, enum log_format to)
{
	atomic_store(&lowest, (int)level);
	atomic_store(&format, (int)to);
}

bool log_enabled(enum log_level level)
{
	return (int)level >= atomic_load_explicit(&lowest, memory_order_relaxed);
}

/* All of it or nothing. */
static bool add(struct line *l, const char *s, size_t n)
{
	if (n > LINE - END_OF_LINE - l->size)
		return false;
	memcpy(l->data + l->size, s, n);
	l->size += n;
	return true;
}

/* Bytes of the character at s, which is shown as it is; 0: escape one byte. C1 controls (U+0080 to
   U+009F) steer some terminals. */
static size_t printable(const char *s)
{
	unsigned char first = (unsigned char)*s;
	size_t n = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;

	if (first < 0x80)
		return first >= 0x20 && first != 0x7f && first != '"' && first != '\\';
	if (strnlen(s, n) < n || !utf8_valid(s, n))
		return 0;
	return first == 0xc2 && (unsigned char)s[1] < 0xa0 ? 0 : n;
}

/* Quoted; the escapes are JSON's, which logfmt readers share. What does not fit is cut. */
static void add_quoted(struct line *l, const char *s)
{
	bool room = add(l, "\"", 1);

	while (*s && room) {
		size_t n = printable(s);
		unsigned char ch = (unsigned char)*s;
		char escape[8];

		if (n) {
			room = add(l, s, n);
			s += n;
			continue;
		}
		if (ch == '"' || ch == '\\')
			snprintf(escape, sizeof(escape), "\\%c", ch);
		else if (ch == '\n')
			snprintf(escape, sizeof(escape), "\\n");
		else if (ch == '\t')
			snprintf(escape, sizeof(escape), "\\t");
		else
			snprintf(escape, sizeof(escape), "\\u%04x", ch < 0x80 ? ch : 0xfffdu);
		room = add(l, escape, strlen(escape));
		s++;
	}
	l->data[l->size++] = '"';       /* END_OF_LINE has kept its place */
}

static bool is_bare(const char *s)
{
	if (!*s)
		return false;
	for (; *s; s++) {
		if (*s <= ' ' || *s > '~' || *s == '"' || *s == '=' || *s == '\\')
			return false;
	}
	return true;
}

/* False: the line is full. */
static bool add_pair(struct line *l, const char *key, const char *text, bool json)
{
	size_t before = l->size;
	size_t n = strlen(key);
	bool fits;

	if (json)
		fits = add(l, ",\"", 2) && add(l, key, n) && add(l, "\":", 2);
	else
		fits = add(l, " ", 1) && add(l, key, n) && add(l, "=", 1);
	/* An empty value at least, so that the line stays well-formed. */
	if (!fits || l->size > LINE - END_OF_LINE - 2) {
		l->size = before;
		return false;
	}
	if (!json && is_bare(text) && add(l, text, strlen(text)))
		return true;
	add_quoted(l, text);
	return l->size <= LINE - END_OF_LINE;
}

static void begin(struct line *l, enum log_level level, const char *event, bool json)
{
	static const char *const names[] = { "debug", "info", "warn", "error" };
	struct timespec now;
	struct tm tm;
	char start[96];
	char date[24];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(start, sizeof(start), json ? "{\"time\":\"%s.%03dZ\",\"level\":\"%s\",\"event\":" :
	         "%s.%03dZ %s event=", date, (int)(now.tv_nsec / 1000000), names[level]);
	add(l, start, strlen(start));
	add_quoted(l, event);
}

void log_event(enum log_level level, const char *event, ...)
{
	bool json = atomic_load_explicit(&format, memory_order_relaxed) == LOG_JSON;
	struct line l;
	const char *key;
	bool room = true;
	va_list ap;

	if (!log_enabled(level))
		return;
	l.size = 0;
	begin(&l, level, event, json);
	va_start(ap, event);
	while (room && l.size <= LINE - END_OF_LINE && (key = va_arg(ap, const char *))) {
		const char *text = va_arg(ap, const char *);

		if (text)
			room = add_pair(&l, key, text, json);
	}
	va_end(ap);
	if (json)
		l.data[l.size++] = '}';
	l.data[l.size++] = '\n';
	while (write(STDERR_FILENO, l.data, l.size) < 0 && errno == EINTR)
		;
}

const char *log_fmt(const char *fmt, ...)
{
	static _Thread_local char texts[FORMATTED_AT_ONCE][FORMATTED];
	static _Thread_local unsigned next;
	char *text = texts[next++ % FORMATTED_AT_ONCE];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, FORMATTED, fmt, ap);
	va_end(ap);
	return text;
}
