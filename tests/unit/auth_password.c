/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Password hashes: those that werkzeug 3 made, our own, and what is no hash. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "auth/password.h"
#include "base/arena.h"
#include "base/clock.h"
#include "base/limits.h"

#include <cmocka.h>            /* last: it defines fail() */

#define PASSWORD "correct horse battery"
#define SALT "$aBcD1234efGH5678$"

static struct ctx c;

static int set_up(void **state)
{
	(void)state;
	c = (struct ctx){ .arena = arena_new(LIMIT_ARENA) };
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	arena_free(c.arena);
	return 0;
}

/* werkzeug.security.generate_password_hash(password, method) with this salt */
static const struct { const char *password, *hash; } made[] = {
	{ PASSWORD, "scrypt:32768:8:1" SALT
	  "b527bcdcd6416ee20665341d553357f6afe67dfc81a25cb3b92542a9ad774d01"
	  "311b2d8feea7123c96500b51e365b7b3ddd18ca1b26d30879b33b72c61e7623c" },
	{ "pässwörd-日本語", "scrypt:32768:8:1" SALT
	  "a95caf1bc2177529a7bea417988ce37bd412f9ee79ed82bdbdaa33758994089f"
	  "f48f3e3ab733a0abdac08496c9166fa1cb685acb54ba2b2e3d482774dec88097" },
	{ PASSWORD, "scrypt:1024:4:2" SALT
	  "4b8775d2a69606ac483ed13deb7d87a016a5d9446f1123542f988bef545b4393"
	  "1887fa438e8e1a4096d1e8bb965ee55da6163609a270659d0b1be97d00e43260" },
	{ PASSWORD, "pbkdf2:sha256:1000" SALT
	  "81dff67c00c980b5ea3c4b5b27d24b1602ba651f189eb509a260bd80f15a26ff" },
	{ PASSWORD, "pbkdf2:sha512:1000" SALT
	  "fe356328b7833bcab4aa886c0de52600dc66027bd2b526e236c6893fb7f4a8c4"
	  "754abdeca0a1480bbc041e107570a36400e81b7e7ce0865eb022d68fe6cac7fa" },
	{ PASSWORD, "pbkdf2:sha1:1000" SALT "7ff84e51b8f177f01ae68f48ebd13caeac91692b" },
};

static void of_werkzeug(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(made) / sizeof(*made); i++) {
		assert_int_equal(auth_password_verify(&c, made[i].password, made[i].hash), 1);
		assert_int_equal(auth_password_verify(&c, "correct horse batterz",
		                                      made[i].hash), 0);
		char *cut = arena_strdup(c.arena, made[i].hash);
		cut[strlen(cut) - 1] = cut[strlen(cut) - 1] == '0' ? '1' : '0';
		assert_int_equal(auth_password_verify(&c, made[i].password, cut), 0);
		cut[strlen(cut) - 1] = '\0';
		assert_int_equal(auth_password_verify(&c, made[i].password, cut), 0);
	}
}

static void own(void **state)
{
	const char *first = auth_password_hash(&c, PASSWORD);
	const char *second = auth_password_hash(&c, PASSWORD);

	(void)state;
	assert_memory_equal(first, "scrypt:32768:8:1$", 17);
	assert_int_equal(strlen(first), 17 + 16 + 1 + 128);
	assert_string_not_equal(first, second);
	assert_int_equal(auth_password_verify(&c, PASSWORD, first), 1);
	assert_int_equal(auth_password_verify(&c, PASSWORD " ", first), 0);
	assert_int_equal(auth_password_verify(&c, "", first), 0);
}

/* None is a password of any of these, and none makes the server work hard or take much memory. */
static void no_hashes(void **state)
{
	static const char *const hashes[] = {
		"", "$", "scrypt", "scrypt$", "scrypt$$", "scrypt:32768:8:1", "scrypt:32768:8:1$a$",
		"scrypt:32768:8:1$$00", "scrypt:0:8:1$a$00", "scrypt:3:8:1$a$00",
		"scrypt:1073741824:8:1$a$00", "scrypt:32768:8:1:1$a$00",
		"scrypt:99999999999999999999:8:1$a$",
		"scrypt:262144:32:16$aBcD1234efGH5678$"
		"b527bcdcd6416ee20665341d553357f6afe67dfc81a25cb3b92542a9ad774d01"
		"311b2d8feea7123c96500b51e365b7b3ddd18ca1b26d30879b33b72c61e7623c",
		"pbkdf2:sha256:0$a$00", "pbkdf2:sha256:99999999$a$00", "pbkdf2:md5:1$a$00",
		"pbkdf2:sha256:-1$a$00", "sha256$a$00", "plain$$password", PASSWORD,
	};

	(void)state;
	for (size_t i = 0; i < sizeof(hashes) / sizeof(*hashes); i++)
		assert_int_equal(auth_password_verify(&c, PASSWORD, hashes[i]), 0);
}

/* The answer for a user who is not there takes as long as a real one. */
static void no_user(void **state)
{
	int64_t best[2] = { INT64_MAX, INT64_MAX };

	(void)state;
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < 2; i++) {
			int64_t began = clock_us();
			int right = auth_password_verify(&c, "wrong password",
			                                 i ? made[0].hash : NULL);
			int64_t took = clock_us() - began;

			assert_int_equal(right, 0);
			best[i] = took < best[i] ? took : best[i];
		}
	}
	assert_true(best[0] > best[1] / 2 && best[1] > best[0] / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(of_werkzeug), cmocka_unit_test(own), cmocka_unit_test(no_hashes),
		cmocka_unit_test(no_user),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
