/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* Tokens for other tokens: federation, impersonation, and signing without a key. */
#include "with_gcp.h"

static const char *external(struct fixture *f, const char *source, const char *more)
{
	return arena_printf(f->c.arena, "{\"type\": \"external_account\", \"audience\": \"//iam.googleapis.com/projects/1/x\","
	                    "\"subject_token_type\": \"urn:ietf:params:oauth:token-type:jwt\", \"token_url\": \"%s\","
	                    "\"credential_source\": %s%s}", url(f, "/sts"), source, more);
}

static void federated(void **state)
{
	struct fixture *f = *state;
	const char *subject = use(f, "subject", "subject-token-1\n");
	const char *source = arena_printf(f->c.arena, "{\"file\": \"%s\"}", subject);
	const char *asked;

	answer("POST /sts ", 200, "{\"access_token\": \"federated\", \"expires_in\": 3600}");
	use(f, "ext.json", external(f, source, ""));
	good(f);
	assert_string_equal(f->v.text[GCP_TOKEN], "federated");
	assert_null(f->v.text[GCP_EMAIL]);
	asked = with_asked("POST /sts ", 0);
	assert_string_equal(field(f, asked, "grant_type"), "urn:ietf:params:oauth:grant-type:token-exchange");
	assert_string_equal(field(f, asked, "audience"), "//iam.googleapis.com/projects/1/x");
	assert_string_equal(field(f, asked, "scope"), STORAGE);
	assert_string_equal(field(f, asked, "requested_token_type"), "urn:ietf:params:oauth:token-type:access_token");
	assert_string_equal(field(f, asked, "subject_token"), "subject-token-1");
	assert_string_equal(field(f, asked, "subject_token_type"), "urn:ietf:params:oauth:token-type:jwt");
	assert_null(strcasestr(asked, "authorization:"));
	assert_null(strstr(asked, "options="));

	/* A member of JSON, with a client of its own. */
	use(f, "subject", "{\"id_token\": \"in-json\"}");
	source = arena_printf(f->c.arena, "{\"file\": \"%s\", \"format\": {\"type\": \"json\", \"subject_token_field_name\": "
	                      "\"id_token\"}}", subject);
	use(f, "ext.json", external(f, source, ", \"client_id\": \"ann\", \"client_secret\": \"p:w\""));
	with_clear();
	answer("POST /sts ", 200, "{\"access_token\": \"federated\", \"expires_in\": 3600}");
	good(f);
	assert_string_equal(field(f, with_asked("POST /sts ", 0), "subject_token"), "in-json");
	assert_non_null(strstr(with_asked("POST /sts ", 0), "Authorization: Basic YW5uOnA6dw==\r\n"));
	use(f, "subject", "{\"other\": 1}");
	use(f, "ext.json", external(f, source, ""));
	bad(f, "is no JSON object with a text id_token");
	unlink(subject);
	bad(f, "The subject token file (credential_source.file of ");
	with_clear();
	use(f, "subject", "{\"id_token\": \"in-json-secret\"}");
	use(f, "ext.json", external(f, source, ""));
	answer("POST /sts ", 400, "{\"error\": \"invalid_grant\", \"error_description\": \"in-json-secret is expired\"}");
	bad(f, "issuer, audience and attribute condition");
	assert_string_equal(f->c.error.detail, "************** is expired");
}

