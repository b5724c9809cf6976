/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "net/xml.h"

#include <cmocka.h>            /* last: it defines fail() */

static struct ctx c;

static int new_ctx(void **state)
{
	(void)state;
	c = (struct ctx){ .arena = arena_new(256 << 20) };
	return !c.arena;
}

static int free_ctx(void **state)
{
	(void)state;
	arena_free(c.arena);
	return 0;
}

static const struct net_xml *read_text(const char *xml)
{
	const struct net_xml *ret = NULL;

	error_clear(&c);
	return net_xml_read(&c, xml, strlen(xml), &ret) ? NULL : ret;
}

static void tree(void **state)
{
	(void)state;
	const struct net_xml *root = read_text(
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<R xmlns=\"http://x/\" a=\"1\">\n  <!-- no -->\n"
		"  <Key> a&amp;b&#x20AC;<![CDATA[<&]]> </Key>\n  <x:C><Key>2</Key><Empty/></x:C>"
		"<C><Key>3</Key></C>\n</R>");
	const struct net_xml *x;

	assert_non_null(root);
	assert_string_equal(root->name, "R");
	assert_string_equal(root->text, "");
	assert_string_equal(net_xml_text(root, "Key"), " a&b\xE2\x82\xAC<& ");
	assert_null(net_xml_text(root, "Nothing"));
	assert_null(net_xml_text(NULL, "Key"));
	x = net_xml_child(root, "C");
	assert_string_equal(net_xml_text(x, "Key"), "2");
	assert_string_equal(net_xml_text(x, "Empty"), "");
	assert_ptr_equal(x->parent, root);
	x = net_xml_find(root, NULL, "Key");
	assert_string_equal(x->text, " a&b\xE2\x82\xAC<& ");
	x = net_xml_find(root, x, "Key");
	assert_string_equal(x->text, "2");
	x = net_xml_find(root, x, "Key");
	assert_string_equal(x->text, "3");
	assert_null(net_xml_find(root, x, "Key"));
	assert_ptr_equal(net_xml_find(root, NULL, "R"), root);
	x = net_xml_child(root, "C");
	assert_null(net_xml_find(x, net_xml_find(x, NULL, "Key"), "Key"));      /* not out of x */
}

static void refused(void **state)
{
	(void)state;
	static const char *const wrong[] = {
		"", " ", "no", "<a>", "<a></b>", "<a/><b/>", "<a>&x;</a>", "<a>\x01</a>", "<a>\xFF</a>",
		"<!DOCTYPE a><a/>", "<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>",
		"<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a>&x;</a>",
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		if (read_text(wrong[i]))
			fail_msg("taken: %s", wrong[i]);
		assert_int_equal(c.error.code, TEMPORARILY_UNAVAILABLE);
		assert_non_null(c.error.detail);
	}
}

/* A document that says it is UTF-16 or Latin-1 is read as UTF-8 all the same: texts never grow. */
static void encodings(void **state)
{
	(void)state;
	const struct net_xml *root = read_text("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>\xC3\xA4</a>");

	assert_non_null(root);
	assert_string_equal(root->text, "\xC3\xA4");
	assert_null(read_text("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a>\xE4</a>"));
}

static void bounds(void **state)
{
	(void)state;
	struct buf b = BUF(c.arena, 64 << 20);
	const struct net_xml *root;
	size_t count = 0;

	for (int i = 0; i < NET_XML_DEPTH; i++)
		buf_add(&b, "<a>");
	for (int i = 0; i < NET_XML_DEPTH; i++)
		buf_add(&b, "</a>");
	assert_non_null(read_text(buf_text(&b)));
	assert_null(read_text(arena_printf(c.arena, "<a>%s</a>", buf_text(&b))));
	b = (struct buf)BUF(c.arena, 64 << 20);
	buf_add(&b, "<l>");
	for (int i = 0; i < 20000; i++)
		buf_addf(&b, "<e><k>%d</k></e>", i);
	buf_add(&b, "</l>");
	root = read_text(buf_text(&b));
	assert_non_null(root);
	for (const struct net_xml *x = NULL; (x = net_xml_find(root, x, "k"));)
		count++;
	assert_int_equal(count, 20000);
	assert_int_equal(net_xml_read(&c, buf_text(&b), NET_XML_SIZE + 1, &root), -1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, new_ctx, free_ctx)

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(tree), TEST(refused), TEST(encodings), TEST(bounds) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
