/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* What the tests of credentials for Google Cloud share. Included last: cmocka defines fail(). */
#ifndef TESTS_WITH_GCP_H
#define TESTS_WITH_GCP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include <jansson.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "net/gcp.h"
#include "net/identity.h"
#include "with_answers.h"

#include <cmocka.h>

#define SA "daemon@project.iam.gserviceaccount.com"
#define STORAGE "https://www.googleapis.com/auth/devstorage.read_write"
#define IAM "https://www.googleapis.com/auth/iam"
#define IMPERSONATE "/v1/projects/-/serviceAccounts/target@p.iam.gserviceaccount.com:generateAccessToken"

static EVP_PKEY *key;
static char folder[] = "/tmp/capstan-gcp-XXXXXX";
static char key_text[8192];     /* PEM */

struct fixture {
	struct ctx c;
	struct identity *identity;
	struct identity_value v;
};

static inline int start(void **state)
{
	BIO *bio = BIO_new(BIO_s_mem());
	int n;

	(void)state;
	net_init();
	key = EVP_RSA_gen(2048);
	PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
	n = BIO_read(bio, key_text, sizeof(key_text) - 1);
	BIO_free(bio);
	return n <= 0 || !mkdtemp(folder) || with_start();
}

static inline int stop(void **state)
{
	char command[64];

	(void)state;
	EVP_PKEY_free(key);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return with_stop() || system(command);
}

/* Nothing of the machine's own is found. */
static inline int fixture_new(void **state)
{
	static const char *const unset[] = {
		"GOOGLE_APPLICATION_CREDENTIALS", "STORAGE_EMULATOR_HOST", "GOOGLE_CLOUD_QUOTA_PROJECT", "CLOUDSDK_CONFIG",
		"GCE_METADATA_HOST", "GCE_METADATA_ROOT", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID",
		"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "NO_GCE_CHECK",
	};
	struct fixture *f = calloc(1, sizeof(*f));

	for (size_t i = 0; i < sizeof(unset) / sizeof(*unset); i++)
		unsetenv(unset[i]);
	setenv("HOME", folder, 1);
	setenv("GCE_METADATA_IP", "127.0.0.1:1", 1);
	setenv("GCE_METADATA_TIMEOUT", "1", 1);
	setenv("GCE_METADATA_DETECT_RETRIES", "1", 1);
	f->c.arena = arena_new(64 << 20);
	with_clear();
	*state = f;
	return !f->c.arena;
}

static inline int fixture_free(void **state)
{
	struct fixture *f = *state;

	identity_free(f->identity);
	arena_free(f->c.arena);
	free(f);
	return 0;
}

static inline const char *url(struct fixture *f, const char *path)
{
	return arena_printf(f->c.arena, "http://127.0.0.1:%u%s", with.port, path);
}

/* What a new daemon would get. */
static inline int get(struct fixture *f)
{
	error_clear(&f->c);
	identity_free(f->identity);
	f->identity = gcp_identity_new();
	assert_non_null(f->identity);
	return identity_get(&f->c, f->identity, 10000, &f->v);
}

static inline void good(struct fixture *f)
{
	if (get(f))
		fail_msg("%s (%s)", f->c.error.message, f->c.error.detail ? f->c.error.detail : "");
}

static inline void bad(struct fixture *f, const char *says)
{
	assert_int_equal(get(f), -1);
	if (!strstr(f->c.error.message, says))
		fail_msg("\"%s\" is not in: %s", says, f->c.error.message);
}