static void impersonation(void **state)
{
	struct fixture *f = *state;
	const char *subject = use(f, "subject", "subject-token-1");
	const char *source = arena_printf(f->c.arena, "{\"file\": \"%s\"}", subject);
	const char *asked;

	answer("POST /sts ", 200, "{\"access_token\": \"federated\", \"expires_in\": 3600}");
	with_add((struct answer){ "POST " IMPERSONATE " ", 200, NULL,
	                          "{\"accessToken\": \"acting\", \"expireTime\": \"2099-01-02T03:04:05Z\"}", 1 });
	use(f, "ext.json", external(f, source, arena_printf(f->c.arena, ", \"service_account_impersonation_url\": \"%s\","
	                            "\"service_account_impersonation\": {\"token_lifetime_seconds\": 1800}",
	                            url(f, IMPERSONATE))));
	good(f);
	assert_string_equal(f->v.text[GCP_TOKEN], "acting");
	assert_string_equal(f->v.text[GCP_EMAIL], "target@p.iam.gserviceaccount.com");
	assert_null(f->v.text[GCP_KEY]);
	assert_int_equal(f->v.expires_ms, 4071006245000);
	assert_string_equal(field(f, with_asked("POST /sts ", 0), "scope"), IAM);
	asked = with_asked("POST " IMPERSONATE, 0);
	assert_non_null(strstr(asked, "\r\nAuthorization: Bearer federated\r\n"));
	assert_non_null(strstr(asked, "{\"scope\":[\"" STORAGE "\",\"" IAM "\"],\"delegates\":[],\"lifetime\":\"1800s\"}"));
	answer("POST " IMPERSONATE " ", 403, "{\"error\": {\"code\": 403, \"message\": \"Permission denied on resource for "
	       "federated\", \"status\": \"PERMISSION_DENIED\"}}");
	bad(f, "refused to let ");
	assert_non_null(strstr(f->c.error.message, "Workload Identity User"));
	assert_string_equal(f->c.error.detail, "Permission denied on resource for *********");
	with_clear();
	answer("POST /sts ", 200, "{\"access_token\": \"federated\", \"expires_in\": 3600}");
	answer("POST " IMPERSONATE " ", 200, "{\"accessToken\": \"acting\", \"expireTime\": \"soon\"}");
	bad(f, "does not say properly when");
}

static void sources(void **state)
{
	struct fixture *f = *state;
	const char *asked;

	use(f, "ext.json", external(f, "{\"executable\": {\"command\": \"/bin/echo\"}}", ""));
	bad(f, "is an executable: this server runs none");
	use(f, "ext.json", external(f, "{\"certificate\": {}}", ""));
	bad(f, "is a certificate");
	use(f, "ext.json", external(f, "{}", ""));
	bad(f, "either file or url");
	use(f, "ext.json", external(f, "{\"file\": \"/x\", \"url\": \"http://x\"}", ""));
	bad(f, "either file or url");
	use(f, "ext.json", external(f, "{\"file\": \"/x\"}", ", \"workforce_pool_user_project\": \"p\""));
	bad(f, "is no workforce pool");

	answer("GET /subject?a=b ", 200, "{\"value\": \"from-url\"}");
	answer("POST /sts ", 200, "{\"access_token\": \"federated\", \"expires_in\": 3600}");
	use(f, "ext.json", external(f, arena_printf(f->c.arena, "{\"url\": \"%s\", \"headers\": {\"Metadata\": \"True\"}, "
	                            "\"format\": {\"type\": \"json\", \"subject_token_field_name\": \"value\"}}",
	                            url(f, "/subject?a=b")), ""));
	good(f);
	assert_non_null(strstr(with_asked("GET /subject", 0), "\r\nMetadata: True\r\n"));
	assert_string_equal(field(f, with_asked("POST /sts ", 0), "subject_token"), "from-url");
	with_clear();
	answer("GET /subject", 403, "");
	bad(f, "gave no token (status 403)");
	assert_null(strstr(f->c.error.message, "a=b"));

	with_clear();
	answer("POST /sts ", 200, "{\"access_token\": \"federated\", \"expires_in\": 3600}");
	use(f, "ext.json", arena_printf(f->c.arena, "{\"type\": \"external_account_authorized_user\", \"audience\": \"a\","
	                                "\"refresh_token\": \"rt\", \"token_url\": \"%s\", \"client_id\": \"ann\", "
	                                "\"client_secret\": \"p:w\"}", url(f, "/sts")));
	good(f);
	asked = with_asked("POST /sts ", 0);
	assert_string_equal(field(f, asked, "grant_type"), "refresh_token");
	assert_string_equal(field(f, asked, "refresh_token"), "rt");
	assert_non_null(strstr(asked, "Authorization: Basic YW5uOnA6dw==\r\n"));
}

