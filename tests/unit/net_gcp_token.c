/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Where tokens for Google Cloud come from, against a server that plays the token endpoint and the metadata server. */
#include "with_gcp.h"

static void service_account(void **state)
{
	struct fixture *f = *state;
	const char *asked;

	use(f, "sa.json", account_file(f, key_text, ", \"quota_project_id\": \"payer\""));
	answer("POST /token ", 200, "{\"access_token\": \"ya29.one\", \"expires_in\": 3599, \"token_type\": \"Bearer\"}");
	good(f);
	assert_string_equal(f->v.text[GCP_TOKEN], "ya29.one");
	assert_string_equal(f->v.text[GCP_EMAIL], SA);
	assert_string_equal(f->v.text[GCP_KEY], key_text);
	assert_string_equal(f->v.text[GCP_QUOTA], "payer");
	assert_null(f->v.text[GCP_SIGNER]);
	assert_in_range(f->v.expires_ms - clock_wall_ms(), 3590000, 3599000);
	asked = with_asked("POST /token ", 0);
	assert_non_null(strcasestr(asked, "content-type: application/x-www-form-urlencoded\r\n"));
	assert_string_equal(field(f, asked, "grant_type"), "urn:ietf:params:oauth:grant-type:jwt-bearer");
	judge(field(f, asked, "assertion"), STORAGE);
	assert_int_equal(with_count(""), 1);
	setenv("GOOGLE_CLOUD_QUOTA_PROJECT", "other", 1);
	good(f);
	assert_string_equal(f->v.text[GCP_QUOTA], "other");
}

/* A new token comes before the old one ends, and when it was refused. */
static void refresh(void **state)
{
	struct fixture *f = *state;
	struct identity_value old;

	use(f, "sa.json", account_file(f, key_text, ""));
	with_add((struct answer){ "POST /token ", 200, NULL, "{\"access_token\": \"first\", \"expires_in\": 2}", 1 });
	answer("POST /token ", 200, "{\"access_token\": \"second\", \"expires_in\": \"3600\"}");
	good(f);
	assert_string_equal(f->v.text[GCP_TOKEN], "first");
	for (int i = 0; i < 300 && with_count("POST /token ") < 2; i++)
		usleep(10000);
	for (int i = 0; i < 100 && strcmp(f->v.text[GCP_TOKEN], "second") != 0; i++) {
		usleep(10000);
		assert_int_equal(identity_get(&f->c, f->identity, 0, &f->v), 0);
	}
	assert_string_equal(f->v.text[GCP_TOKEN], "second");
	with_clear();
	answer("POST /token ", 200, "{\"access_token\": \"third\"}");
	old = f->v;
	identity_refused(f->identity, &old);
	assert_int_equal(identity_get(&f->c, f->identity, 5000, &f->v), 0);
	assert_string_equal(f->v.text[GCP_TOKEN], "third");
	assert_in_range(f->v.expires_ms - clock_wall_ms(), 3500000, 3600000);   /* an hour where it does not say */
}

static void refusals(void **state)
{
	struct fixture *f = *state;
	static char echo[8192];
	const char *jwt, *sent;
	const char *path = use(f, "sa.json", account_file(f, key_text, ""));

	answer("POST /token ", 400, "{\"error\": \"invalid_grant\", \"error_description\": \"Invalid JWT Signature.\"}");
	bad(f, "refused the service account " SA " of ");
	assert_non_null(strstr(f->c.error.message, path));
	assert_non_null(strstr(f->c.error.message, "invalid_grant"));
	assert_string_equal(f->c.error.detail, "Invalid JWT Signature.");
	assert_int_equal(f->c.error.code, PERMISSION_DENIED);
	assert_int_equal(with_count("POST /token "), 1);        /* not tried again */
	jwt = field(f, with_asked("POST /token ", 0), "assertion");

	/* An endpoint that tells what it was told; the head of all assertions is the same. */
	with_clear();
	snprintf(echo, sizeof(echo), "{\"error\": \"%s\", \"error_description\": \"got %.300s and %.40s\"}", jwt,
	         strchr(jwt, '.') - 30, strchr(key_text, '\n') + 1);
	answer("POST /token ", 401, echo);
	bad(f, "(status 401)");
	confidential(f, strchr(key_text, '\n') + 1);
	sent = field(f, with_asked("POST /token ", 0), "assertion");
	assert_non_null(f->c.error.detail);
	assert_non_null(strstr(f->c.error.detail, "got ***"));
	confidential(f, arena_strndup(f->c.arena, sent, (size_t)(strchr(sent, '.') - sent)));
	with_clear();
	answer("POST /token ", 403, "<html>no</html>");
	bad(f, "(status 403)");
	with_clear();
	answer("POST /token ", 302, "");
	bad(f, "(status 302)");
}

