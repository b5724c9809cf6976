/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* All memory is taken before expat runs: its callbacks must not leave it by the arena's jump. There is no element without
   a "<", and texts and names never grow (the encoding is UTF-8 whatever the document says). */
#include "net/xml.h"

#include <stdbool.h>
#include <string.h>

#include <expat.h>

#include "base/arena.h"

struct reader {
	XML_Parser parser;
	struct net_xml *nodes, *open;   /* open: the innermost element begun */
	struct net_xml **last;          /* per depth: the latest child */
	size_t count, most;
	char *text, *end, *begin;       /* begin: of the open element's text */
	unsigned depth;
	const char *refused;
};

static void refuse(struct reader *r, const char *why)
{
	r->refused = why;
	XML_StopParser(r->parser, XML_FALSE);
}

static char *put(struct reader *r, const char *s, size_t n)
{
	char *ret = r->end;

	memcpy(r->end, s, n);
	r->end += n;
	return ret;
}

static void XMLCALL on_start(void *arg, const XML_Char *name, const XML_Char **attributes)
{
	struct reader *r = arg;
	const char *colon = strrchr(name, ':');
	struct net_xml *x;

	(void)attributes;
	if (r->refused)
		return;
	if (r->count == r->most || r->depth == NET_XML_DEPTH) {
		refuse(r, "nested too deeply");
		return;
	}
	if (r->open && !r->open->child)
		r->end = r->begin;      /* white space before the first child */
	name = colon ? colon + 1 : name;
	x = &r->nodes[r->count++];
	x->name = put(r, name, strlen(name) + 1);
	x->text = "";
	x->parent = r->open;
	if (r->last[r->depth])
		r->last[r->depth]->next = x;
	else if (r->open)
		r->open->child = x;
	r->last[r->depth++] = x;
	r->last[r->depth] = NULL;
	r->open = x;
	r->begin = r->end;
}

static void XMLCALL on_text(void *arg, const XML_Char *s, int n)
{
	struct reader *r = arg;

	if (!r->refused && r->open && !r->open->child)
		put(r, s, (size_t)n);
}

static void XMLCALL on_end(void *arg, const XML_Char *name)
{
	struct reader *r = arg;

	(void)name;
	if (r->refused)
		return;
	if (!r->open->child) {
		r->open->text = r->begin;
		*r->end++ = '\0';
	}
	r->depth--;
	/* Ours, of r->nodes: const only for those who read. */
	r->open = r->depth ? r->last[r->depth - 1] : NULL;
}

static void XMLCALL on_doctype(void *arg, const XML_Char *name, const XML_Char *system,
                               const XML_Char *public, int internal)
{
	(void)name, (void)system, (void)public, (void)internal;
	refuse(arg, "with a document type");
}

static int parse(struct reader *r, const char *xml, size_t size)
{
	XML_SetUserData(r->parser, r);
	XML_SetElementHandler(r->parser, on_start, on_end);
	XML_SetCharacterDataHandler(r->parser, on_text);
	XML_SetStartDoctypeDeclHandler(r->parser, on_doctype);
	return XML_Parse(r->parser, xml, (int)size, XML_TRUE) == XML_STATUS_OK ? 0 : -1;
}

int net_xml_read(struct ctx *c, const char *xml, size_t size, const struct net_xml **ret)
{
	struct reader r = { .most = 0 };
	enum XML_Error error;

	if (size > NET_XML_SIZE)
		return fail(c, TEMPORARILY_UNAVAILABLE, "The answer is too large.");
	/* UTF-16, which expat reads whatever it is told, and which grows when it becomes UTF-8. */
	if (memchr(xml, '\0', size))
		return fail_because(c, TEMPORARILY_UNAVAILABLE, "not in UTF-8",
		                    "The answer is no XML that can be read.");
	for (const char *p = xml, *end = xml + size; (p = memchr(p, '<', (size_t)(end - p))); p++)
		r.most++;
	r.nodes = NEW_ARRAY(c->arena, r.most, struct net_xml);
	r.last = NEW_ARRAY(c->arena, NET_XML_DEPTH + 1, struct net_xml *);
	/* Each element may need two ends of strings; its tags have at least four bytes. */
	r.text = r.end = r.begin = arena_alloc(c->arena, size + 2 * r.most + 1);
	r.parser = XML_ParserCreate("UTF-8");
	if (!r.parser)
		return fail(c, TEMPORARILY_UNAVAILABLE, "Out of memory");
	if (parse(&r, xml, size)) {
		error = XML_GetErrorCode(r.parser);
		XML_ParserFree(r.parser);
		return fail_because(c, TEMPORARILY_UNAVAILABLE,
		                    r.refused ? r.refused : XML_ErrorString(error),
		                    "The answer is no XML that can be read.");
	}
	XML_ParserFree(r.parser);
	*ret = &r.nodes[0];
	return 0;
}

const struct net_xml *net_xml_child(const struct net_xml *x, const char *name)
{
	const struct net_xml *child = x ? x->child : NULL;

	while (child && strcmp(child->name, name) != 0)
		child = child->next;
	return child;
}

const char *net_xml_text(const struct net_xml *x, const char *name)
{
	const struct net_xml *child = net_xml_child(x, name);

	return child ? child->text : NULL;
}

static const struct net_xml *following(const struct net_xml *root, const struct net_xml *x)
{
	if (x->child)
		return x->child;
	while (x != root && !x->next)
		x = x->parent;
	return x == root ? NULL : x->next;
}

const struct net_xml *net_xml_find(const struct net_xml *root, const struct net_xml *from,
                                   const char *name)
{
	const struct net_xml *x = from ? following(root, from) : root;

	while (x && strcmp(x->name, name) != 0)
		x = following(root, x);
	return x;
}
