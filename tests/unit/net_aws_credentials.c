/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* The chain of sources, against files and a server of its own for STS, container and instance metadata. Everything that
   is secret has "sEcReT" in it, and may be in no error. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <strings.h>

#include "with_aws.h"
#include "with_http.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "net/aws.h"
#include "net/net.h"

#include <cmocka.h>            /* last: it defines fail() */

static struct ctx c;
static struct identity_value got;

/* What the server does. */
static struct {
	atomic_int lifetime_s;
	atomic_int token_status, role_status, sts_status, container_status;
	atomic_int fail_first;          /* so many answers with 500 before others */
	atomic_int served;              /* container credentials */
	const char *sts_error;
	bool expired;
} plan;

static const char *expires(void)
{
	static char text[32];
	time_t at = time(NULL) + (plan.expired ? -100 : atomic_load(&plan.lifetime_s));
	struct tm tm;

	gmtime_r(&at, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
	return text;
}

static bool has(const char *request, const char *text)
{
	return strcasestr(request, text);
}

static const char *answer_sts(const char *request)
{
	static char text[4096];
	bool web = has(request, "Action=AssumeRoleWithWebIdentity&");

	if (atomic_load(&plan.sts_status) != 200) {
		snprintf(text, sizeof(text), "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error>"
		         "<Type>Sender</Type><Code>%s</Code><Message>not for web-sEcReT-token and sEcReT-session</Message>"
		         "</Error></ErrorResponse>", plan.sts_error);
		return http_text("403 Forbidden", text);
	}
	if (!has(request, "Content-Type: application/x-www-form-urlencoded") || !has(request, "Version=2011-06-15")
	    || web == has(request, "\r\nAuthorization:") || !has(request, "&RoleSessionName="))
		return http_text("400 Bad", "<ErrorResponse><Error><Code>Strict</Code></Error></ErrorResponse>");
	snprintf(text, sizeof(text), "<R xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><%sResult><Credentials>"
	         "<AccessKeyId>STS-%s</AccessKeyId><SecretAccessKey>sts-sEcReT</SecretAccessKey>"
	         "<SessionToken>sts-sEcReT-token</SessionToken><Expiration>%s</Expiration></Credentials></%sResult></R>",
	         web ? "AssumeRoleWithWebIdentity" : "AssumeRole",
	         has(request, "role%2Fsecond") ? "second" : "first", expires(),
	         web ? "AssumeRoleWithWebIdentity" : "AssumeRole");
	return http_text("200 OK", text);
}

static const char *credentials(const char *name)
{
	static char text[1024];

	snprintf(text, sizeof(text), "{\"Code\": \"Success\", \"AccessKeyId\": \"%s\", \"SecretAccessKey\": \"%s-sEcReT\", "
	         "\"Token\": \"%s-sEcReT-token\", \"Expiration\": \"%s\"}", name, name, name, expires());
	return http_text("200 OK", text);
}

static const char *answer_instance(const char *request)
{
	bool token = has(request, "\r\nx-aws-ec2-metadata-token: imds-sEcReT\r\n");
	int status = atomic_load(&plan.token_status);
	static const char folder[] = "GET /latest/meta-data/iam/security-credentials/";

	if (strncmp(request, "PUT /latest/api/token ", 22) == 0) {
		if (!has(request, "\r\nx-aws-ec2-metadata-token-ttl-seconds: 21600\r\n")
		    || !has(request, "\r\nContent-Length: 0\r\n"))
			return http_text("400 Bad", "");
		return status == 200 ? http_text("200 OK", "imds-sEcReT")
		                     : http_text(status == 403 ? "403 No" : "400 No", "");
	}
	if (!token && status == 200)
		return http_text("401 Unauthorized", "");
	if (strncmp(request, folder, sizeof(folder) - 1) != 0)
		return http_text("404 Not Found", "");
	request += sizeof(folder) - 1;
	if (*request == ' ')
		return atomic_load(&plan.role_status) == 200 ? http_text("200 OK", "the-role")
		                                             : http_text("404 Not Found", "");
	return strncmp(request, "the-role ", 9) == 0 ? credentials(token ? "IMDS" : "IMDSv1")
	                                            : http_text("404 Not Found", "");
}

static const char *answer_container(const char *request)
{
	static char name[32];

	if (atomic_load(&plan.container_status) != 200)
		return http_text("403 Forbidden", "{\"code\": \"AccessDenied\", \"message\": \"no pod-sEcReT\"}");
	if (!has(request, "\r\nAuthorization: pod-sEcReT") || !has(request, "\r\nAccept: application/json\r\n"))
		return http_text("401 No", "");
	snprintf(name, sizeof(name), "POD%d", atomic_fetch_add(&plan.served, 1) + 1);
	return credentials(name);
}

static const char *answer(const char *request)
{
	if (atomic_fetch_sub(&plan.fail_first, 1) > 0)
		return http_text("500 Oops", "");
	if (strncmp(request, "POST / ", 7) == 0)
		return answer_sts(request);
	if (strncmp(request, "GET /pod ", 9) == 0)
		return answer_container(request);
	return answer_instance(request);
}

static const char *url(const char *path)
{
	return arena_printf(c.arena, "http://127.0.0.1:%u%s", http.port, path);
}

static int begin(void **state)
{
	(void)state;
	aws_clear_environment();
	aws_remove(".aws/config");
	aws_remove(".aws/credentials");
	memset(&plan, 0, sizeof(plan));
	atomic_store(&plan.lifetime_s, 3600);
	plan.token_status = plan.role_status = plan.sts_status = plan.container_status = 200;
	plan.sts_error = "AccessDenied";
	c = (struct ctx){ .arena = arena_new(64 << 20) };
	return !c.arena;
}

static int end(void **state)
{
	(void)state;
	arena_free(c.arena);
	return 0;
}

static int get(void)
{
	struct identity *i = aws_identity_new();
	int result;

	error_clear(&c);
	result = identity_get(&c, i, 20000, &got);
	identity_free(i);
	return result;
}

static void same(const char *is, const char *want, const char *what)
{
	if (!is != !want || (is && strcmp(is, want) != 0))
		fail_msg("%s: %s, not %s", what, is ? is : "(none)", want ? want : "(none)");
}

static void expect(const char *key_id, const char *secret, const char *token)
{
	if (get())
		fail_msg("%s (%s)", c.error.message, c.error.detail ? c.error.detail : "");
	same(got.text[AWS_KEY_ID], key_id, "key");
	same(got.text[AWS_SECRET], secret, "secret");
	same(got.text[AWS_TOKEN], token, "token");
}

static void check_words(const char *words)
{
	if (!strstr(c.error.message, words))
		fail_msg("no '%s' in: %s (%s)", words, c.error.message, c.error.detail ? c.error.detail : "");
	if (strstr(c.error.message, "sEcReT") || (c.error.detail && strstr(c.error.detail, "sEcReT")))
		fail_msg("a secret in: %s (%s)", c.error.message, c.error.detail ? c.error.detail : "");
}

static void expect_failure(const char *words)
{
	assert_int_equal(get(), -1);
	assert_int_equal(c.error.code == PERMISSION_DENIED || c.error.code == INVALID_PARAMETER_VALUE
	                 || c.error.code == TEMPORARILY_UNAVAILABLE, true);
	check_words(words);
}

/* Each source is used only while none before it is configured. */
static void precedence(void **state)
{
	(void)state;
	setenv("AWS_EC2_METADATA_DISABLED", "false", 1);
	setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", url(""), 1);
	expect("IMDS", "IMDS-sEcReT", "IMDS-sEcReT-token");
	setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url("/pod"), 1);
	setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "pod-sEcReT", 1);
	expect("POD1", "POD1-sEcReT", "POD1-sEcReT-token");
	aws_write(".aws/config", "[default]\naws_access_key_id=CONFIG\naws_secret_access_key=c-sEcReT\n");
	expect("CONFIG", "c-sEcReT", NULL);
	aws_write(".aws/config", "[default]\naws_access_key_id=CONFIG\naws_secret_access_key=c-sEcReT\n"
	          "credential_process = printf '{\"Version\": 1, \"AccessKeyId\": \"PROC\", \"SecretAccessKey\": \"p-sEcReT\"}'\n");
	expect("PROC", "p-sEcReT", NULL);
	aws_write(".aws/credentials", "[default]\naws_access_key_id = SHARED\naws_secret_access_key = s-sEcReT;#=x\n"
	          "aws_session_token = t=t\n");
	expect("SHARED", "s-sEcReT;#=x", "t=t");
	aws_write("token", "web-sEcReT-token");
	setenv("AWS_ENDPOINT_URL_STS", url(""), 1);
	setenv("AWS_WEB_IDENTITY_TOKEN_FILE", aws_path("token"), 1);
	setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/first", 1);
	expect("STS-first", "sts-sEcReT", "sts-sEcReT-token");
	aws_write(".aws/config", "[default]\nrole_arn = arn:aws:iam::1:role/second\nsource_profile = default\n");
	expect("STS-second", "sts-sEcReT", "sts-sEcReT-token");
	setenv("AWS_ACCESS_KEY_ID", "ENV", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "e-sEcReT", 1);
	expect("ENV", "e-sEcReT", NULL);
	setenv("AWS_SESSION_TOKEN", "e-sEcReT-token", 1);
	expect("ENV", "e-sEcReT", "e-sEcReT-token");
	assert_int_equal(got.expires_ms, 0);
	setenv("AWS_CREDENTIAL_EXPIRATION", "2999-01-01T00:00:00+01:00", 1);
	expect("ENV", "e-sEcReT", "e-sEcReT-token");
	assert_int_equal(got.expires_ms, 32472140400000);
	setenv("AWS_CREDENTIAL_EXPIRATION", "2001-01-01T00:00:00Z", 1);
	expect_failure("have expired");
	unsetenv("AWS_SECRET_ACCESS_KEY");
	expect_failure("but not AWS_SECRET_ACCESS_KEY");
}