static void broken_answers(void **state)
{
	struct fixture *f = *state;
	static const char *const bodies[] = {
		"<html>", "[]", "{}", "{\"access_token\": \"\"}", "{\"access_token\": 1}", "{\"access_token\": \"a b\"}",
		"{\"access_token\": \"a\\r\\nX: y\"}", "{\"access_token\": \"a\", \"expires_in\": 0}",
		"{\"access_token\": \"a\", \"expires_in\": -1}", "{\"access_token\": \"a\", \"expires_in\": \"x\"}",
		"{\"access_token\": \"a\", \"expires_in\": []}", "{\"access_token\": \"a\", \"access_token\": \"b\"}",
	};
	static char large[70 << 10];

	use(f, "sa.json", account_file(f, key_text, ""));
	for (size_t i = 0; i < sizeof(bodies) / sizeof(*bodies); i++) {
		with_clear();
		answer("POST /token ", 200, bodies[i]);
		bad(f, "Google's token endpoint (http://127.0.0.1:");
		assert_int_equal(f->c.error.code, TEMPORARILY_UNAVAILABLE);
	}
	memset(large, '[', sizeof(large) - 1);
	with_clear();
	answer("POST /token ", 200, large);
	bad(f, "larger than 65536 bytes");
	large[60000] = '\0';
	bad(f, "no JSON object");               /* and no deep recursion */
	memcpy(large, "{\"access_token\":\"", 17);
	memset(large + 17, 'x', 9000);
	memcpy(large + 9017, "\"}", 3);
	bad(f, "longer than");
}

/* What may pass is tried again, three times in all. */
static void again(void **state)
{
	struct fixture *f = *state;

	use(f, "sa.json", account_file(f, key_text, ""));
	with_add((struct answer){ "POST /token ", 503, NULL, "busy", 1 });
	with_add((struct answer){ "POST /token ", 400, NULL, "{\"error\": \"internal_failure\"}", 1 });
	answer("POST /token ", 200, "{\"access_token\": \"third\", \"expires_in\": 3600}");
	good(f);
	assert_string_equal(f->v.text[GCP_TOKEN], "third");
	with_clear();
	answer("POST /token ", 500, "");
	assert_int_equal(get(f), -1);
	assert_int_equal(f->c.error.code, TEMPORARILY_UNAVAILABLE);
	assert_int_equal(with_count("POST /token "), 3);
	use(f, "sa.json", arena_printf(f->c.arena, "{\"type\": \"authorized_user\", \"client_id\": \"i\", \"client_secret\": "
	                               "\"s\", \"refresh_token\": \"r\", \"token_uri\": \"http://u:pw@127.0.0.1:1/t?q=z\"}"));
	bad(f, "Google's token endpoint (http://127.0.0.1:1/t) could not be asked: The connection was refused");
	assert_null(strstr(f->c.error.message, "pw"));
}

/* ---- files ---- */

