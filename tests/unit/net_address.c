/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "net/net.h"

#include <cmocka.h>            /* last: it defines fail() */

static const char *const open[] = {
	"8.8.8.8", "1.1.1.1", "93.184.216.34", "100.63.255.255", "100.128.0.0", "172.15.255.255",
	"172.32.0.0", "192.0.1.0", "192.169.0.1", "11.0.0.0", "9.255.255.255", "198.17.255.255",
	"198.20.0.0", "223.255.255.255", "169.253.0.1", "128.0.0.1", "2606:4700::1111",
	"[2606:4700::1111]", "2a00:1450:4001::200e", "2001:4860:4860::8888", "2001:200::1",
	"::ffff:8.8.8.8", "::FFFF:0808:0808", "64:ff9b::8.8.8.8", "2002:808:808::1",
	"2606:4700::5efe:8.8.8.8",
};

static const char *const closed[] = {
	"", "[]", "[", "localhost", "8.8.8", "8.8.8.8.8", "0177.0.0.1", "2130706433", "127.1", " 8.8.8.8",
	"8.8.8.8 ", "256.1.1.1", "fe80::1%eth0", "1:2", "8.8.8.8:80", "[8.8.8.8",
	"0.0.0.0", "0.255.255.255", "10.0.0.1", "10.255.255.255", "100.64.0.0", "100.100.100.200",
	"100.127.255.255", "127.0.0.1", "127.255.255.255", "169.254.169.254", "169.254.0.1",
	"172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1",
	"192.168.0.1", "192.168.255.255", "198.18.0.1", "198.19.255.255", "198.51.100.7",
	"203.0.113.9", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
	"::", "::1", "[::1]", "::127.0.0.1", "::8.8.8.8", "fe80::1", "febf::1", "fec0::1", "fc00::1",
	"fd00:ec2::254", "ff02::1", "100::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2",
	"2001:10::1", "2001:20::1", "2001:2::1", "2001:db8::1", "3fff::1", "3fff:fff::1", "5f00::1",
	"4000::1", "64:ff9b:1::8.8.8.8", "::ffff:0:8.8.8.8",
	/* IPv4 inside of IPv6 */
	"::ffff:127.0.0.1", "::ffff:7f00:1", "::ffff:10.0.0.1", "::ffff:100.64.0.1",
	"::ffff:169.254.169.254", "::ffff:192.168.1.1", "[::ffff:172.16.0.1]", "64:ff9b::127.0.0.1",
	"64:ff9b::a9fe:a9fe", "64:ff9b::100.64.0.1", "2002:7f00:1::", "2002:a00:1::1",
	"2002:a9fe:a9fe::1", "2002:6440:1::", "2606:4700::5efe:10.0.0.1",
	"2606:4700::200:5efe:10.0.0.1",
};

static void addresses(void **state)
{
	(void)state;
	assert_false(net_address_public(NULL));
	for (size_t i = 0; i < sizeof(open) / sizeof(*open); i++) {
		if (!net_address_public(open[i]))
			fail_msg("%s is public", open[i]);
	}
	for (size_t i = 0; i < sizeof(closed) / sizeof(*closed); i++) {
		if (net_address_public(closed[i]))
			fail_msg("'%s' is not public", closed[i]);
	}
}

static void texts(void **state)
{
	struct ctx c = { .arena = arena_new(1 << 20) };

	(void)state;
	assert_string_equal(net_url(&c, "http://h:1/p/", "a/b"), "http://h:1/p/a/b");
	assert_string_equal(net_url(&c, "http://h:1", "/a"), "http://h:1/a");
	assert_string_equal(net_url(&c, "http://h", ""), "http://h/");
	assert_string_equal(net_encode(&c, "a b/\xc3\xa4?#%-._~", false), "a%20b%2F%C3%A4%3F%23%25-._~");
	assert_string_equal(net_encode(&c, "a b/c", true), "a%20b/c");
	assert_string_equal(net_encode(&c, "", true), "");
	arena_free(c.arena);
}

static void resolving(void **state)
{
	struct ctx c = { .arena = arena_new(1 << 20) };
	struct net_host h;

	(void)state;
	assert_int_equal(net_resolve(&c, "127.0.0.1", 5000, &h), 0);
	assert_false(h.is_public);
	assert_string_equal(h.address, "127.0.0.1");
	assert_int_equal(h.error, 0);
	assert_int_equal(net_resolve(&c, "8.8.8.8", 5000, &h), 0);
	assert_true(h.is_public);
	assert_int_equal(net_resolve(&c, "0x7f.1", 5000, &h), 0);
	assert_false(h.is_public);
	assert_int_equal(net_resolve(&c, "localhost", 5000, &h), 0);
	assert_false(h.is_public);
	assert_int_equal(net_resolve(&c, "::ffff:10.0.0.1", 5000, &h), 0);
	assert_false(h.is_public);
	assert_string_equal(h.address, "::ffff:10.0.0.1");
	arena_free(c.arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses),
		cmocka_unit_test(texts),
		cmocka_unit_test(resolving),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