static void nothing(void **state)
{
	(void)state;
	expect_failure("The server has no AWS credentials.");
	check_words("AWS_EC2_METADATA_DISABLED is set");
	assert_non_null(strstr(c.error.detail, "/.aws/credentials"));
	assert_int_equal(c.error.code, PERMISSION_DENIED);
}

static void profiles(void **state)
{
	(void)state;
	static const struct {
		const char *config, *credentials, *words;
	} cases[] = {
		{ "[profile p]\naws_access_key_id = A\n", "", "'p' in the AWS config file has no aws_secret_access_key" },
		{ "", "[p]\naws_access_key_id = A\naws_secret_access_key =\n", "credentials file has no aws_secret_access_key" },
		{ "[profile p]\nsso_account_id = 1\nsso_role_name = r\n", "", "cannot sign in with a browser" },
		{ "[profile p]\nlogin_session = 1\n", "", "cannot sign in with a browser" },
		{ "[profile p]\nrole_arn = r\n", "", "but neither source_profile nor credential_source" },
		{ "[profile p]\nrole_arn = r\nsource_profile = p\ncredential_source = Environment\n", "", "and both" },
		{ "[profile p]\nrole_arn = r\ncredential_source = environment\n", "", "is not one of Environment" },
		{ "[profile p]\nrole_arn = r\ncredential_source = Environment\n", "", "gave no credentials" },
		{ "[profile p]\nrole_arn = r\nsource_profile = q\n", "", "'q' of the AWS profile 'p' does not exist" },
		{ "[profile p]\nrole_arn = r\nsource_profile = q\n[profile q]\nregion=x\n", "", "'q' of the AWS profile 'p' has no credentials" },
		{ "[profile p]\nrole_arn = r\nsource_profile = p\n", "", "in a circle" },
		{ "[profile p]\nrole_arn = r\nsource_profile = q\n[profile q]\nrole_arn=s\nsource_profile = p\n", "", "in a circle" },
		{ "[profile p]\nrole_arn = r\nsource_profile = p\nmfa_serial = 1\n", "", "cannot enter a code" },
		{ "[profile p]\nweb_identity_token_file = /nothing\n", "", "but no role" },
		{ "[profile p]\nweb_identity_token_file = /nothing/x\nrole_arn = r\n", "", "does not exist" },
		{ "[profile q]\n", "", "The AWS profile 'p' (AWS_PROFILE) is neither" },
		{ "[profile p\n", "", "The server's AWS config file cannot be parsed" },
	};

	setenv("AWS_PROFILE", "p", 1);
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		aws_write(".aws/config", cases[i].config);
		aws_write(".aws/credentials", cases[i].credentials);
		expect_failure(cases[i].words);
	}
}