static void files(void **state)
{
	struct fixture *f = *state;
	struct buf deep = BUF(f->c.arena, 1 << 20);
	EVP_PKEY *ec = EVP_EC_gen("P-256");
	BIO *bio = BIO_new(BIO_s_mem());
	char pem[1024] = "";
	const char *path;

	path = use(f, "c.json", "{\"type\": \"service_account\"");
	bad(f, "c.json is no JSON object");
	use(f, "c.json", "{\"type\": \"gdch_service_account\"}");
	bad(f, "is of type gdch_service_account: service_account, ");
	use(f, "c.json", "{}");
	bad(f, "is of type (none)");
	use(f, "c.json", "{\"type\": \"service_account\", \"client_email\": \"e\", \"private_key\": \"p\"}");
	bad(f, "c.json (type service_account) has no token_uri");
	use(f, "c.json", "{\"type\": \"authorized_user\", \"client_id\": \"e\", \"client_secret\": \"secretly\"}");
	bad(f, "has no refresh_token");
	confidential(f, "secretly");
	use(f, "c.json", "{\"type\": \"authorized_user\", \"universe_domain\": \"example.com\"}");
	bad(f, "universe example.com");
	use(f, "c.json", account_file(f, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", ""));
	bad(f, "The private key of the service account " SA);
	PEM_write_bio_PrivateKey(bio, ec, NULL, NULL, 0, NULL, NULL);
	assert_true(BIO_read(bio, pem, sizeof(pem) - 1) > 0);
	BIO_free(bio);
	EVP_PKEY_free(ec);
	use(f, "c.json", account_file(f, pem, ""));
	bad(f, "is no RSA key");
	confidential(f, strchr(pem, '\n') + 1);
	buf_add(&deep, "{\"type\":");
	for (int i = 0; i < 30000; i++)
		buf_add(&deep, "{\"a\":");
	use(f, "c.json", buf_text(&deep));
	bad(f, "larger than 65536 bytes");
	deep.data[60000] = '\0';
	use(f, "c.json", deep.data);
	bad(f, "is no JSON object");
	assert_int_equal(unlink(path), 0);
	bad(f, "does not exist");
	assert_int_equal(mkfifo(path, 0600), 0);
	bad(f, "is no regular file");
	setenv("GOOGLE_APPLICATION_CREDENTIALS", folder, 1);
	bad(f, "is no regular file");
}

static const char user_text[] = "{\"type\": \"authorized_user\", \"client_id\": \"id-1\", \"client_secret\": \"GOCSPX+s/1\","
	"\"refresh_token\": \"1//rt&x\", \"token_uri\": \"%s\", \"quota_project_id\": \"payer\"}";

static void user(void **state)
{
	struct fixture *f = *state;
	const char *asked;

	use(f, "user.json", arena_printf(f->c.arena, user_text, url(f, "/user")));
	answer("POST /user ", 200, "{\"access_token\": \"u\", \"expires_in\": 3600, \"scope\": \"x\"}");
	good(f);
	asked = with_asked("POST /user ", 0);
	assert_string_equal(field(f, asked, "grant_type"), "refresh_token");
	assert_string_equal(field(f, asked, "client_id"), "id-1");
	assert_string_equal(field(f, asked, "client_secret"), "GOCSPX+s/1");
	assert_string_equal(field(f, asked, "refresh_token"), "1//rt&x");
	assert_null(strstr(asked, "scope="));
	assert_null(f->v.text[GCP_EMAIL]);
	assert_string_equal(f->v.text[GCP_QUOTA], "payer");
	with_clear();
	answer("POST /user ", 400, "{\"error\": \"invalid_grant\", \"error_description\": \"bad 1//rt&x GOCSPX+s/1\"}");
	bad(f, "gcloud auth application-default login");
	assert_null(strstr(f->c.error.detail, "1//rt&x"));
	assert_null(strstr(f->c.error.detail, "GOCSPX"));
}

/* ---- order ---- */

static void order(void **state)
{
	struct fixture *f = *state;
	const char *config = arena_printf(f->c.arena, "%s/.config", folder);
	const char *gcloud = arena_printf(f->c.arena, "%s/gcloud", config);
	const char *host = arena_printf(f->c.arena, "127.0.0.1:%u", with.port);
	const char *named;

	bad(f, "The server has no Google Cloud credentials: GOOGLE_APPLICATION_CREDENTIALS is not set");
	setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9", 1);
	good(f);
	assert_string_equal(f->v.text[GCP_TOKEN], "");
	assert_int_equal(f->v.expires_ms, 0);
	assert_null(f->v.text[GCP_EMAIL]);

	with_add((struct answer){ "GET / ", 200, "Metadata-Flavor: Google\r\n", "computeMetadata/\n", 0 });
	answer("GET /computeMetadata/v1/instance/service-accounts/default/token ", 200,
	       "{\"access_token\": \"machine\", \"expires_in\": 3600}");
	answer("GET /computeMetadata/v1/instance/service-accounts/default/?recursive=true ", 200,
	       "{\"email\": \"" SA "\", \"scopes\": []}");
	answer("POST /user ", 200, "{\"access_token\": \"user\", \"expires_in\": 3600}");
	answer("POST /token ", 200, "{\"access_token\": \"account\", \"expires_in\": 3600}");
	setenv("GCE_METADATA_IP", host, 1);
	setenv("GCE_METADATA_HOST", host, 1);
	good(f);
	assert_string_equal(f->v.text[GCP_TOKEN], "machine");   /* set on purpose: also before an emulator */
	unsetenv("STORAGE_EMULATOR_HOST");

	/* What gcloud left is before the metadata server, but nothing for an emulator. */
	assert_int_equal(mkdir(config, 0700) | mkdir(gcloud, 0700), 0);
	use(f, ".config/gcloud/application_default_credentials.json", arena_printf(f->c.arena, user_text, url(f, "/user")));
	unsetenv("GOOGLE_APPLICATION_CREDENTIALS");
	good(f);
	assert_string_equal(f->v.text[GCP_TOKEN], "user");
	setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9", 1);
	good(f);
	assert_string_equal(f->v.text[GCP_TOKEN], "machine");
	setenv("CLOUDSDK_CONFIG", gcloud, 1);
	setenv("HOME", "/nonexistent", 1);
	good(f);
	assert_string_equal(f->v.text[GCP_TOKEN], "user");

	named = use(f, "sa.json", account_file(f, key_text, ""));
	good(f);
	assert_string_equal(f->v.text[GCP_TOKEN], "account");
	assert_int_equal(unlink(named), 0);     /* named, but missing: nothing else is tried */
	bad(f, "does not exist");

	/* The same file by its own name: what gcloud left, which may be missing. */
	setenv("GOOGLE_APPLICATION_CREDENTIALS",
	       arena_printf(f->c.arena, "%s/application_default_credentials.json", gcloud), 1);
	good(f);
	assert_string_equal(f->v.text[GCP_TOKEN], "user");
	assert_int_equal(unlink(getenv("GOOGLE_APPLICATION_CREDENTIALS")), 0);
	good(f);
	assert_string_equal(f->v.text[GCP_TOKEN], "machine");
}

static void metadata(void **state)
{
	struct fixture *f = *state;
	const char *host = arena_printf(f->c.arena, "127.0.0.1:%u", with.port);

	setenv("GCE_METADATA_HOST", host, 1);
	setenv("GCE_METADATA_IP", host, 1);
	answer("GET /computeMetadata/v1/instance/service-accounts/default/token ", 200,
	       "{\"access_token\": \"machine\", \"expires_in\": 3600}");
	with_add((struct answer){ "GET / ", 200, NULL, "another cloud's\n", 1 });
	bad(f, "no metadata server answers");
	with_add((struct answer){ "GET / ", 200, "Metadata-Flavor: Google\r\n", "computeMetadata/\n", 0 });
	with_add((struct answer){ "GET /computeMetadata/v1/instance/service-accounts/default/?recursive=true ", 200, NULL,
	                          "{\"email\": \"" SA "\"}", 1 });
	good(f);
	assert_string_equal(f->v.text[GCP_TOKEN], "machine");
	assert_string_equal(f->v.text[GCP_EMAIL], SA);
	assert_null(f->v.text[GCP_KEY]);
	assert_non_null(strcasestr(with_asked("GET / ", 1), "\r\nMetadata-Flavor: Google\r\n"));
	assert_non_null(strcasestr(with_asked("GET /computeMetadata", 0), "\r\nMetadata-Flavor: Google\r\n"));
	assert_non_null(strcasestr(with_asked("GET /computeMetadata", 1), "\r\nMetadata-Flavor: Google\r\n"));

	/* A workload identity pool's name is no address that could sign. */
	answer("GET /computeMetadata/v1/instance/service-accounts/default/?recursive=true ", 200,
	       "{\"email\": \"project.svc.id.goog\"}");
	good(f);
	assert_null(f->v.text[GCP_EMAIL]);
	setenv("NO_GCE_CHECK", "true", 1);
	bad(f, "no metadata server answers");
	setenv("NO_GCE_CHECK", "false", 1);
	with_clear();
	with_add((struct answer){ "GET / ", 200, "metadata-flavor: Google\r\n", "", 0 });
	bad(f, "The metadata server (http://127.0.0.1:");
	assert_non_null(strstr(f->c.error.message, "(status 404)"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(service_account, fixture_new, fixture_free),
		cmocka_unit_test_setup_teardown(refresh, fixture_new, fixture_free),
		cmocka_unit_test_setup_teardown(refusals, fixture_new, fixture_free),
		cmocka_unit_test_setup_teardown(broken_answers, fixture_new, fixture_free),
		cmocka_unit_test_setup_teardown(again, fixture_new, fixture_free),
		cmocka_unit_test_setup_teardown(files, fixture_new, fixture_free),
		cmocka_unit_test_setup_teardown(user, fixture_new, fixture_free),
		cmocka_unit_test_setup_teardown(order, fixture_new, fixture_free),
		cmocka_unit_test_setup_teardown(metadata, fixture_new, fixture_free),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
