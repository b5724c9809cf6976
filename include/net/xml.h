/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * xml — small answers of cloud services as a tree, read with expat. No DTD (so no entities but XML's own five), no
 * attributes, namespaces left out: elements are known by their names without prefix.
 */
#ifndef NET_XML_H
#define NET_XML_H

#include <stddef.h>

#include "base/ctx.h"

enum { NET_XML_SIZE = 16 << 20, NET_XML_DEPTH = 64 };

struct net_xml {
	const char *name;
	const char *text;               /* of an element without children; otherwise "" */
	const struct net_xml *parent, *child, *next;    /* NULL: none; next: after it in the same parent */
};

/* The root element; in c's arena. -1: not well-formed, a DTD, too large or too deep (error: TEMPORARILY_UNAVAILABLE,
   expat's words in error.detail). */
int net_xml_read(struct ctx *c, const char *xml, size_t size, const struct net_xml **ret) MUST_CHECK;

/* The first child of that name, and its text. NULL: none. x may be NULL. */
const struct net_xml *net_xml_child(const struct net_xml *x, const char *name);
const char *net_xml_text(const struct net_xml *x, const char *name);

/* The element after `from` in the order of the document, of that name, within `root` (root itself comes first: from
   NULL). NULL: no more. */
const struct net_xml *net_xml_find(const struct net_xml *root, const struct net_xml *from, const char *name);

#endif
