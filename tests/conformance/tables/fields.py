"""Header fields: RFC 9112 section 5, RFC 9110 section 5."""

from rows import evil, head, refuse, reject, row, serve, table, variables

GRAMMAR = "what is no HTTP-message SHOULD get 400 and the end of the connection"
CONTROL = "CR, LF and NUL in a value MUST be refused or become SP; other CTLs are invalid"
COLON = "a blank between name and colon MUST be refused: proxies disagree about it"


def grammar(id, *lines, section="9112 5", why=GRAMMAR):
    return row(id, section, evil(*lines), why, should=refuse(400), ours=refuse(400))


def environ(*lines):
    return head(*lines, line=b"GET /environ HTTP/1.1")


def has(**values):
    return serve(variables(**values))


def must(id, section, line, why, accept=None):
    """Refused by all, but for servers that mend it as the RFC allows."""
    allowed = reject(400) | accept if accept else reject(400)
    data = environ(line) if accept else evil(line)
    return row(id, section, data, why, must=allowed, ours=refuse(400))


ROWS = table(
    "fields",
    must("space-before-colon", "9112 5.1", b"A : b", COLON),
    must("tab-before-colon", "9112 5.1", b"A\t: b", COLON),
    must("spaces-before-colon", "9112 5.1", b"A   : b", COLON),
    must("space-before-colon-of-length", "9112 5.1", b"Content-Length : 5", COLON),
    must("space-before-colon-of-coding", "9112 5.1", b"Transfer-Encoding : chunked", COLON),
    row("leading-blank-on-first", "9112 2.2",
        b"GET /environ HTTP/1.1\r\n X: y\r\nHost: localhost\r\n\r\n",
        "MUST be refused, or the line dropped", must=reject(400) | has(HTTP_X=None),
        ours=refuse(400)),
    row("leading-tab-on-first", "9112 2.2",
        b"GET /environ HTTP/1.1\r\n\tX: y\r\nHost: localhost\r\n\r\n",
        "MUST be refused, or the line dropped", must=reject(400) | has(HTTP_X=None),
        ours=refuse(400)),
    must("fold-with-space", "9112 5.2", b"A: b\r\n c",
         "obs-fold MUST be refused, or become blanks",
         has(HTTP_A=lambda v: v.split() == ["b", "c"])),
    must("fold-with-tab", "9112 5.2", b"A: b\r\n\tc",
         "obs-fold MUST be refused, or become blanks",
         has(HTTP_A=lambda v: v.split() == ["b", "c"])),
    must("fold-of-nothing", "9112 5.2", b"A: b\r\n ",
         "obs-fold MUST be refused, or become blanks", has(HTTP_A=lambda v: v.strip() == "b")),
    must("nul-in-value", "9110 5.5", b"A: b\0c", CONTROL, has(HTTP_A="b c")),
    must("cr-in-value", "9110 5.5", b"A: b\rc", CONTROL, has(HTTP_A="b c")),
    must("cr-at-end", "9110 5.5", b"A: b\r", CONTROL, has(HTTP_A=lambda v: v.strip() == "b")),
    must("cr-before-name", "9112 2.2", b"\rA: b", CONTROL),
    grammar("control-in-value", b"A: b\x01c", section="9110 5.5", why=CONTROL),
    grammar("escape-in-value", b"A: \x1b[31m", section="9110 5.5", why=CONTROL),
    grammar("delete-in-value", b"A: b\x7f", section="9110 5.5", why=CONTROL),
    grammar("vt-before-value", b"A: \x0bb", section="9110 5.6.3", why="VT is no blank of HTTP"),
    grammar("ff-behind-value", b"A: b\x0c", section="9110 5.6.3", why="FF is no blank of HTTP"),
    grammar("space-in-name", b"A B: c", section="9110 5.1"),
    grammar("empty-name", b": b", section="9110 5.1"),
    grammar("no-colon", b"Abc"),
    grammar("at-in-name", b"A@B: c", section="9110 5.1"),
    grammar("slash-in-name", b"A/B: c", section="9110 5.1"),
    grammar("quote-in-name", b'A"B: c', section="9110 5.1"),
    grammar("bracket-in-name", b"A[B: c", section="9110 5.1"),
    grammar("8-bit-in-name", b"A\xe9: c", section="9110 5.1"),
    grammar("nbsp-in-name", b"A\xa0: c", section="9110 5.1"),
    grammar("nul-in-name", b"A\0: c", section="9110 5.1"),
    grammar("control-in-name", b"A\x01: c", section="9110 5.1"),
    grammar("request-line-again", b"GET /evil HTTP/1.1"),
    # -- What is valid, whatever it looks like
    row("no-blank-behind-colon", "9112 5", environ(b"A:b"), "the blank is optional",
        must=has(HTTP_A="b")),
    row("blanks-around-value", "9112 5.1", environ(b"A: \t b c\t \t"),
        "blanks around a value MUST be removed", must=has(HTTP_A="b c")),
    row("blanks-inside-value", "9110 5.5", environ(b"A: b \t c"), "blanks inside stay",
        must=has(HTTP_A="b \t c")),
    row("empty-value", "9112 5", environ(b"A:"), "a value may be empty", must=has(HTTP_A="")),
    row("blank-value", "9112 5", environ(b"A: \t "), "a value of blanks is empty",
        must=has(HTTP_A="")),
    row("8-bit-value", "9110 5.5", environ(b"A: \xe9\xff\x80"),
        "obs-text is opaque; PEP 3333 has it as latin-1", must=has(HTTP_A="\xe9\xff\x80")),
    row("colon-in-value", "9112 5", environ(b"A: b:c: d"), "the first colon counts",
        must=has(HTTP_A="b:c: d")),
    row("all-tchars-in-name", "9110 5.6.2", environ(b"A!#$%&'*+-.^`|~9: b"),
        "each is allowed in a token", must=serve() , ours=has(**{"HTTP_A!#$%&'*+_.^`|~9": "b"})),
    row("name-without-case", "9110 5.1", environ(b"x-SOME-name: b"), "names have no case",
        must=has(HTTP_X_SOME_NAME="b")),
    row("repeated", "9110 5.3", environ(b"A: 1", b"B: x", b"a: 2"),
        "lines of one name are one list, in order",
        must=has(HTTP_A=lambda v: v.replace(" ", "") == "1,2"), ours=has(HTTP_A="1, 2")),
    row("repeated-cookie", "6265 5.4", environ(b"Cookie: a=1", b"Cookie: b=2"),
        "Cookie is no list: joined by a semicolon", ours=has(HTTP_COOKIE="a=1; b=2")),
    row("hundred-fields", "9110 5.4", environ(*(b"X-%d: y" % i for i in range(95))),
        "what clients behind proxies send", must=has(HTTP_X_94="y")),
    row("no-fields-besides-host", "9112 2.1", environ(), "nothing is needed but Host",
        must=has(HTTP_A=None)),
    # -- Names that lie
    row("underscore", "CVE-2015-0219", environ(b"X_Forwarded_For: 1.2.3.4"),
        "in environ it would be X-Forwarded-For, which a proxy cleaned",
        ours=has(HTTP_X_FORWARDED_FOR=None)),
    row("underscore-beside-dash", "CVE-2015-0219", environ(b"X-A: good", b"X_A: bad"),
        "what a proxy set must not be mixed with what the client invented",
        must=has(HTTP_X_A="good") | reject(400), ours=has(HTTP_X_A="good")),
    row("underscore-length", "CVE-2015-0219", environ(b"Content_Length: 99"),
        "no way to a CONTENT_LENGTH", must=has(CONTENT_LENGTH=lambda v: v in (None, "", "0"))
        | reject(400)),
    row("proxy", "CVE-2016-5385", environ(b"Proxy: http://evil"),
        "httpoxy: HTTP_PROXY is read as the name of a proxy", ours=has(HTTP_PROXY=None)),
    row("forwarded-for-from-anybody", "CVE-2022-2255", environ(b"X-Forwarded-For: 1.2.3.4"),
        "only a trusted proxy says who the client is",
        must=has(REMOTE_ADDR=lambda v: v != "1.2.3.4")),
    row("forwarded-proto-from-anybody", "CVE-2022-2255", environ(b"X-Forwarded-Proto: https"),
        "only a trusted proxy says so; the suite's address is not one of wsgid's list",
        ours=has(wsgi__url_scheme="http")),
    # -- Slow checks
    row("many-blanks", "CVE-2020-5236", environ(b"A: b" + b" " * 6000 + b"c"),
        "no quadratic search for the end of a value",
        must=serve() | reject(400, 431).but(dropped=True)),
    row("many-commas", "CVE-2020-5236", environ(b"Connection: " + b"," * 6000),
        "no quadratic splitting of a list",
        must=serve() | reject(400, 431).but(dropped=True)),
    row("control-behind-long-value", "CVE-2020-5236", evil(b"A: " + b"x" * 6000 + b"\x10"),
        "no quadratic search for what is invalid", should=refuse(400, 431)),
)  # fmt: skip
