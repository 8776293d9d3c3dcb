"""Chunked bodies: RFC 9112 section 7.1.  What is wrong in one must never end
the body for the application, nor start a request."""

from rows import (
    IN_STEP, NEXT, SMUGGLED, both, broken, chunked, coding, count, refuse, row, serve,
    serve_all, table, variables, waiting,
)  # fmt: skip

SIZE = "chunk-size is 1*HEXDIG and nothing else"
WRAP = "recipients MUST anticipate sizes that overflow their integers"
ENDS = "a chunk ends with CRLF; what else is there was counted differently by somebody"
LONG = b"x" * 20000


def bad(id, body, why=SIZE, ours=(400,)):
    return row(id, "9112 7.1", chunked(body + SMUGGLED), why, ours=refuse(*ours),
               must=broken() | waiting())  # fmt: skip


def size(id, text, **more):
    return bad(id, text + b"\r\nabc\r\n0\r\n\r\n", **more)


def huge(id, text):
    return size(id, text, why=WRAP, ours=(400, 413))


def good(id, body, expected, why="valid", section="9112 7.1", **more):
    return row(id, section, chunked(body), why, must=serve(expected), **more)


ROWS = table(
    "chunks",
    # -- Sizes
    size("size-letter", b"g"),
    size("size-empty", b""),
    size("size-plus", b"+3"),
    size("size-minus", b"-3"),
    size("size-minus-0", b"-0"),
    size("size-0x", b"0x3"),
    size("size-underscore", b"0_3"),
    size("size-h", b"3h"),
    size("size-blank-before", b" 3"),
    size("size-tab-before", b"\t3"),
    size("size-blank-inside", b"3 3"),
    size("size-comma", b"3,3"),
    size("size-dot", b"3.0"),
    size("size-vt", b"\x0b3"),
    size("size-nbsp", b"\xa03"),
    size("size-nul", b"3\0"),
    size("size-8-bit-digit", b"\xb3"),
    row("size-blank-behind", "9112 7.1", chunked(b"3 \r\nabc\r\n0\r\n\r\n" + SMUGGLED), SIZE,
        ours=refuse(400)),
    row("size-tab-behind", "9112 7.1", chunked(b"3\t\r\nabc\r\n0\r\n\r\n" + SMUGGLED), SIZE,
        ours=refuse(400)),
    huge("size-2^64+3", b"10000000000000003"),
    huge("size-2^32+3", b"100000003"),
    huge("size-minus-3-as-2^64", b"FFFFFFFFFFFFFFFD"),
    huge("size-2^63", b"8000000000000000"),
    huge("size-17-digits", b"FFFFFFFFFFFFFFFFF"),
    huge("size-500-digits", b"F" * 500),
    row("size-endless-zeros", "9112 7.1", chunked(b"0" * 70000 + b"3\r\nabc\r\n0\r\n\r\n"),
        "valid by the grammar, but no end of a line that means nothing", ours=refuse(400)),
    good("size-zeros", b"0003\r\nabc\r\n000\r\n\r\n", b"abc", "leading zeros are HEXDIG"),
    good("size-both-cases", b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
         b"0123456789" * 2, "HEXDIG has no case"),
    # -- Line ends
    bad("data-without-crlf", b"3\r\nabc0\r\n\r\n", ENDS),
    bad("data-longer", b"3\r\nabcd\r\n0\r\n\r\n", ENDS),
    bad("data-longer-by-two", b"3\r\nabcde0\r\n\r\n", ENDS),
    bad("data-shorter", b"5\r\nabc\r\n0\r\n\r\n", ENDS),
    bad("data-with-request-instead-of-end", b"3\r\nabc" + SMUGGLED, ENDS),
    bad("data-lf", b"3\r\nabc\n0\r\n\r\n", ENDS),
    bad("data-cr", b"3\r\nabc\r0\r\n\r\n", ENDS),
    bad("data-lf-cr", b"3\r\nabc\n\r0\r\n\r\n", ENDS),
    bad("size-lf", b"3\nabc\r\n0\r\n\r\n", "no bare LF in the chunked coding"),
    bad("size-cr", b"3\rabc\r\n0\r\n\r\n", "no bare CR in the chunked coding"),
    bad("size-cr-x", b"3\rxabc\r\n0\r\n\r\n", "no bare CR in the chunked coding"),
    bad("size-cr-cr-lf", b"3\r\r\nabc\r\n0\r\n\r\n", "no bare CR in the chunked coding"),
    bad("last-lf", b"3\r\nabc\r\n0\n\r\n", "no bare LF in the chunked coding"),
    bad("last-lf-lf", b"3\r\nabc\r\n0\n\n", "no bare LF in the chunked coding"),
    row("end-lf", "9112 2.2", chunked(b"3\r\nabc\r\n0\r\n\n" + SMUGGLED),
        "a trailer's line end may be a bare LF; here it is not", ours=refuse(400)),
    bad("end-cr", b"3\r\nabc\r\n0\r\n\rX", "no bare CR at the end"),
    bad("empty-line-before-size", b"\r\n3\r\nabc\r\n0\r\n\r\n", SIZE),
    bad("empty-line-between", b"3\r\nabc\r\n\r\n0\r\n\r\n", SIZE),
    # -- Extensions
    good("extension", b"3;a\r\nabc\r\n0\r\n\r\n", b"abc",
         "an unknown extension MUST be ignored", "9112 7.1.1"),
    good("extension-value", b"3;a=b\r\nabc\r\n0;c=d\r\n\r\n", b"abc",
         "an unknown extension MUST be ignored", "9112 7.1.1"),
    good("extension-quoted", b'3;a="b;c"\r\nabc\r\n0\r\n\r\n', b"abc",
         "an unknown extension MUST be ignored", "9112 7.1.1"),
    good("extensions", b"3;a;b=c;d\r\nabc\r\n0\r\n\r\n", b"abc",
         "an unknown extension MUST be ignored", "9112 7.1.1"),
    good("extension-blanks", b"3;a = b\r\nabc\r\n0\r\n\r\n", b"abc",
         "bad whitespace MUST be parsed", "9112 7.1.1"),
    good("extension-blank-before", b"3 ;a\r\nabc\r\n0\r\n\r\n", b"abc",
         "bad whitespace MUST be parsed", "9112 7.1.1"),
    good("extension-8-bit", b'3;a="\xe9"\r\nabc\r\n0\r\n\r\n', b"abc",
         "obs-text is allowed in a quoted string", "9112 7.1.1"),
    bad("extension-lf", b"3;a\nabc\r\n0\r\n\r\n", "no bare LF in the chunked coding"),
    bad("extension-lf-request",
        b"2;\nxx\r\n%x\r\n0\r\n\r\n" % (len(SMUGGLED) + 7) + SMUGGLED + b"\r\n0\r\n\r\n",
        "a line end that one sees and the other does not: TERM.EXT"),
    bad("extension-cr", b"3;a\rb\r\nabc\r\n0\r\n\r\n", "no bare CR in the chunked coding"),
    row("extension-control", "9112 7.1.1", chunked(b"3;a\x01\r\nabc\r\n0\r\n\r\n" + SMUGGLED),
        "an extension is a token or a quoted string", ours=refuse(400)),
    row("extension-nul", "9112 7.1.1", chunked(b"3;a\0\r\nabc\r\n0\r\n\r\n" + SMUGGLED),
        "an extension is a token or a quoted string", ours=refuse(400)),
    row("extension-too-long", "9112 7.1.1", chunked(b"3;" + LONG * 5 + b"\r\nabc\r\n0\r\n\r\n"),
        "the length of extensions SHOULD be limited: CVE-2024-22019",
        should=broken(), ours=refuse(400)),
    row("extensions-too-many", "9112 7.1.1",
        chunked(b"1;xxxxxxxxxxxxxxxx\r\na\r\n" * 4000 + b"0\r\n\r\n"),
        "the length of extensions SHOULD be limited, over all chunks", should=broken(),
        ours=refuse(400)),
    # -- Trailers
    row("trailers", "9110 6.5.1",
        chunked(b"3\r\nabc\r\n0\r\nX-Late: 1\r\nHost: evil\r\nContent-Length: 99\r\n\r\n",
                path=b"/environ"),
        "trailers MUST NOT be merged into the header section",
        must=serve(variables(HTTP_X_LATE=None, HTTP_HOST="localhost",
                             CONTENT_LENGTH=lambda v: v != "99"))),
    good("trailers-end-the-body", b"3\r\nabc\r\n0\r\nA: b\r\nC: d\r\n\r\n", b"abc",
         "trailers belong to the body", "9112 7.1.2"),
    row("trailer-is-no-request", "9112 7.1.2",
        chunked(b"3\r\nabc\r\n0\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"),
        "a trailer is a field with a colon", must=broken() | serve(b"abc"),
        ours=refuse(400)),
    row("trailer-coding", "9110 6.5.1",
        chunked(b"0\r\nTransfer-Encoding: chunked\r\n\r\n") + NEXT,
        "framing fields in trailers mean nothing",
        must=broken() | serve_all(b"", b"GET /next").but(prefix=True)),
    row("trailer-fold", "9112 5.2", chunked(b"0\r\nA: b\r\n c\r\n\r\n"),
        "obs-fold, as in headers", ours=refuse(400)),
    row("trailer-without-colon", "9112 7.1.2", chunked(b"0\r\nabc\r\n\r\n"),
        "a trailer is a field", ours=refuse(400)),
    row("trailer-space-before-colon", "9112 5.1", chunked(b"0\r\nA : b\r\n\r\n"),
        "as in headers", ours=refuse(400)),
    row("trailer-control", "9110 5.5", chunked(b"0\r\nA: b\x01\r\n\r\n"),
        "as in headers", ours=refuse(400)),
    row("trailer-lf", "9112 2.2", chunked(b"0\r\nA: b\n\r\n"),
        "as in headers", ours=refuse(400)),
    row("trailers-too-long", "9112 7.1.2", chunked(b"0\r\nA: " + LONG * 5 + b"\r\n\r\n"),
        "no endless trailers", ours=refuse(400, 431)),
    row("trailers-too-many", "9112 7.1.2", chunked(b"0\r\n" + b"A: b\r\n" * 20000 + b"\r\n"),
        "no endless trailers", ours=refuse(400, 431)),
    # -- Bodies
    good("empty", coding(), b"", "an empty body"),
    good("one", coding(b"abc"), b"abc", "one chunk"),
    good("many", coding(*[b"%d" % i for i in range(300)]),
         b"".join(b"%d" % i for i in range(300)), "many chunks"),
    good("data-like-framing", coding(b"\r\n0\r\n\r\n", SMUGGLED), b"\r\n0\r\n\r\n" + SMUGGLED,
         "data is counted, not read"),
    good("large", coding(b"x" * 70000, b"y" * 70000), b"x" * 70000 + b"y" * 70000,
         "larger than any buffer"),
    row("input-is-whole", "3333 wsgi.input", chunked(coding(b"abc", b"de"), path=b"/environ"),
        "the application can tell how much there is",
        ours=serve(variables(CONTENT_LENGTH="5", HTTP_TRANSFER_ENCODING=None,
                             **{"wsgi.input_terminated": True}))),
    row("application-is-called-once", "9112 7.1", chunked(coding(b"abc")), "and no more",
        must=serve(b"abc", events=both(count("call", 1), count("body", 1)))),
    row("body-unread", "9112 9.3", chunked(coding(SMUGGLED), path=b"/ignore"),
        "an unread body MUST be read or the connection closed",
        must=serve(b"POST /ignore", then=IN_STEP)),
    row("body-half-read", "9112 9.3", chunked(coding(b"abc", SMUGGLED), path=b"/some"),
        "an unread body MUST be read or the connection closed",
        must=serve(b"POST /some", then=IN_STEP)),
)  # fmt: skip
