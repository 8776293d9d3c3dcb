"""environ as the wire makes it: PEP 3333, environ Variables."""

from rows import chunked, coding, head, row, serve, table, variables

SECTION = "3333 environ Variables"
# Some servers leave an encoded slash alone, and a NUL may be refused.
BYTES = bytes(i for i in range(1, 256) if i != ord("/"))


def environ(*lines, target=b"/environ", method=b"GET", version=b"1.1", **more):
    return head(*lines, line=method + b" " + target + b" HTTP/" + version, **more)


def has(id, data, why, kind="must", section=SECTION, **expected):
    return row(id, section, data, why, **{kind: serve(variables(**expected))})


def empty(value):
    return value in (None, "")


def path(id, raw, decoded, why, kind="must"):
    """PATH_INFO, which the recorder repeats."""
    want = serve(b"GET /" + decoded)
    return row(id, SECTION, head(line=b"GET /" + raw + b" HTTP/1.1"), why, **{kind: want})


ROWS = table(
    "environ",
    has("method", environ(method=b"PUT"), "as it is on the wire", REQUEST_METHOD="PUT"),
    has("path", environ(), "PATH_INFO", PATH_INFO="/environ"),
    has("script-name", environ(), "empty at the root of the server", SCRIPT_NAME=""),
    has("query", environ(target=b"/environ?a=%20b&c=d?e"), "raw", QUERY_STRING="a=%20b&c=d?e"),
    has("query-of-8-bit-escapes", environ(target=b"/environ?%C3%A9+b"), "raw",
        QUERY_STRING="%C3%A9+b"),
    has("no-query", environ(), "empty, or missing", QUERY_STRING=empty),
    has("no-query-is-there", environ(), "many applications read it without asking", "should",
        QUERY_STRING=""),
    has("empty-query", environ(target=b"/environ?"), "empty", PATH_INFO="/environ",
        QUERY_STRING=empty),
    has("protocol-1.1", environ(), "of the request", SERVER_PROTOCOL="HTTP/1.1"),
    has("protocol-1.0", environ(version=b"1.0"), "of the request", SERVER_PROTOCOL="HTTP/1.0"),
    has("server-port", environ(), "a str that is never empty",
        SERVER_PORT=lambda v: isinstance(v, str) and v.isdigit()),
    has("server-name", environ(), "a str that is never empty",
        SERVER_NAME=lambda v: isinstance(v, str) and v),
    has("host-is-not-server-name", environ(host=b"Host: example.org:99"),
        "HTTP_HOST for URLs; SERVER_NAME is the server's", "ours", HTTP_HOST="example.org:99",
        SERVER_NAME=lambda v: v != "example.org"),
    has("remote-addr", environ(), "CGI has it", "ours",
        REMOTE_ADDR=lambda v: v and v.startswith("127.")),
    has("remote-port", environ(), "what logs want", "ours", REMOTE_PORT=lambda v: v.isdigit()),
    has("content-type", environ(b"Content-Type: text/x; a=b"), "without HTTP_",
        CONTENT_TYPE="text/x; a=b"),
    has("no-content-type", environ(), "empty, or missing", CONTENT_TYPE=empty),
    has("content-type-once", environ(b"Content-Type: text/x"),
        "CGI has no HTTP_CONTENT_TYPE", "ours", HTTP_CONTENT_TYPE=None),
    has("content-length", environ(b"Content-Length: 3", method=b"POST") + b"abc", "without HTTP_",
        CONTENT_LENGTH="3"),
    has("no-content-length", environ(), "empty, or missing",
        CONTENT_LENGTH=lambda v: v in (None, "", "0")),
    has("content-length-once", environ(b"Content-Length: 0"),
        "CGI has no HTTP_CONTENT_LENGTH", "ours", HTTP_CONTENT_LENGTH=None),
    has("coding-is-gone", chunked(coding(b"abc"), path=b"/environ"),
        "the body is decoded; an application that sees the header would decode again", "ours",
        HTTP_TRANSFER_ENCODING=None, CONTENT_LENGTH="3", **{"wsgi.input_terminated": True}),
    has("scheme", environ(), "http", wsgi__url_scheme="http"),
    has("version", environ(), "(1, 0)", **{"wsgi.version": [1, 0]}),
    has("flags", environ(), "bool, or what is as true",
        wsgi__multithread=lambda v: v is not None, wsgi__multiprocess=lambda v: v is not None,
        wsgi__run_once=lambda v: not v),
    has("flags-are-bool", environ(), "True and False", "ours",
        wsgi__multithread=lambda v: isinstance(v, bool),
        wsgi__multiprocess=lambda v: isinstance(v, bool), wsgi__run_once=False),
    has("input-terminated", environ(), "a body may be read to its end", "ours",
        **{"wsgi.input_terminated": True}),
    has("request-uri", environ(target=b"/environ?%7E"), "as received", "ours",
        REQUEST_URI="/environ?%7E", RAW_URI="/environ?%7E"),
    has("server-software", environ(), "says who serves", "ours", SERVER_SOFTWARE=bool),
    has("no-https", environ(), "no HTTPS=on without TLS",
        HTTPS=lambda v: v in (None, "", "off", "0")),
    has("connection-header", environ(b"Connection: x"), "headers are passed on", "ours",
        HTTP_CONNECTION="x"),
    has("authorization", environ(b"Authorization: Basic YTpi"),
        "applications authenticate by it", HTTP_AUTHORIZATION="Basic YTpi"),
    has("referer-with-8-bit", environ(b"Referer: /caf\xc3\xa9"), "latin-1",
        HTTP_REFERER="/caf\xc3\xa9"),
    has("absolute-path-info", environ(target=b"http://localhost/environ?a"),
        "absolute-form has a path and a query as well", PATH_INFO="/environ", QUERY_STRING="a"),
    path("utf-8", b"caf%C3%A9", b"caf\xc3\xa9", "bytes as latin-1"),
    path("latin-1", b"caf%e9", b"caf\xe9", "bytes as latin-1"),
    path("encoded-slash", b"a%2Fb", b"a/b", "decoded, as CGI does", "ours"),
    path("encoded-question", b"a%3Fb", b"a?b", "decoded, and no query"),
    path("encoded-hash", b"a%23b", b"a#b", "decoded"),
    path("encoded-percent", b"a%2541b", b"a%41b", "decoded once"),
    path("encoded-space", b"a%20b", b"a b", "decoded"),
    path("encoded-crlf", b"a%0D%0Ab", b"a\r\nb", "decoded: PATH_INFO is no header", "ours"),
    path("plus", b"a+b", b"a+b", "plus is no blank in a path"),
    path("semicolon", b"a;b=c", b"a;b=c", "parameters are part of the path"),
    path("dots", b"a/./b/../c", b"a/./b/../c", "as it is: the application decides", "ours"),
    path("encoded-dots", b"%2e%2e/a", b"../a", "as it is: the application decides", "ours"),
    path("slashes", b"/a//b//", b"/a//b//", "as they are", "ours"),
    path("every-byte", b"".join(b"%%%02X" % i for i in BYTES), BYTES, "each as its code point"),
)  # fmt: skip