/* Writes a file and makes it the credentials. */
static inline const char *use(struct fixture *f, const char *name, const char *text)
{
	const char *path = arena_printf(f->c.arena, "%s/%s", folder, name);
	FILE *file = fopen(path, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	setenv("GOOGLE_APPLICATION_CREDENTIALS", path, 1);
	return path;
}

static inline const char *json_text(struct fixture *f, const char *text)
{
	struct buf b = BUF(f->c.arena, 1 << 20);

	buf_add_json_string(&b, text);
	return buf_text(&b);
}

static inline const char *account_file(struct fixture *f, const char *pem, const char *more)
{
	return arena_printf(f->c.arena, "{\"type\": \"service_account\", \"client_email\": \"" SA "\", \"private_key\": %s,"
	                    " \"private_key_id\": \"kid1\", \"token_uri\": \"%s\"%s}", json_text(f, pem),
	                    url(f, "/token"), more);
}

static inline void answer(const char *begins, int status, const char *body)
{
	with_add((struct answer){ begins, status, "Content-Type: application/json\r\n", body, 0 });
}

/* A field of the form in a request, decoded. */
static inline const char *field(struct fixture *f, const char *request, const char *name)
{
	const char *body = strstr(request, "\r\n\r\n");
	const char *at = body ? strstr(body, arena_printf(f->c.arena, "%s=", name)) : NULL;
	char *ret, *to;

	while (at && at[-1] != '&' && at[-1] != '\n')
		at = strstr(at + 1, arena_printf(f->c.arena, "%s=", name));
	if (!at)
		return "";
	at += strlen(name) + 1;
	to = ret = arena_alloc(f->c.arena, strlen(at) + 1);
	for (; *at && *at != '&'; at++) {
		char two[3] = { at[1], at[1] ? at[2] : '\0', '\0' };

		if (*at != '%') {
			*to++ = *at;
			continue;
		}
		*to++ = (char)strtoul(two, NULL, 16);
		at += 2;
	}
	return ret;
}

/* Nothing of what we sent in confidence, nor of what we hold. */
static inline void confidential(struct fixture *f, const char *secret)
{
	const char *texts[] = { f->c.error.message, f->c.error.detail };
	size_t n = strlen(secret);

	for (size_t i = 0; i < 2; i++) {
		for (size_t k = 0; texts[i] && k + 12 <= n; k++) {
			char piece[13] = { 0 };

			memcpy(piece, secret + k, 12);
			if (strstr(texts[i], piece))
				fail_msg("\"%s\" is in: %s", piece, texts[i]);
		}
	}
}

/* ---- assertions of service accounts ---- */

static inline size_t unbase64(const char *from, size_t n, unsigned char *to)
{
	char text[4096];
	size_t padded = (n + 3) / 4 * 4;

	assert_true(padded < sizeof(text));
	for (size_t i = 0; i < padded; i++)
		text[i] = i >= n ? '=' : from[i] == '-' ? '+' : from[i] == '_' ? '/' : from[i];
	assert_true(EVP_DecodeBlock(to, (unsigned char *)text, (int)padded) >= 0);
	return padded / 4 * 3 - (padded - n);
}

static inline json_t *part(const char *from, size_t n)
{
	unsigned char bytes[4096];
	json_t *ret = json_loadb((char *)bytes, unbase64(from, n, bytes), 0, NULL);

	assert_non_null(ret);
	return ret;
}

/* The assertion as its reader judges it: signature, header, claims. */
static inline void judge(const char *jwt, const char *scope)
{
	const char *claims = strchr(jwt, '.') + 1;
	const char *signature = strchr(claims, '.') + 1;
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	unsigned char bytes[4096];
	size_t n = unbase64(signature, strlen(signature), bytes);
	json_t *head = part(jwt, (size_t)(claims - 1 - jwt));
	json_t *body = part(claims, (size_t)(signature - 1 - claims));
	json_int_t issued = json_integer_value(json_object_get(body, "iat"));

	assert_int_equal(EVP_DigestVerifyInit(digest, NULL, EVP_sha256(), NULL, key), 1);
	assert_int_equal(EVP_DigestVerify(digest, bytes, n, (const unsigned char *)jwt, (size_t)(signature - 1 - jwt)), 1);
	EVP_MD_CTX_free(digest);
	assert_string_equal(json_string_value(json_object_get(head, "alg")), "RS256");
	assert_string_equal(json_string_value(json_object_get(head, "typ")), "JWT");
	assert_string_equal(json_string_value(json_object_get(head, "kid")), "kid1");
	assert_string_equal(json_string_value(json_object_get(body, "iss")), SA);
	assert_string_equal(json_string_value(json_object_get(body, "aud")), "https://oauth2.googleapis.com/token");
	assert_string_equal(json_string_value(json_object_get(body, "scope")), scope);
	assert_in_range(issued, clock_wall_ms() / 1000 - 10, clock_wall_ms() / 1000);
	assert_int_equal(json_integer_value(json_object_get(body, "exp")) - issued, 3600);
	json_decref(head);
	json_decref(body);
}

#endif