static const char *header_in(const json_t *call, const char *name)
{
	const json_t *one;
	size_t i;

	json_array_foreach(json_object_get(call, "headers"), i, one)
		if (strcasecmp(json_string_value(json_object_get(one, "key")), name) == 0)
			return json_string_value(json_object_get(one, "value"));
	return "";
}

static void aws_source(void **state)
{
	struct fixture *f = *state;
	const char *source = arena_printf(f->c.arena, "{\"environment_id\": \"aws1\", \"url\": \"%s\", \"region_url\": \"%s\","
		"\"imdsv2_session_token_url\": \"%s\", \"regional_cred_verification_url\": "
		"\"https://sts.{region}.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15\"}",
		url(f, "/roles"), url(f, "/zone"), url(f, "/session"));
	const char *token, *form;
	json_t *call;

	answer("POST /sts ", 200, "{\"access_token\": \"federated\", \"expires_in\": 3600}");
	answer("PUT /session ", 200, "imds");
	answer("GET /zone ", 200, "eu-west-3c");
	answer("GET /roles/role ", 200, "{\"AccessKeyId\": \"ASIAX\", \"SecretAccessKey\": \"sec\", \"Token\": \"session\"}");
	answer("GET /roles ", 200, "role");
	use(f, "ext.json", external(f, source, ""));
	good(f);
	assert_non_null(strstr(with_asked("PUT /session ", 0), "X-aws-ec2-metadata-token-ttl-seconds: 300\r\n"));
	assert_int_equal(with_count("PUT /session "), 1);
	assert_non_null(strstr(with_asked("GET /roles/role ", 0), "X-aws-ec2-metadata-token: imds\r\n"));
	form = field(f, with_asked("POST /sts ", 0), "subject_token");
	assert_null(strchr(form, '{'));         /* encoded once more within the form */
	token = field(f, arena_printf(f->c.arena, "\r\n\r\nx=%s", form), "x");
	call = json_loads(token, 0, NULL);
	assert_non_null(call);
	assert_string_equal(json_string_value(json_object_get(call, "method")), "POST");
	assert_string_equal(json_string_value(json_object_get(call, "url")),
	                    "https://sts.eu-west-3.amazonaws.com?Action=GetCallerIdentity&Version=2011-06-15");
	assert_string_equal(header_in(call, "host"), "sts.eu-west-3.amazonaws.com");
	assert_string_equal(header_in(call, "x-goog-cloud-target-resource"), "//iam.googleapis.com/projects/1/x");
	assert_string_equal(header_in(call, "x-amz-security-token"), "session");
	assert_non_null(strstr(header_in(call, "authorization"), "/eu-west-3/sts/aws4_request"));
	assert_non_null(strstr(header_in(call, "authorization"),
	                       "SignedHeaders=host;x-amz-date;x-amz-security-token;x-goog-cloud-target-resource"));
	json_decref(call);

	/* The environment comes first. */
	with_clear();
	answer("POST /sts ", 200, "{\"access_token\": \"federated\", \"expires_in\": 3600}");
	setenv("AWS_REGION", "us-east-2", 1);
	setenv("AWS_ACCESS_KEY_ID", "AKIAENV", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "sec", 1);
	good(f);
	assert_int_equal(with_count(""), 1);
	assert_non_null(strstr(with_asked("POST /sts ", 0), "AKIAENV"));
	use(f, "ext.json", external(f, "{\"environment_id\": \"aws2\", \"regional_cred_verification_url\": \"https://x\"}", ""));
	bad(f, "environment_id aws1");
}

/* ---- signing without a key ---- */

static const struct gcp_request plain = {
	.method = "GET", .host = "storage.googleapis.com", .path = "/b/o", .now = 1548975600,
};

