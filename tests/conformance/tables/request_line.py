"""The request line: RFC 9112 section 3, and line ends, section 2.2."""

from rows import CLOSED, IN_STEP, OPEN, evil, head, refuse, reject, row, serve, table

LF = "a single LF MAY end a line: where one takes it and the other does not, requests are smuggled"
GRAMMAR = "what is no HTTP-message SHOULD get 400 and the end of the connection"
WORDS = "servers MAY split an invalid line at blanks; two readings of one line are a way to smuggle"


def line(text, *lines):
    return evil(*lines, line=text)


def ok(text, *lines):
    return head(*lines, line=text)


def grammar(id, data, why=GRAMMAR, ours=(400,), should=(400,), section="9112 2.2"):
    """What is no HTTP: should be refused, and by libwsgi with this status."""
    return row(id, section, data, why, should=refuse(*should), ours=refuse(*ours))


def lenient(id, data, why=LF, section="9112 2.2"):
    """What a server may take, and libwsgi does not."""
    return row(id, section, data, why, ours=refuse(400))


ROWS = table(
    "request line",
    # -- Line ends
    lenient("lf-in-request-line", b"GET /ok HTTP/1.1\nHost: a\r\n\r\n"),
    lenient("lf-after-header", b"GET /ok HTTP/1.1\r\nHost: a\nB: c\r\n\r\n"),
    lenient("lf-everywhere", b"GET /ok HTTP/1.1\nHost: a\n\n"),
    lenient("lf-ends-head", b"GET /ok HTTP/1.1\r\nHost: a\r\n\n"),
    lenient("lf-lf-ends-head", b"GET /ok HTTP/1.1\r\nHost: a\n\n"),
    row("cr-in-request-line", "9112 2.2", ok(b"GET /ok\rHTTP/1.1"),
        "a bare CR MUST be invalid or become SP", must=reject(400) | serve(),
        ours=refuse(400)),
    row("cr-in-target", "9112 2.2", line(b"GET /evil\rx HTTP/1.1"),
        "a bare CR MUST be invalid or become SP", must=refuse(400)),
    grammar("cr-as-line-end", b"GET /evil HTTP/1.1\rHost: a\r\r\r\n\r\n"),
    grammar("cr-cr-lf", b"GET /evil HTTP/1.1\r\r\nHost: a\r\n\r\n"),
    row("empty-line-before", "9112 2.2", b"\r\n" + ok(b"GET /ok HTTP/1.1"),
        "at least one empty line before the request line SHOULD be ignored",
        should=serve(b"GET /ok")),
    row("empty-lines-before", "9112 2.2", b"\r\n\r\n\r\n" + ok(b"GET /ok HTTP/1.1"),
        "a few of them do no harm", ours=serve(b"GET /ok")),
    row("empty-lines-without-end", "9112 2.2", b"\r\n" * 20000 + ok(b"GET /ok HTTP/1.1"),
        "a client must not keep a server busy with nothing",
        ours=refuse(400)),
    lenient("empty-lf-line-before", b"\n" + ok(b"GET /ok HTTP/1.1")),
    # -- Blanks
    lenient("two-spaces-before-target", line(b"GET  /evil HTTP/1.1"), WORDS, "9112 3"),
    lenient("two-spaces-after-target", line(b"GET /evil  HTTP/1.1"), WORDS, "9112 3"),
    lenient("space-at-end", line(b"GET /evil HTTP/1.1 "), WORDS, "9112 3"),
    lenient("space-at-start", line(b" GET /evil HTTP/1.1"), WORDS, "9112 3"),
    lenient("tabs", line(b"GET\t/evil\tHTTP/1.1"), WORDS, "9112 3"),
    lenient("vt-and-ff", line(b"GET\x0b/evil\x0cHTTP/1.1"), WORDS, "9112 3"),
    grammar("space-in-target", line(b"GET /ev il HTTP/1.1"), section="9112 3.2"),
    grammar("nbsp-for-space", line(b"GET\xa0/evil\xa0HTTP/1.1")),
    # -- Method
    row("method-is-case-sensitive", "9110 9.1", ok(b"get /ok HTTP/1.1"),
        "get is not GET", must=serve(b"get /ok") | reject(400, 405, 501),
        ours=serve(b"get /ok")),
    row("unknown-method", "9110 9.1", ok(b"BREW /ok HTTP/1.1"),
        "a method is the application's business; 501 where it cannot be passed on",
        should=serve(b"BREW /ok") | reject(405, 501), ours=serve(b"BREW /ok")),
    row("method-of-all-tchars", "9110 5.6.2", ok(b"A!#$%&'*+-.^_`|~9 /ok HTTP/1.1"),
        "method is a token", should=serve(b"A!#$%&'*+-.^_`|~9 /ok") | reject(405, 501),
        ours=serve(b"A!#$%&'*+-.^_`|~9 /ok")),
    row("method-with-dash", "9110 9.1", ok(b"M-SEARCH /ok HTTP/1.1"),
        "method is a token", should=serve(b"M-SEARCH /ok") | reject(405, 501),
        ours=serve(b"M-SEARCH /ok")),
    row("propfind", "9110 9.1", ok(b"PROPFIND /ok HTTP/1.1"), "WebDAV is served by WSGI",
        ours=serve(b"PROPFIND /ok")),
    grammar("method-with-at", line(b"G@T /evil HTTP/1.1"), section="9110 5.6.2"),
    grammar("method-with-colon", line(b"GET: /evil HTTP/1.1"), section="9110 5.6.2"),
    grammar("method-8-bit", line(b"G\xe9T /evil HTTP/1.1"), section="9110 5.6.2"),
    grammar("method-with-nul", line(b"G\0T /evil HTTP/1.1"), section="9110 5.6.2"),
    grammar("method-with-control", line(b"G\x01T /evil HTTP/1.1"), section="9110 5.6.2"),
    grammar("no-method", line(b"/evil HTTP/1.1")),
    grammar("method-only", b"GET\r\n\r\n"),
    row("connect", "9110 9.3.6", line(b"CONNECT a:443 HTTP/1.1"),
        "an origin server may accept; a tunnel it is not", ours=refuse(501)),
    # -- Target
    grammar("fragment", line(b"GET /evil#x HTTP/1.1"), section="9112 3.2"),
    grammar("target-8-bit", line(b"GET /evil\xc3\xa9 HTTP/1.1"), section="9112 3.2"),
    grammar("target-control", line(b"GET /ev\x01il HTTP/1.1"), section="9112 3.2"),
    grammar("target-nul", line(b"GET /evil\0 HTTP/1.1"), section="9112 3.2"),
    grammar("target-delete", line(b"GET /evil\x7f HTTP/1.1"), section="9112 3.2"),
    grammar("target-escape", line(b"GET /evil\x1b[31m HTTP/1.1"), section="9112 3.2"),
    grammar("target-without-slash", line(b"GET evil HTTP/1.1"), section="9112 3.2"),
    grammar("target-asterisk-with-get", line(b"GET * HTTP/1.1"), section="9112 3.2.4"),
    grammar("target-asterisk-and-more", line(b"OPTIONS *evil HTTP/1.1"), section="9112 3.2.4"),
    grammar("target-empty", line(b"GET  HTTP/1.1"), section="9112 3.2"),
    grammar("target-authority", line(b"GET a:80 HTTP/1.1"), section="9112 3.2.3"),
    row("encoded-nul", "3333 environ", line(b"GET /evil%00 HTTP/1.1"),
        "a NUL in PATH_INFO ends a C string elsewhere", ours=refuse(400)),
    row("options-asterisk", "9112 3.2.4", ok(b"OPTIONS * HTTP/1.1"),
        "asks the server as a whole", should=serve() | reject(405, 501),
        ours=serve(b"OPTIONS *")),
    row("absolute-form", "9112 3.2.2", ok(b"GET http://localhost/ok?a=b HTTP/1.1"),
        "a server MUST accept it, from a client that takes it for a proxy",
        must=serve(b"GET /ok")),
    row("absolute-form-without-path", "9112 3.2.2", ok(b"GET http://localhost HTTP/1.1"),
        "an empty path is /", should=serve(b"GET /")),
    row("absolute-form-query-only", "9112 3.2.2", ok(b"GET http://localhost?a=b HTTP/1.1"),
        "an empty path is /", should=serve(b"GET /")),
    row("absolute-form-upper-case", "9110 4.2.3", ok(b"GET HTTP://localhost/ok HTTP/1.1"),
        "a scheme has no case", must=serve(b"GET /ok")),
    row("absolute-form-with-user", "9110 4.2.4", line(b"GET http://u@a/evil HTTP/1.1"),
        "userinfo SHOULD be treated as an error", should=refuse(400)),
    grammar("absolute-form-with-blank", line(b"GET http://a b/evil HTTP/1.1")),
    row("absolute-form-empty-host", "9110 4.2.1", line(b"GET http:///evil HTTP/1.1"),
        "an http URI with an empty host MUST be rejected", must=reject(400),
        ours=refuse(400)),
    row("double-slash", "3333 environ", ok(b"GET //ok HTTP/1.1"),
        "a path, not an authority", ours=serve(b"GET //ok")),
    row("percent-without-hex", "3986 2.1", ok(b"GET /ok%zz HTTP/1.1"),
        "left alone or refused, never half decoded", must=serve(b"GET /ok%zz") | reject(400),
        ours=serve(b"GET /ok%zz")),
    # -- Version
    row("http-1.2", "9110 2.5", ok(b"GET /ok HTTP/1.2"),
        "a higher minor version SHOULD be served as the highest that is known",
        should=serve(b"GET /ok")),
    row("http-1.9", "9110 2.5", ok(b"GET /ok HTTP/1.9"),
        "a higher minor version SHOULD be served as the highest that is known",
        should=serve(b"GET /ok")),
    grammar("http-2.0", line(b"GET /evil HTTP/2.0"), "another major version is another protocol",
            section="9110 15.6.6", ours=(505,), should=(400, 505)),
    grammar("http-3.0", line(b"GET /evil HTTP/3.0"), "another major version is another protocol",
            section="9110 15.6.6", ours=(505,), should=(400, 505)),
    grammar("http-0.9", line(b"GET /evil HTTP/0.9"), "nobody speaks 0.9 with a version",
            section="9110 15.6.6", ours=(400, 505), should=(400, 505)),
    grammar("no-version", line(b"GET /evil"), "HTTP/0.9 is a way around every check",
            should=(400, 505)),
    grammar("no-version-one-line", b"GET /evil\r\n", should=(400, 505)),
    grammar("version-one-digit", line(b"GET /evil HTTP/1"), section="9112 2.3", should=(400, 505)),
    grammar("version-with-letter", line(b"GET /evil HTTP/1.1x"), section="9112 2.3",
            should=(400, 505)),
    grammar("version-11.1", line(b"GET /evil HTTP/11.1"), section="9112 2.3", ours=(400, 505),
            should=(400, 505)),
    grammar("version-1.10", line(b"GET /evil HTTP/1.10"), section="9112 2.3", should=(400, 505)),
    grammar("version-01.1", line(b"GET /evil HTTP/01.1"), section="9112 2.3", ours=(400, 505),
            should=(400, 505)),
    grammar("version-plus", line(b"GET /evil HTTP/1.+1"), section="9112 2.3", should=(400, 505)),
    grammar("version-comma", line(b"GET /evil HTTP/1,1"), section="9112 2.3", should=(400, 505)),
    grammar("version-lower-case", line(b"GET /evil http/1.1"), "the name is case-sensitive",
            section="9112 2.3", should=(400, 505)),
    grammar("version-of-another-protocol", line(b"GET /evil ICY/1.1"), section="9112 2.3",
            should=(400, 505)),
    grammar("version-without-slash", line(b"GET /evil HTTP1.1"), section="9112 2.3",
            should=(400, 505)),
    # -- Other protocols
    grammar("tls-hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
            "a browser that speaks https to the port"),
    grammar("http2-preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "HTTP/2 with prior knowledge", ours=(400, 505), should=(400, 505)),
    grammar("proxy-protocol-uninvited", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + evil(),
            "an address that anybody could forge"),
    grammar("nul-bytes", b"\0" * 64 + b"\r\n\r\n"),
    grammar("8-bit-noise", bytes(range(128, 256)) + b"\r\n\r\n"),
    # -- Blank header section, sanity
    row("http-1.0", "9112 3", b"GET /ok HTTP/1.0\r\n\r\n",
        "1.0 needs no Host and ends with the connection", must=serve(b"GET /ok"),
        should=serve(b"GET /ok", then=CLOSED)),
    row("query", "9112 3.2.1", ok(b"GET /ok?a=b&c=%20d?/e HTTP/1.1"),
        "origin-form", must=serve(b"GET /ok", then=IN_STEP)),
    row("keep-alive-by-default", "9112 9.3", ok(b"GET /ok HTTP/1.1"),
        "servers SHOULD keep connections", should=serve(b"GET /ok", then=OPEN)),
)  # fmt: skip
