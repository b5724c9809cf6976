/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/*
 * The tokens of sqlparse, as far as MLflow's grammar lets them through. Names are contiguous: what
 * sqlparse would join over spaces ("metrics .a") MLflow refuses or cannot match anyway.
 */
#include <string.h>
#include <strings.h>

#include "base/utf8.h"
#include "parse.h"

static bool is_digit(char ch)
{
	return ch >= '0' && ch <= '9';
}

static bool is_letter(char ch)
{
	return (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || ch == '_';
}

static bool code_is_space(uint32_t u)
{
	return u == 0x85 || u == 0xa0 || u == 0x1680 || (u >= 0x2000 && u <= 0x200a) ||
	       u == 0x2028 || u == 0x2029 || u == 0x202f || u == 0x205f || u == 0x3000;
}

/* Above ASCII everything is a letter but spaces, controls and the common punctuation. */
static bool code_is_word(uint32_t u)
{
	if (u < 0xaa || code_is_space(u))
		return false;
	if (u < 0xc0)
		return u == 0xaa || u == 0xb2 || u == 0xb3 || u == 0xb5 ||
		       (u >= 0xb9 && u <= 0xbe && u != 0xbb);
	return u != 0xd7 && u != 0xf7 && !(u >= 0x200b && u <= 0x206f) &&
	       !(u >= 0x3001 && u <= 0x3003) && !(u >= 0x3008 && u <= 0x3011);
}

/* Bytes of the space at l->text[at], 0: none. */
static size_t space_at(const struct lexer *l, size_t at)
{
	if (at >= l->size)
		return 0;
	unsigned char ch = (unsigned char)l->text[at];
	if (ch < 0x80)
		return ch == ' ' || (ch >= '\t' && ch <= '\r') || (ch >= 0x1c && ch <= 0x1f);
	const char *s = l->text + at;
	return code_is_space(utf8_next(&s)) ? (size_t)(s - l->text) - at : 0;
}

/* Bytes of the word character there, 0: none. */
static size_t word_at(const struct lexer *l, size_t at)
{
	if (at >= l->size)
		return 0;
	char ch = l->text[at];
	if (!((unsigned char)ch & 0x80))
		return is_letter(ch) || is_digit(ch);
	const char *s = l->text + at;
	return code_is_word(utf8_next(&s)) ? (size_t)(s - l->text) - at : 0;
}

/* End of \w[$#\w]*, `at` when there is no word. */
static size_t word_end(const struct lexer *l, size_t at)
{
	size_t n = word_at(l, at);
	while (n) {
		at += n;
		n = word_at(l, at);
		if (!n && at < l->size && (l->text[at] == '$' || l->text[at] == '#'))
			n = 1;
	}
	return at;
}

/*
 * End of the quoted text at `at`, or `at` when it is not terminated: sqlparse's
 * '(''|\\'|[^'])*' with its backtracking: a doubled or backslashed quote belongs to
 * the text if a later quote can end it, and ends it otherwise.
 */
static size_t quoted_end(const struct lexer *l, size_t at, bool backslash)
{
	char quote = l->text[at];
	size_t fallback = at;
	for (size_t i = at + 1; i < l->size; i++) {
		if (backslash && l->text[i] == '\\' && i + 1 < l->size && l->text[i + 1] == quote) {
			i++;
			fallback = i + 1;
		} else if (l->text[i] == quote) {
			if (i + 1 == l->size || l->text[i + 1] != quote)
				return i + 1;
			i++;
			fallback = i;
		}
	}
	return fallback;
}

static size_t digits_end(const struct lexer *l, size_t at)
{
	while (at < l->size && is_digit(l->text[at]))
		at++;
	return at;
}

/* A number: its kind and end; TOKEN_END when there is none. 0x.. is TOKEN_OTHER. */
static enum token_kind number(const struct lexer *l, size_t at, size_t *end)
{
	const char *s = l->text;
	size_t start = at + (s[at] == '-');
	size_t whole = digits_end(l, start);
	if (whole == start + 1 && s[start] == '0' && whole < l->size && (s[whole] | 0x20) == 'x') {
		*end = word_end(l, whole);
		return TOKEN_OTHER;
	}
	size_t point = whole;
	if (whole < l->size && s[whole] == '.')
		point = digits_end(l, whole + 1);
	if (whole > start && (point == whole || point > whole + 1)) {
		size_t e = point;
		if (e < l->size && (s[e] | 0x20) == 'e') {
			e += e + 1 < l->size && (s[e + 1] == '-' || s[e + 1] == '+') ? 2 : 1;
			*end = digits_end(l, e);
			if (*end > e)
				return TOKEN_FLOAT;
		}
	}
	*end = point;
	bool glued = point < l->size && is_letter(s[point]);
	if (point > whole && (whole > start || point > whole + 1) && !glued)
		return TOKEN_FLOAT;
	*end = whole;
	if (whole > start && !(whole < l->size && is_letter(s[whole])))
		return TOKEN_INTEGER;
	return TOKEN_END;
}

/* End of a name's part: a word, or a quoted name. Single quotes only after a dot. */
static size_t part_end(const struct lexer *l, size_t at, bool first)
{
	if (at >= l->size)
		return at;
	switch (l->text[at]) {
	case '`':
		return quoted_end(l, at, false);
	case '"':
		return quoted_end(l, at, true);
	case '\'':
		return first ? at : quoted_end(l, at, true);
	default:
		return word_end(l, at);
	}
}

static size_t name_end(const struct lexer *l, size_t at)
{
	size_t end = part_end(l, at, true);
	if (end == at)
		return at;
	while (end < l->size && l->text[end] == '.') {
		end++;
		end = part_end(l, end, false);
	}
	return end;
}

static size_t line_end(const struct lexer *l, size_t at)
{
	while (at < l->size && l->text[at] != '\n' && l->text[at] != '\r')
		at++;
	return at;
}

static size_t comment_end(const struct lexer *l, size_t at)
{
	const char *s = l->text + at;
	size_t rest = l->size - at;
	if (rest >= 2 && (!memcmp(s, "--", 2) || !memcmp(s, "# ", 2)))
		return line_end(l, at);
	if (rest >= 4 && !memcmp(s, "/*", 2)) {
		const char *close = memmem(s + 2, rest - 2, "*/", 2);
		return close ? (size_t)(close + 2 - l->text) : at;
	}
	return at;
}

/* One character, or a run of operator characters. */
static size_t other_end(const struct lexer *l, size_t at)
{
	size_t end = at + strspn(l->text + at, "+/@#%^&|-*");
	if (end > at)
		return end;
	const char *s = l->text + at;
	utf8_next(&s);
	return (size_t)(s - l->text);
}

static enum token_kind punctuation(char ch)
{
	switch (ch) {
	case '(':
		return TOKEN_OPEN;
	case ')':
		return TOKEN_CLOSE;
	case ',':
		return TOKEN_COMMA;
	case ';':
		return TOKEN_SEMICOLON;
	default:
		return TOKEN_END;
	}
}

static struct token scan(const struct lexer *l, size_t at, size_t *end)
{
	struct token t = { TOKEN_OTHER, l->text + at, 0 };
	char ch = l->text[at];
	*end = at;
	if (is_digit(ch) || ch == '-' || ch == '.') {
		enum token_kind kind = number(l, at, end);
		if (kind != TOKEN_END) {
			t.kind = kind;
			return t;
		}
	}
	if ((*end = comment_end(l, at)) > at)
		return t;
	if ((*end = name_end(l, at)) > at) {
		t.kind = TOKEN_NAME;
	} else if (ch == '\'' && (*end = quoted_end(l, at, true)) > at) {
		t.kind = TOKEN_STRING;
	} else if ((*end = at + strspn(l->text + at, "<>=~!")) > at) {
		t.kind = TOKEN_COMPARISON;
	} else if (punctuation(ch) != TOKEN_END) {
		t.kind = punctuation(ch);
		*end = at + 1;
	} else {
		*end = other_end(l, at);
	}
	return t;
}

struct token search_lexer_next(struct lexer *l)
{
	size_t n;
	while ((n = space_at(l, l->at)))
		l->at += n;
	if (l->at == l->size)
		return (struct token){ TOKEN_END, l->text + l->at, 0 };
	size_t end;
	struct token t = scan(l, l->at, &end);
	t.size = end - l->at;
	l->at = end;
	return t;
}

bool search_lexer_word(const struct token *t, const char *word)
{
	return t->kind == TOKEN_NAME && t->size == strlen(word) &&
	       !strncasecmp(t->text, word, t->size);
}