static void roles(void **state)
{
	(void)state;
	setenv("AWS_PROFILE", "top", 1);
	setenv("AWS_ENDPOINT_URL_STS", url(""), 1);
	setenv("AWS_DEFAULT_REGION", "eu-north-1", 1);
	aws_write(".aws/config", "[profile top]\nrole_arn = arn:aws:iam::1:role/second\nsource_profile = middle\n"
	          "duration_seconds = 900\nexternal_id = ex ternal\nrole_session_name = sess\n"
	          "[profile middle]\nrole_arn = arn:aws:iam::1:role/first\nsource_profile = keys\n");
	aws_write(".aws/credentials", "[keys]\naws_access_key_id = KEYS\naws_secret_access_key = k-sEcReT\n"
	          "aws_session_token = sEcReT-session\n");
	expect("STS-second", "sts-sEcReT", "sts-sEcReT-token");
	assert_in_range(got.expires_ms, clock_wall_ms() + 3500000, clock_wall_ms() + 3600000);
	assert_true(has(http.request, "Credential=STS-first/"));
	assert_true(has(http.request, "/eu-north-1/sts/aws4_request"));
	assert_true(has(http.request, "\r\nx-amz-security-token: sts-sEcReT-token\r\n"));
	assert_true(has(http.request, "&DurationSeconds=900"));
	assert_true(has(http.request, "&ExternalId=ex%20ternal"));
	assert_true(has(http.request, "&RoleSessionName=sess"));
	atomic_store(&plan.sts_status, 403);
	expect_failure("could not assume the role arn:aws:iam::1:role/first at 127.0.0.1");
	check_words("AccessDenied (HTTP 403)");
	assert_null(c.error.detail);                    /* its words had the session token */
	atomic_store(&plan.sts_status, 200);
	setenv("AWS_ACCESS_KEY_ID", "", 1);
	aws_write(".aws/config", "[profile top]\nrole_arn = r\ncredential_source = EcsContainer\n");
	setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url("/pod"), 1);
	setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "pod-sEcReT", 1);
	expect("STS-first", "sts-sEcReT", "sts-sEcReT-token");
	assert_true(has(http.request, "Credential=POD1/"));
}