static void acting(void **state)
{
	struct fixture *f = *state;
	struct net *n = net_new();
	const char *to_sign, *query = NULL;
	const char *sign = "POST /v1/projects/-/serviceAccounts/target%40p.iam.gserviceaccount.com:signBlob ";
	const char *asked;
	unsigned char encoded[4096];

	use(f, "imp.json", arena_printf(f->c.arena, "{\"type\": \"impersonated_service_account\", \"delegates\": [\"d1\", \"d2\"],"
	                                "\"service_account_impersonation_url\": \"%s\", \"source_credentials\": %s}",
	                                url(f, IMPERSONATE), account_file(f, key_text, "")));
	answer("POST /token ", 200, "{\"access_token\": \"source\", \"expires_in\": 1000}");
	answer("POST " IMPERSONATE " ", 200, "{\"accessToken\": \"acting\", \"expireTime\": \"2099-01-02T03:04:05.123Z\"}");
	answer(sign, 200, "{\"keyId\": \"k\", \"signedBlob\": \"AAH/\"}");
	good(f);
	judge(field(f, with_asked("POST /token ", 0), "assertion"), IAM);
	asked = with_asked("POST " IMPERSONATE, 0);
	assert_non_null(strstr(asked, "Bearer source\r\n"));
	assert_non_null(strstr(asked, "{\"scope\":[\"" STORAGE "\"],\"delegates\":[\"d1\",\"d2\"],\"lifetime\":\"3600s\"}"));
	assert_string_equal(f->v.text[GCP_TOKEN], "acting");
	assert_string_equal(f->v.text[GCP_SIGNER], "source\nd1\nd2");
	assert_in_range(f->v.expires_ms - clock_wall_ms(), 900000, 1000000);

	setenv("CAPSTAN_GCP_IAM_ENDPOINT", url(f, "/"), 1);
	assert_int_equal(gcp_presign(&f->c, n, &f->v, &plain, 60, &query), 0);
	assert_string_equal(strstr(query, "&X-Goog-Signature="), "&X-Goog-Signature=0001ff");
	asked = with_asked(sign, 0);
	assert_non_null(strstr(asked, "Bearer source\r\n"));
	to_sign = gcp_string_to_sign(&f->c, "target@p.iam.gserviceaccount.com", &plain, 60);
	EVP_EncodeBlock(encoded, (const unsigned char *)to_sign, (int)strlen(to_sign));
	assert_string_equal(strstr(asked, "\r\n\r\n") + 4, arena_printf(f->c.arena, "{\"payload\":\"%s\",\"delegates\":["
	                    "\"d1\",\"d2\"]}", (char *)encoded));

	/* By its own token, where nobody else's is known. */
	f->v.text[GCP_SIGNER] = NULL;
	assert_int_equal(gcp_presign(&f->c, n, &f->v, &plain, 60, &query), 0);
	assert_non_null(strstr(with_asked(sign, 1), "Bearer acting\r\n"));
	assert_null(strstr(with_asked(sign, 1), "delegates"));
	with_clear();
	answer(sign, 403, "{\"error\": {\"status\": \"PERMISSION_DENIED\", \"message\": \"denied\"}}");
	assert_int_equal(gcp_presign(&f->c, n, &f->v, &plain, 60, &query), -1);
	assert_non_null(strstr(f->c.error.message, "refused to sign a URL for target@p.iam.gserviceaccount.com"));
	assert_non_null(strstr(f->c.error.message, "iam.serviceAccounts.signBlob"));
	error_clear(&f->c);
	with_clear();
	answer(sign, 200, "{\"signedBlob\": \"A===\"}");
	assert_int_equal(gcp_presign(&f->c, n, &f->v, &plain, 60, &query), -1);
	assert_non_null(strstr(f->c.error.message, "without a signature"));
	error_clear(&f->c);
	setenv("CAPSTAN_GCP_IAM_ENDPOINT", "http://127.0.0.1.example.com/", 1);
	assert_int_equal(gcp_presign(&f->c, n, &f->v, &plain, 60, &query), -1);
	assert_non_null(strstr(f->c.error.message, "must begin with https://"));
	unsetenv("CAPSTAN_GCP_IAM_ENDPOINT");
	net_free(n);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(federated, fixture_new, fixture_free),
		cmocka_unit_test_setup_teardown(impersonation, fixture_new, fixture_free),
		cmocka_unit_test_setup_teardown(sources, fixture_new, fixture_free),
		cmocka_unit_test_setup_teardown(aws_source, fixture_new, fixture_free),
		cmocka_unit_test_setup_teardown(acting, fixture_new, fixture_free),
	};
	return cmocka_run_group_tests(tests, start, stop);
}
