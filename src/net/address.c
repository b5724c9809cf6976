/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * What is public follows IANA's special-purpose registries (RFC 6890 and what came after it). It is stricter than
 * Python's is_global where that lets through what nobody serves from: multicast, 6to4 relays, Teredo.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "address.h"
#include "net/net.h"

struct block4 {
	uint32_t network;
	unsigned bits;
};

#define IP4(a, b, c, d) ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (d))

static const struct block4 closed4[] = {
	{ IP4(0, 0, 0, 0), 8 },         /* this network */
	{ IP4(10, 0, 0, 0), 8 },
	{ IP4(100, 64, 0, 0), 10 },     /* carrier-grade NAT; also cloud metadata services */
	{ IP4(127, 0, 0, 0), 8 },
	{ IP4(169, 254, 0, 0), 16 },    /* link-local: cloud metadata services */
	{ IP4(172, 16, 0, 0), 12 },
	{ IP4(192, 0, 0, 0), 24 },      /* protocol assignments */
	{ IP4(192, 0, 2, 0), 24 },      /* documentation */
	{ IP4(192, 88, 99, 0), 24 },    /* 6to4 relays, given up */
	{ IP4(192, 168, 0, 0), 16 },
	{ IP4(198, 18, 0, 0), 15 },     /* benchmarks */
	{ IP4(198, 51, 100, 0), 24 },   /* documentation */
	{ IP4(203, 0, 113, 0), 24 },    /* documentation */
	{ IP4(224, 0, 0, 0), 4 },       /* multicast */
	{ IP4(240, 0, 0, 0), 4 },       /* reserved, broadcast */
};

static bool public4(uint32_t address)
{
	for (size_t i = 0; i < sizeof(closed4) / sizeof(*closed4); i++) {
		if ((address ^ closed4[i].network) >> (32 - closed4[i].bits) == 0)
			return false;
	}
	return true;
}

static uint32_t ip4_at(const uint8_t *p)
{
	return IP4(p[0], p[1], p[2], p[3]);
}

static bool begins(const uint8_t *address, const char *prefix, size_t n)
{
	return memcmp(address, prefix, n) == 0;
}

/* An interface identifier made of an IPv4 address, with the bit "globally unique" or without. */
static bool is_isatap(const uint8_t *a)
{
	return (a[8] == 0 || a[8] == 2) && a[9] == 0 && a[10] == 0x5e && a[11] == 0xfe;
}

static bool public6(const uint8_t *a)
{
	if (begins(a, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12))           /* ::ffff:0:0/96 mapped */
		return public4(ip4_at(a + 12));
	if (begins(a, "\0\x64\xff\x9b\0\0\0\0\0\0\0\0", 12))         /* 64:ff9b::/96 NAT64 */
		return public4(ip4_at(a + 12));
	if (begins(a, "\x20\x02", 2))                                /* 2002::/16 6to4 */
		return public4(ip4_at(a + 2));
	if ((a[0] & 0xe0) != 0x20)                                   /* 2000::/3: all global unicast */
		return false;
	if (begins(a, "\x20\x01", 2) && a[2] < 2)                    /* 2001::/23: Teredo, ORCHID, benchmarks */
		return false;
	if (begins(a, "\x20\x01\x0d\xb8", 4))                        /* documentation */
		return false;
	if (begins(a, "\x3f\xff", 2) && a[2] < 0x10)                 /* 3fff::/20 documentation */
		return false;
	return !is_isatap(a) || public4(ip4_at(a + 12));
}

bool net_address_public(const char *address)
{
	char bare[INET6_ADDRSTRLEN];
	uint8_t bytes[16];
	size_t n = address ? strlen(address) : 0;

	if (n >= 2 && address[0] == '[' && address[n - 1] == ']') {
		address++;
		n -= 2;
	}
	if (!n || n >= sizeof(bare))
		return false;
	memcpy(bare, address, n);
	bare[n] = '\0';
	if (inet_pton(AF_INET, bare, bytes) == 1)
		return public4(ip4_at(bytes));
	return inet_pton(AF_INET6, bare, bytes) == 1 && public6(bytes);
}

bool address_public(const struct sockaddr *address)
{
	struct sockaddr_in in4;
	struct sockaddr_in6 in6;

	if (address->sa_family == AF_INET) {
		memcpy(&in4, address, sizeof(in4));
		return public4(ntohl(in4.sin_addr.s_addr));
	}
	if (address->sa_family == AF_INET6) {
		memcpy(&in6, address, sizeof(in6));
		return public6(in6.sin6_addr.s6_addr);
	}
	return false;
}