static void web_identity(void **state)
{
	(void)state;
	setenv("AWS_ENDPOINT_URL", url(""), 1);
	setenv("AWS_WEB_IDENTITY_TOKEN_FILE", aws_path("token"), 1);
	setenv("AWS_ROLE_SESSION_NAME", "from-env", 1);
	aws_write("token", "web-sEcReT-token\n");
	expect_failure("but no role");
	setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/first", 1);
	atomic_store(&plan.fail_first, 2);              /* tried again */
	expect("STS-first", "sts-sEcReT", "sts-sEcReT-token");
	assert_true(has(http.request, "&WebIdentityToken=web-sEcReT-token"));
	assert_false(has(http.request, "web-sEcReT-token%0A"));
	assert_true(has(http.request, "&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Ffirst&RoleSessionName=from-env"));
	atomic_store(&plan.sts_status, 403);
	plan.sts_error = "ExpiredTokenException";
	expect_failure("ExpiredTokenException (HTTP 403)");
	assert_null(c.error.detail);
	assert_int_equal(c.error.code, PERMISSION_DENIED);
	aws_write("token", "another");                  /* read anew; and now its words may be logged */
	assert_int_equal(get(), -1);
	assert_non_null(c.error.detail);
	unlink(aws_path("token"));
	expect_failure("does not exist");
	aws_write("token", "web-sEcReT-token");
	setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1", 1);
	expect_failure("at 127.0.0.1:1: The connection was refused");
	assert_int_equal(c.error.code, TEMPORARILY_UNAVAILABLE);
	setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true", 1);
	setenv("AWS_REGION", "no/such", 1);
	expect_failure("The AWS region 'no/such' is not valid.");
}

/* Where STS is; a proxy that is not there keeps us from asking. */
static void sts_hosts(void **state)
{
	(void)state;
	static const struct {
		const char *region, *mode, *words;
	} cases[] = {
		{ "eu-north-1", "regional", "at sts.eu-north-1.amazonaws.com: " },
		{ "eu-north-1", "legacy", "at sts.amazonaws.com: " },
		{ "cn-north-1", "legacy", "at sts.cn-north-1.amazonaws.com.cn: " },
		{ "", "", "at sts.amazonaws.com: " },
	};

	setenv("https_proxy", "http://127.0.0.1:1", 1);
	setenv("AWS_WEB_IDENTITY_TOKEN_FILE", aws_path("token"), 1);
	setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/first", 1);
	aws_write("token", "web-sEcReT-token");
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		setenv("AWS_REGION", cases[i].region, 1);
		setenv("AWS_STS_REGIONAL_ENDPOINTS", cases[i].mode, 1);
		expect_failure(cases[i].words);
	}
	unsetenv("https_proxy");
}

