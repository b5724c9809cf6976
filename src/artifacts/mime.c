/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright The Capstan Authors */

/* mime — the content type by file name, as MLflow's _guess_mime_type answers (Python's own table,
 * no system files). */
#include "mime.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST = 16 }; /* bytes of an extension; longer ones are unknown */

struct type {
	const char *extension;
	const char *type;
};

/* mlflow/utils/mime_type_utils.py: text that browsers should show, not save; case counts there */
static const char *const text[] = {
	"txt",  "log",   "err",  "cfg",  "conf", "cnf",   "cf",      "ini",       "properties",
	"prop", "hocon", "toml", "yaml", "yml",  "xml",   "json",    "js",        "py",
	"py3",  "csv",   "tsv",  "md",   "rst",  "ipynb", "MLmodel", "mlproject",
};

/* Sorted. */
static const struct type types[] = {
	{ "3g2", "audio/3gpp2" },
	{ "3gp", "audio/3gpp" },
	{ "3gpp", "audio/3gpp" },
	{ "3gpp2", "audio/3gpp2" },
	{ "a", "application/octet-stream" },
	{ "aac", "audio/aac" },
	{ "adts", "audio/aac" },
	{ "ai", "application/postscript" },
	{ "aif", "audio/x-aiff" },
	{ "aifc", "audio/x-aiff" },
	{ "aiff", "audio/x-aiff" },
	{ "ass", "audio/aac" },
	{ "au", "audio/basic" },
	{ "avi", "video/x-msvideo" },
	{ "avif", "image/avif" },
	{ "bat", "text/plain" },
	{ "bcpio", "application/x-bcpio" },
	{ "bin", "application/octet-stream" },
	{ "bmp", "image/bmp" },
	{ "c", "text/plain" },
	{ "cdf", "application/x-netcdf" },
	{ "cpio", "application/x-cpio" },
	{ "csh", "application/x-csh" },
	{ "css", "text/css" },
	{ "csv", "text/csv" },
	{ "dll", "application/octet-stream" },
	{ "doc", "application/msword" },
	{ "dot", "application/msword" },
	{ "dvi", "application/x-dvi" },
	{ "eml", "message/rfc822" },
	{ "eps", "application/postscript" },
	{ "etx", "text/x-setext" },
	{ "exe", "application/octet-stream" },
	{ "gif", "image/gif" },
	{ "gtar", "application/x-gtar" },
	{ "h", "text/plain" },
	{ "h5", "application/x-hdf5" },
	{ "hdf", "application/x-hdf" },
	{ "heic", "image/heic" },
	{ "heif", "image/heif" },
	{ "htm", "text/html" },
	{ "html", "text/html" },
	{ "ico", "image/vnd.microsoft.icon" },
	{ "ief", "image/ief" },
	{ "jpe", "image/jpeg" },
	{ "jpeg", "image/jpeg" },
	{ "jpg", "image/jpeg" },
	{ "js", "application/javascript" },
	{ "json", "application/json" },
	{ "ksh", "text/plain" },
	{ "latex", "application/x-latex" },
	{ "loas", "audio/aac" },
	{ "m1v", "video/mpeg" },
	{ "m3u", "application/vnd.apple.mpegurl" },
	{ "m3u8", "application/vnd.apple.mpegurl" },
	{ "man", "application/x-troff-man" },
	{ "me", "application/x-troff-me" },
	{ "mht", "message/rfc822" },
	{ "mhtml", "message/rfc822" },
	{ "mif", "application/x-mif" },
	{ "mjs", "application/javascript" },
	{ "mov", "video/quicktime" },
	{ "movie", "video/x-sgi-movie" },
	{ "mp2", "audio/mpeg" },
	{ "mp3", "audio/mpeg" },
	{ "mp4", "video/mp4" },
	{ "mpa", "video/mpeg" },
	{ "mpe", "video/mpeg" },
	{ "mpeg", "video/mpeg" },
	{ "mpg", "video/mpeg" },
	{ "ms", "application/x-troff-ms" },
	{ "n3", "text/n3" },
	{ "nc", "application/x-netcdf" },
	{ "nq", "application/n-quads" },
	{ "nt", "application/n-triples" },
	{ "nws", "message/rfc822" },
	{ "o", "application/octet-stream" },
	{ "obj", "application/octet-stream" },
	{ "oda", "application/oda" },
	{ "opus", "audio/opus" },
	{ "p12", "application/x-pkcs12" },
	{ "p7c", "application/pkcs7-mime" },
	{ "pbm", "image/x-portable-bitmap" },
	{ "pdf", "application/pdf" },
	{ "pfx", "application/x-pkcs12" },
	{ "pgm", "image/x-portable-graymap" },
	{ "pl", "text/plain" },
	{ "png", "image/png" },
	{ "pnm", "image/x-portable-anymap" },
	{ "pot", "application/vnd.ms-powerpoint" },
	{ "ppa", "application/vnd.ms-powerpoint" },
	{ "ppm", "image/x-portable-pixmap" },
	{ "pps", "application/vnd.ms-powerpoint" },
	{ "ppt", "application/vnd.ms-powerpoint" },
	{ "ps", "application/postscript" },
	{ "pwz", "application/vnd.ms-powerpoint" },
	{ "py", "text/x-python" },
	{ "pyc", "application/x-python-code" },
	{ "pyo", "application/x-python-code" },
	{ "qt", "video/quicktime" },
	{ "ra", "audio/x-pn-realaudio" },
	{ "ram", "application/x-pn-realaudio" },
	{ "ras", "image/x-cmu-raster" },
	{ "rdf", "application/xml" },
	{ "rgb", "image/x-rgb" },
	{ "roff", "application/x-troff" },
	{ "rtx", "text/richtext" },
	{ "sgm", "text/x-sgml" },
	{ "sgml", "text/x-sgml" },
	{ "sh", "application/x-sh" },
	{ "shar", "application/x-shar" },
	{ "snd", "audio/basic" },
	{ "so", "application/octet-stream" },
	{ "src", "application/x-wais-source" },
	{ "srt", "text/plain" },
	{ "sv4cpio", "application/x-sv4cpio" },
	{ "sv4crc", "application/x-sv4crc" },
	{ "svg", "image/svg+xml" },
	{ "swf", "application/x-shockwave-flash" },
	{ "t", "application/x-troff" },
	{ "tar", "application/x-tar" },
	{ "tcl", "application/x-tcl" },
	{ "tex", "application/x-tex" },
	{ "texi", "application/x-texinfo" },
	{ "texinfo", "application/x-texinfo" },
	{ "tif", "image/tiff" },
	{ "tiff", "image/tiff" },
	{ "tr", "application/x-troff" },
	{ "trig", "application/trig" },
	{ "tsv", "text/tab-separated-values" },
	{ "txt", "text/plain" },
	{ "ustar", "application/x-ustar" },
	{ "vcf", "text/x-vcard" },
	{ "vtt", "text/vtt" },
	{ "wasm", "application/wasm" },
	{ "wav", "audio/x-wav" },
	{ "webm", "video/webm" },
	{ "webmanifest", "application/manifest+json" },
	{ "wiz", "application/msword" },
	{ "wsdl", "application/xml" },
	{ "xbm", "image/x-xbitmap" },
	{ "xlb", "application/vnd.ms-excel" },
	{ "xls", "application/vnd.ms-excel" },
	{ "xml", "text/xml" },
	{ "xpdl", "application/xml" },
	{ "xpm", "image/x-xpixmap" },
	{ "xsl", "application/xml" },
	{ "xwd", "image/x-xwindowdump" },
	{ "zip", "application/zip" },
};

