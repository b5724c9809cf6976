/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/utf8.h"

#include <cmocka.h>

static int saved = -1, ends[2];
static char line[8192];

static void capture(void)
{
	assert_int_equal(pipe(ends), 0);
	saved = dup(STDERR_FILENO);
	dup2(ends[1], STDERR_FILENO);
	close(ends[1]);
}

/* What was written since, without the time. */
static const char *captured(void)
{
	ssize_t n;

	dup2(saved, STDERR_FILENO);
	close(saved);
	n = read(ends[0], line, sizeof(line) - 1);
	close(ends[0]);
	line[n > 0 ? n : 0] = '\0';
	return line;
}

/* Length of "2026-11-22T07:00:00.123Z". */
enum { TIME = 24 };

static void test_text(void **state)
{
	const char *text;

	(void)state;
	log_configure(LOG_INFO, LOG_TEXT);
	capture();
	log_event(LOG_INFO, "listening on", "host", "::1", "port", log_fmt("%d", 5000), "none",
	  NULL,
	          "empty", "", "space", "a b", "evil", "x\n\"y\\\x1b\xc2\x9b\xff=é", NULL);
	text = captured();
	assert_int_equal(text[10], 'T');
	assert_int_equal(text[TIME - 1], 'Z');
	assert_string_equal(text + TIME,
		" info event=\"listening on\" host=::1 port=5000 empty=\"\" space=\"a b\""
		" evil=\"x\\n\\\"y\\\\\\u001b\\ufffd\\ufffd\\ufffd=é\"\n");
}

static void test_json(void **state)
{
	const char *text;

	(void)state;
	log_configure(LOG_DEBUG, LOG_JSON);
	capture();
	log_event(LOG_ERROR, "failed", "why", "a\tb\r", NULL);
	text = captured();
	assert_memory_equal(text, "{\"time\":\"2", 10);
	assert_string_equal(text + 9 + TIME,
		"\",\"level\":\"error\",\"event\":\"failed\",\"why\":\"a\\tb\\u000d\"}\n");
}

static void test_level(void **state)
{
	(void)state;
	log_configure(LOG_WARN, LOG_TEXT);
	assert_false(log_enabled(LOG_INFO));
	assert_true(log_enabled(LOG_WARN));
	capture();
	log_event(LOG_INFO, "hidden", NULL);
	log_event(LOG_WARN, "shown", NULL);
	assert_string_equal(captured() + TIME, " warn event=\"shown\"\n");
}

/* Whatever the lengths, the line stays one well-formed line of at most 4096 bytes. */
static void test_too_long(void **state)
{
	char *value = malloc(5001);

	(void)state;
	for (size_t n = 3900; n < 5000; n += n > 3980 && n < 4120 ? 1 : 50) {
		for (int json = 0; json < 2; json++) {
			const char *text;
			size_t size;

			memset(value, 'v', n);
			memcpy(value + n - 4, "é\n", 4);
			log_configure(LOG_INFO, json ? LOG_JSON : LOG_TEXT);
			capture();
			log_event(LOG_INFO, "long", "a", value, "b", "text", "c", value, NULL);
			text = captured();
			size = strlen(text);
			assert_true(size <= 4096);
			assert_int_equal(text[size - 1], '\n');
			assert_ptr_equal(strchr(text, '\n'), text + size - 1);
			assert_true(utf8_valid(text, size));
			if (json)
				assert_memory_equal(text + size - 3, "\"}\n", 3);
		}
	}
	free(value);
}

static void test_fmt(void **state)
{
	char text[3000];
	const char *one = log_fmt("%d", 1), *two = log_fmt("%d", 2);

	(void)state;
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(strlen(log_fmt("%s", text)), 1023);
	assert_string_equal(one, "1");
	assert_string_equal(two, "2");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),     cmocka_unit_test(test_json),
		cmocka_unit_test(test_level),    cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_fmt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