static void processes(void **state)
{
	(void)state;
	static const struct {
		const char *command, *words;
	} cases[] = {
		{ "/nothing/there", "cannot be started" },
		{ "'open", "not quoted correctly" },
		{ "sh -c 'echo sEcReT; exit 3'", "it failed (exit status 3)" },
		{ "sh -c 'kill -9 $$'", "it failed (signal 9)" },
		{ "echo sEcReT", "no JSON object" },
		{ "echo '{\"Version\": 2, \"AccessKeyId\": \"sEcReT\"}'", "is not 1" },
		{ "echo '{\"Version\": 1, \"SecretAccessKey\": \"sEcReT\"}'", "\"AccessKeyId\" is missing" },
		{ "echo '{\"Version\": 1, \"AccessKeyId\": \"A\", \"SecretAccessKey\": \"sEcReT\", \"Expiration\": \"soon\"}'", "no ISO 8601" },
		{ "head -c 100000 /dev/zero", "longer than" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		aws_write(".aws/config", arena_printf(c.arena, "[default]\ncredential_process = %s\n", cases[i].command));
		expect_failure(cases[i].words);
		check_words("credential_process of the AWS profile 'default'");
	}
	aws_write(".aws/config", "[default]\ncredential_process = sh -c 'echo trouble >&2; exit 1'\n");
	expect_failure("exit status 1");
	assert_string_equal(c.error.detail, "trouble\n");
	aws_write("program", "#!/bin/sh\nread x && exit 9\n[ \"$1\" = 'a b\"c' ] && [ \"$2\" = 'd\\e' ] && [ $# = 3 ] && "
	          "printf '{\"Version\": 1, \"AccessKeyId\": \"P\", \"SecretAccessKey\": \"p-sEcReT\", "
	          "\"SessionToken\": \"t-sEcReT\", \"Expiration\": \"2999-01-01T00:00:00.5Z\"}'\n");
	chmod(aws_path("program"), 0700);
	aws_write(".aws/config", arena_printf(c.arena, "[default]\ncredential_process = %s \"a b\\\"c\" 'd\\e'  ''\n",
	                                      aws_path("program")));
	expect("P", "p-sEcReT", "t-sEcReT");
	assert_int_equal(got.expires_ms, 32472144000500);
}

/* A program that hangs does not hold the end up, and ends with what it began. */
static void process_hangs(void **state)
{
	(void)state;
	struct identity *i = aws_identity_new();
	int64_t began = clock_ms();

	aws_write(".aws/config", arena_printf(c.arena, "[default]\ncredential_process = sh -c 'sleep 30; touch %s'\n",
	                                      aws_path("other")));
	assert_int_equal(identity_get(&c, i, 200, &got), -1);
	identity_free(i);
	assert_in_range(clock_ms() - began, 0, 2000);
}

static void containers(void **state)
{
	(void)state;
	static const char *const wrong[] = {
		"http://example.com/x", "http://169.254.169.254/x", "http://localhost@example.com/", "ftp://localhost/",
		"http://128.0.0.1/", "nothing", "http://127.0.0.1.example.com/", "http://[::2]/",
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", wrong[i], 1);
		expect_failure("AWS_CONTAINER_CREDENTIALS_FULL_URI must be");
	}
	setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", arena_printf(c.arena, "http://localhost:%u/pod", http.port), 1);
	setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", aws_path("token"), 1);
	setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "not this", 1);
	setenv("http_proxy", "http://127.0.0.1:1", 1);  /* never asked */
	aws_write("token", "pod-sEcReT-1");
	atomic_store(&plan.fail_first, 1);
	expect("POD1", "POD1-sEcReT", "POD1-sEcReT-token");
	aws_write("token", "pod-sEcReT-2");
	expect("POD2", "POD2-sEcReT", "POD2-sEcReT-token");
	assert_true(has(http.request, "\r\nAuthorization: pod-sEcReT-2\r\n"));
	aws_write("token", "pod-sEcReT\nX: y");
	expect_failure("more than one line");
	aws_write("token", "wrong");
	expect_failure("(AWS_CONTAINER_CREDENTIALS_FULL_URI) gave none: it answered HTTP 401");
	aws_write("token", "pod-sEcReT");
	atomic_store(&plan.container_status, 403);
	expect_failure("it answered HTTP 403");
	assert_null(c.error.detail);
	unlink(aws_path("token"));
	expect_failure("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE does not exist");
	unsetenv("http_proxy");
}

