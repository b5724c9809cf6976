/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "registry/fernet.h"

#include <cmocka.h>            /* last: it defines fail() */

static const char key[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/* Made by Python's cryptography.fernet.Fernet. */
static const struct {
	const char *token, *text;
} made[] = {
	{ "gAAAAABlU_EAP3aCEuyYocFslg-9zokQ_h0JDT2Kw4QZDPHLyXBN2udOmP_8znI-zLAXjVbH_sLFS7fDyEB7kJ-axSB4XQLwrg==",
	  "s3cret \xc3\xa4" },
	{ "gAAAAAAAAAABAAECAwQFBgcICQoLDA0OD7eteCFsVWnW2hqrh_bbxWEsrb5nwxNM6nXtH0xlsG9XqvCyr5o4oytYjQHgCtrwqA==", "" },
};

static void keys(void **state)
{
	static const char *const bad[] = {
		"", "x", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8==",
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHg==", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwd Hh8",
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh+=", " AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
	};
	struct fernet f;
	char fresh[FERNET_KEY_TEXT + 1], other[FERNET_KEY_TEXT + 1];

	(void)state;
	assert_true(registry_fernet_key(key, &f));
	for (int i = 0; i < 16; i++) {
		assert_int_equal(f.signing[i], i);
		assert_int_equal(f.encryption[i], 16 + i);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		if (registry_fernet_key(bad[i], &f))
			fail_msg("'%s' is no key", bad[i]);
	}
	for (int i = 0; i < 50; i++) {
		registry_fernet_new_key(fresh);
		assert_true(registry_fernet_key(fresh, &f));
	}
	registry_fernet_new_key(other);
	assert_string_not_equal(fresh, other);
}

static void python(void **state)
{
	struct ctx c = { .arena = arena_new(1 << 20) };
	struct fernet f;

	(void)state;
	assert_true(registry_fernet_key(key, &f));
	for (size_t i = 0; i < sizeof(made) / sizeof(*made); i++) {
		const char *text = NULL;

		assert_int_equal(registry_fernet_decrypt(&c, &f, made[i].token, &text), 1);
		assert_string_equal(text, made[i].text);
	}
	arena_free(c.arena);
}

static void round_trip(void **state)
{
	struct ctx c = { .arena = arena_new(8 << 20) };
	struct fernet f;
	const char *got = NULL;

	(void)state;
	assert_true(registry_fernet_key(key, &f));
	for (size_t n = 0; n < 70; n++) {
		char *text = arena_alloc(c.arena, n + 1);
		const char *token, *again;

		memset(text, 'x', n);
		token = registry_fernet_encrypt(&c, &f, text);
		again = registry_fernet_encrypt(&c, &f, text);
		assert_non_null(token);
		assert_string_not_equal(token, again);
		assert_null(strpbrk(token, "+/"));
		assert_int_equal(registry_fernet_decrypt(&c, &f, token, &got), 1);
		assert_string_equal(got, text);
	}
	arena_free(c.arena);
}

/* Any other byte, length or key: refused, never another text. */
static void forged(void **state)
{
	struct ctx c = { .arena = arena_new(8 << 20) };
	struct fernet f, other;
	const char *got = NULL;
	char fresh[FERNET_KEY_TEXT + 1];

	(void)state;
	assert_true(registry_fernet_key(key, &f));
	registry_fernet_new_key(fresh);
	assert_true(registry_fernet_key(fresh, &other));
	assert_int_equal(registry_fernet_decrypt(&c, &other, made[0].token, &got), 0);
	for (size_t i = 0; made[0].token[i] && made[0].token[i] != '='; i++) {
		char *token = arena_strdup(c.arena, made[0].token);

		token[i] = token[i] == 'A' ? 'B' : 'A';
		assert_int_equal(registry_fernet_decrypt(&c, &f, token, &got), 0);
		token[i] = '*';
		assert_int_equal(registry_fernet_decrypt(&c, &f, token, &got), 0);
		token[i] = '\0';
		assert_int_equal(registry_fernet_decrypt(&c, &f, token, &got), 0);
	}
	assert_null(got);
	arena_free(c.arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys), cmocka_unit_test(python), cmocka_unit_test(round_trip),
		cmocka_unit_test(forged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
