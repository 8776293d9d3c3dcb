"""Host: RFC 9112 section 3.2."""

from rows import evil, head, refuse, reject, row, serve, table, variables

WHY = "a missing, second or invalid Host MUST be refused: caches and virtual hosts are keyed by it"


def hosted(value):
    return evil(host=b"Host: " + value)


def bad(id, data, why=WHY):
    return row(id, "9112 3.2", data, why, must=reject(400), ours=refuse(400))


def good(id, value, expected=None):
    """A value that is valid; the application sees it as it is."""
    data = head(line=b"GET /environ HTTP/1.1", host=b"Host: " + value)
    want = serve(variables(HTTP_HOST=(expected or value.decode())))
    return row(id, "9112 3.2", data, "valid by RFC 3986", must=want)


def absolute(id, target, host, expected):
    data = head(line=b"GET " + target + b" HTTP/1.1", host=host and b"Host: " + host)
    return row(id, "9112 3.2.2", data, "the target's authority MUST replace Host",
               must=serve(variables(HTTP_HOST=expected)))  # fmt: skip


ROWS = table(
    "host",
    bad("none", evil(host=None)),
    bad("two-equal", evil(b"Host: localhost")),
    bad("two-different", evil(b"Host: other")),
    bad("two-in-both-cases", evil(b"hOST: other")),
    bad("none-with-absolute-form", evil(line=b"GET http://a/evil HTTP/1.1", host=None)),
    bad("two-with-absolute-form", evil(b"Host: b", line=b"GET http://a/evil HTTP/1.1")),
    bad("blank", hosted(b"a b")),
    bad("slash", hosted(b"a/b")),
    bad("user", hosted(b"u@a")),
    bad("list", hosted(b"a, b")),
    bad("open-bracket", hosted(b"[::1")),
    bad("close-bracket", hosted(b"::1]")),
    bad("port-no-number", hosted(b"a:b")),
    bad("port-minus", hosted(b"a:-1")),
    bad("port-plus", hosted(b"a:+80")),
    bad("two-ports", hosted(b"a:80:81")),
    bad("query", hosted(b"a?b")),
    bad("fragment", hosted(b"a#b")),
    bad("backslash", hosted(b"a\\b")),
    bad("quote", hosted(b'a"b')),
    bad("angle", hosted(b"<a>")),
    bad("8-bit", hosted(b"caf\xe9")),
    bad("bad-percent", hosted(b"a%zz")),
    bad("scheme", hosted(b"http://a")),
    bad("two-on-1.0", b"GET /evil HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n"),
    good("name", b"example.org"),
    good("port", b"example.org:8080"),
    good("empty-port", b"example.org:"),
    good("ipv4", b"127.0.0.1:80"),
    good("ipv6", b"[::1]:80"),
    good("ipv6-with-ipv4", b"[::ffff:127.0.0.1]"),
    good("underscore", b"my_host"),
    good("upper-case", b"EXAMPLE.org"),
    good("encoded", b"a%41"),
    good("sub-delims", b"a!$&'()*+;=b"),
    row("empty", "9112 3.2", head(line=b"GET /ok HTTP/1.1", host=b"Host:"),
        "a client without an authority MUST send an empty Host", must=serve(b"GET /ok")),
    absolute("absolute-other", b"http://other/environ", b"localhost", "other"),
    absolute("absolute-with-port", b"http://other:81/environ", b"localhost:80", "other:81"),
    absolute("absolute-same", b"http://localhost/environ", b"localhost", "localhost"),
)  # fmt: skip