static void instances(void **state)
{
	(void)state;
	int before;

	setenv("AWS_EC2_METADATA_DISABLED", "false", 1);
	setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", url("/"), 1);
	setenv("http_proxy", "http://127.0.0.1:1", 1);  /* never asked */
	expect("IMDS", "IMDS-sEcReT", "IMDS-sEcReT-token");
	atomic_store(&plan.token_status, 403);          /* version 1 */
	expect("IMDSv1", "IMDSv1-sEcReT", "IMDSv1-sEcReT-token");
	setenv("AWS_EC2_METADATA_V1_DISABLED", "true", 1);
	expect_failure("version 1 is switched off");
	unsetenv("AWS_EC2_METADATA_V1_DISABLED");
	atomic_store(&plan.token_status, 400);
	expect_failure("HTTP 400 to the request for a token");
	atomic_store(&plan.token_status, 200);
	atomic_store(&plan.role_status, 404);
	expect_failure("no role is attached to this instance");
	atomic_store(&plan.role_status, 200);
	plan.expired = true;                            /* the service is troubled: they are good a while longer */
	expect("IMDS", "IMDS-sEcReT", "IMDS-sEcReT-token");
	assert_in_range(got.expires_ms, clock_wall_ms() + 800000, clock_wall_ms() + 900000);
	plan.expired = false;
	atomic_store(&plan.fail_first, 1);              /* what has answered is asked again */
	expect("IMDS", "IMDS-sEcReT", "IMDS-sEcReT-token");
	atomic_store(&plan.fail_first, 20);
	expect_failure("gives no credentials for now: HTTP 500");
	assert_int_equal(c.error.code, TEMPORARILY_UNAVAILABLE);
	atomic_store(&plan.fail_first, 1);
	setenv("AWS_METADATA_SERVICE_NUM_ATTEMPTS", "2", 1);
	expect("IMDS", "IMDS-sEcReT", "IMDS-sEcReT-token");
	before = atomic_load(&http.requests);
	setenv("AWS_EC2_METADATA_DISABLED", "TRUE", 1);
	expect_failure("AWS_EC2_METADATA_DISABLED is set");
	assert_int_equal(atomic_load(&http.requests), before);
	setenv("AWS_EC2_METADATA_DISABLED", "false", 1);
	setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "ipv5", 1);
	expect_failure("neither ipv4 nor ipv6");
	setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "ipv4", 1);
	setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1/", 1);
	expect_failure("(no connection)");
	unsetenv("http_proxy");
}

/* Short-lived ones are fetched again before they end, and never given out after it. */
static void refreshed(void **state)
{
	(void)state;
	struct identity *i = aws_identity_new();
	int64_t until = clock_ms() + 4000;

	setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url("/pod"), 1);
	setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "pod-sEcReT", 1);
	atomic_store(&plan.lifetime_s, 3);
	assert_int_equal(identity_get(&c, i, 5000, &got), 0);
	while (clock_ms() < until) {
		assert_int_equal(identity_get(&c, i, 0, &got), 0);
		assert_true(got.expires_ms > clock_wall_ms());
		usleep(10000);
	}
	assert_in_range(atomic_load(&plan.served), 2, 7);
	identity_free(i);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(precedence), TEST(nothing), TEST(profiles), TEST(roles), TEST(web_identity), TEST(sts_hosts),
		TEST(processes), TEST(process_hangs), TEST(containers), TEST(instances), TEST(refreshed),
	};
	int result;

	net_init();
	log_configure(LOG_ERROR, LOG_TEXT);
	aws_make_home();
	if (http_start(answer))
		return 1;
	result = cmocka_run_group_tests(tests, NULL, NULL);
	http_stop();
	aws_remove_home();
	return result;
}