/* Endings that say how a file is packed; Python looks at what is before them. */
static const char *const packed[] = { "gz", "Z", "bz2", "xz", "br" };
static const char *const packed_tar[] = { "tgz", "taz", "tz", "tbz2", "txz" };

static int by_extension(const void *key, const void *row)
{
	return strcmp(key, ((const struct type *)row)->extension);
}

static bool any(const char *const *names, size_t count, const char *s, size_t n)
{
	for (size_t i = 0; i < count; i++)
		if (strlen(names[i]) == n && !memcmp(names[i], s, n))
			return true;
	return false;
}

#define ANY(names, s, n) any(names, sizeof(names) / sizeof((names)[0]), s, n)

/* Where the extension of the first n bytes starts, behind its dot; n: none. A leading dot makes
 * none. */
static size_t extension(const char *name, size_t n)
{
	size_t i = n;

	while (i > 0 && name[i - 1] != '.')
		i--;
	return i > 1 && strspn(name, ".") < i ? i : n;
}

static const char *guess(const char *name, size_t n)
{
	size_t at = extension(name, n);
	char lower[LONGEST];
	const struct type *t;

	if (ANY(packed_tar, name + at, n - at))
		return "application/x-tar";
	if (n - at == 4 && !memcmp(name + at, "svgz", 4))
		return "image/svg+xml";
	if (at < n && ANY(packed, name + at, n - at)) {
		n = at - 1;
		at = extension(name, n);
	}
	if (n - at >= sizeof(lower))
		return NULL;
	for (size_t i = 0; i < n - at; i++)
		lower[i] = (char)tolower((unsigned char)name[at + i]);
	lower[n - at] = '\0';
	t = bsearch(lower, types, sizeof(types) / sizeof(types[0]), sizeof(types[0]), by_extension);
	return t ? t->type : NULL;
}

const char *mime_type(const char *key)
{
	const char *slash = strrchr(key, '/');
	const char *name = slash ? slash + 1 : key;
	size_t n = strlen(name);
	size_t at = extension(name, n);
	const char *type;

	if (ANY(text, name + (at < n ? at : 0), n - (at < n ? at : 0)))
		return "text/plain";
	type = guess(name, n);
	if (!type)
		return "application/octet-stream";
	/* Nothing that a browser would run, should it ever ignore `attachment`. MLflow answers
	 * text/html here. */
	return !strcmp(type, "text/html") || !strcmp(type, "application/javascript") ||
			       !strcmp(type, "text/javascript")
		       ? "text/plain"
		       : type;
}

const char *mime_guess(const char *key)
{
	const char *slash = strrchr(key, '/');
	const char *name = slash ? slash + 1 : key;
	const char *type = guess(name, strlen(name));

	return type ? type : "application/octet-stream";
}
