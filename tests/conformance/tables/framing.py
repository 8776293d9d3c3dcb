"""Where a body ends: RFC 9112 section 6.  Each body hides a request: a server
that finds another end than the row says takes it for one."""

from rows import (
    CLOSED, IN_STEP, SMUGGLED, coding, dropped, evil, head, post, refuse, reject, row, serve, table,
    waiting,
)  # fmt: skip

TE = b"Transfer-Encoding: "
CL = b"Content-Length: "
SIZE = b"%d" % len(SMUGGLED)
LENGTH = "an invalid Content-Length MUST get 400 and the end of the connection"
FINAL = "where chunked is not the last coding the length is unknown: 400 MUST be the answer"
UNKNOWN = "an unknown coding SHOULD get 501; passing its bytes on as they are is wrong"
BOTH = "Transfer-Encoding wins and the connection MUST be closed, or 400"
OLD = "on HTTP/1.0 the framing is faulty: the connection MUST be closed"


def length(id, value, *more):
    """Invalid: refused."""
    data = evil(CL + value, *more) + b"abc" + SMUGGLED
    return row(id, "9112 6.3", data, LENGTH, must=refuse(400))


def equal(id, *lines):
    """The same length more than once; what follows is no request."""
    data = head(*lines, line=b"POST /echo HTTP/1.1") + SMUGGLED
    return row(id, "9112 6.3", data, "equal values may be taken once, or refused",
               must=refuse(400) | serve(SMUGGLED), ours=refuse(400))  # fmt: skip


def huge(id, value):
    """A server without a limit may wait for so much."""
    data = head(CL + value, line=b"POST /echo HTTP/1.1") + b"abc" + SMUGGLED
    return row(id, "9110 8.6", data, "recipients MUST anticipate numbers that overflow",
               must=refuse(400, 413, 431) | dropped() | waiting(), ours=refuse(400, 413))  # fmt: skip


def coded(*values, line=b"POST /evil HTTP/1.1", body=coding(SMUGGLED)):
    """The coding named so; the request hides in the only chunk."""
    return evil(*(TE + value for value in values), line=line) + body


def unframed(id, *values, ours=(400, 501), why=FINAL, section="9112 6.3"):
    return row(id, section, coded(*values), why, must=refuse(400, 501), ours=refuse(*ours))


def odd(id, *values, why="valid as a list with empty elements; refused where in doubt"):
    """What a lenient reader of lists takes for chunked."""
    data = coded(*values, line=b"POST /echo HTTP/1.1")
    return row(id, "9110 5.6.1.2", data, why,
               must=refuse(400, 501) | serve(SMUGGLED), ours=refuse(400))  # fmt: skip


def both(id, *lines, body=coding(b"abc" + SMUGGLED), why=BOTH):
    data = head(*lines, line=b"POST /echo HTTP/1.1") + body
    return row(id, "9112 6.3", data, why, ours=refuse(400),
               must=refuse(400) | serve(b"abc" + SMUGGLED, then=CLOSED))  # fmt: skip


ROWS = table(
    "framing",
    # -- Content-Length
    row("length", "9112 6.2", post(b"abc" + SMUGGLED), "a body is as long as it says",
        must=serve(b"abc" + SMUGGLED)),
    row("length-0", "9112 6.2", post(b""), "an empty body", must=serve(b"")),
    row("length-with-zeros", "9110 8.6", head(CL + b"0003", line=b"POST /echo HTTP/1.1") + b"abc",
        "1*DIGIT, decimal, never octal", must=serve(b"abc") | refuse(400), ours=serve(b"abc")),
    row("length-010-is-ten", "9110 8.6",
        head(CL + b"010", line=b"POST /echo HTTP/1.1") + b"0123456789",
        "1*DIGIT, decimal, never octal", must=serve(b"0123456789") | refuse(400)),
    row("length-blanks-around", "9112 5.1",
        head(b"Content-Length: \t3 ", line=b"POST /echo HTTP/1.1") + b"abc",
        "blanks around a value are no part of it", must=serve(b"abc")),
    row("length-of-get", "9110 9.3.1", head(CL + b"%d" % len(SMUGGLED)) + SMUGGLED,
        "GET may have a body, which is no request", must=serve(b"GET /ok")
        | refuse(400, 413)),
    row("length-of-head", "9110 9.3.2",
        head(CL + b"%d" % len(SMUGGLED), line=b"HEAD /ok HTTP/1.1") + SMUGGLED,
        "HEAD may have a body, which is no request", must=serve(b"") | refuse(400, 413),
        methods=("HEAD",)),
    row("length-of-delete", "9110 9.3.5",
        head(CL + b"%d" % len(SMUGGLED), line=b"DELETE /ok HTTP/1.1") + SMUGGLED,
        "any method may have a body", must=serve(b"DELETE /ok")),
    row("length-of-unknown-method", "9112 6",
        head(CL + b"%d" % len(SMUGGLED), line=b"BREW /ok HTTP/1.1") + SMUGGLED,
        "framing does not depend on the method",
        must=serve(b"BREW /ok") | refuse(400, 405, 501), ours=serve(b"BREW /ok")),
    row("length-of-1.0", "9112 6.2",
        b"POST /echo HTTP/1.0\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED,
        "HTTP/1.0 has Content-Length", must=serve(SMUGGLED)),
    row("no-length", "9112 6.3", head(line=b"POST /echo HTTP/1.1"),
        "a request without length has no body", must=serve(b"") | reject(411)),
    equal("length-twice", CL + SIZE, CL + SIZE),
    length("length-twice-different", b"3", CL + b"0"),
    length("length-twice-other-order", b"0", CL + b"3"),
    length("length-twice-apart", b"3", b"A: b", b"content-length: 5"),
    equal("length-list", CL + SIZE + b", " + SIZE),
    length("length-list-different", b"3, 5"),
    length("length-list-empty-element", b"3,"),
    length("length-plus", b"+3"),
    length("length-minus", b"-3"),
    length("length-minus-0", b"-0"),
    length("length-hex", b"0x3"),
    length("length-hex-letter", b"a"),
    length("length-underscore", b"1_0"),
    length("length-blank-inside", b"3 3"),
    length("length-tab-inside", b"3\t0"),
    length("length-fraction", b"3.0"),
    length("length-exponent", b"3e0"),
    length("length-quoted", b'"3"'),
    length("length-semicolon", b"3;a"),
    length("length-empty", b""),
    length("length-letters", b"abc"),
    length("length-vt", b"\x0b3"),
    length("length-ff-behind", b"3\x0c"),
    length("length-nbsp", b"\xa03"),
    length("length-other-digits", b"\xb3"),
    length("length-utf-8-digit", "\u0663".encode()),
    length("length-nul", b"3\0"),
    huge("length-2^31", b"2147483648"),
    huge("length-2^32+3", b"4294967299"),
    huge("length-2^63", b"9223372036854775808"),
    huge("length-2^64+3", b"18446744073709551619"),
    huge("length-30-digits", b"9" * 30),
    huge("length-5000-digits", b"9" * 5000),
    # -- Transfer-Encoding
    row("chunked", "9112 7.1", coded(b"chunked", line=b"POST /echo HTTP/1.1"),
        "a recipient MUST be able to decode chunked", must=serve(SMUGGLED)),
    row("chunked-case", "9112 7", coded(b"ChuNKed", line=b"POST /echo HTTP/1.1"),
        "names of codings have no case", must=serve(SMUGGLED)),
    row("chunked-blanks-around", "9112 5.1", coded(b" \tchunked\t ", line=b"POST /echo HTTP/1.1"),
        "blanks around a value are no part of it", must=serve(SMUGGLED)),
    row("chunked-of-get", "9110 9.3.1", coded(b"chunked", line=b"GET /ok HTTP/1.1"),
        "GET may have a body, which is no request", must=serve(b"GET /ok") | refuse(400, 413)),
    row("chunked-of-head", "9110 9.3.2", coded(b"chunked", line=b"HEAD /ok HTTP/1.1"),
        "HEAD may have a body, which is no request", must=serve(b"") | refuse(400, 413),
        methods=("HEAD",)),
    row("chunked-of-options", "9110 9.3.7", coded(b"chunked", line=b"OPTIONS /ok HTTP/1.1"),
        "any method may have a body", must=serve(b"OPTIONS /ok")),
    row("chunked-on-1.0", "9112 6.1", b"POST /echo HTTP/1.0\r\nConnection: keep-alive\r\n" + TE
        + b"chunked\r\n\r\n" + coding(SMUGGLED), OLD,
        must=refuse(400, 501) | serve(SMUGGLED, then=CLOSED), ours=refuse(400)),
    row("chunked-and-length-on-1.0", "9112 6.1", b"POST /echo HTTP/1.0\r\nContent-Length: 3\r\n"
        b"Connection: keep-alive\r\n" + TE + b"chunked\r\n\r\n" + coding(b"abc" + SMUGGLED), OLD,
        must=refuse(400, 501) | serve(b"abc" + SMUGGLED, then=CLOSED), ours=refuse(400)),
    both("chunked-and-length", TE + b"chunked", CL + b"4"),
    both("length-and-chunked", CL + b"4", TE + b"chunked"),
    both("chunked-and-length-0", TE + b"chunked", CL + b"0"),
    both("chunked-and-right-length", TE + b"chunked",
         CL + b"%d" % len(coding(b"abc" + SMUGGLED))),
    row("chunked-and-bad-length", "9112 6.3", evil(TE + b"chunked", CL + b"abc")
        + coding(SMUGGLED), "both are wrong", must=refuse(400), ours=refuse(400)),
    row("length-and-unknown-coding", "9112 6.3", evil(CL + b"0", TE + b"xchunked") + SMUGGLED,
        "never the length where a coding is given", must=refuse(400, 501)),
    row("length-and-identity", "9112 6.3", evil(CL + b"0", TE + b"identity") + SMUGGLED,
        "identity was taken out of HTTP; never the length where a coding is given",
        must=refuse(400, 501)),
    unframed("identity", b"identity"),
    unframed("gzip", b"gzip", ours=(501,)),
    unframed("chunked-gzip", b"chunked, gzip"),
    unframed("chunked-identity", b"chunked, identity"),
    unframed("chunked-then-gzip", b"chunked", b"gzip"),
    unframed("chunked-then-identity", b"chunked", b"identity"),
    unframed("chunked-chunked", b"chunked, chunked", why="chunked MUST NOT be applied twice",
             section="9112 6.1", ours=(400,)),
    unframed("chunked-twice", b"chunked", b"chunked", why="chunked MUST NOT be applied twice",
             section="9112 6.1", ours=(400,)),
    row("gzip-chunked", "9112 6.1", coded(b"gzip, chunked"), UNKNOWN, should=refuse(400, 501),
        ours=refuse(501, 400)),
    row("gzip-then-chunked", "9112 6.1", coded(b"gzip", b"chunked"), UNKNOWN,
        should=refuse(400, 501), ours=refuse(501, 400)),
    unframed("xchunked", b"xchunked"),
    unframed("chunkedx", b"chunkedx"),
    unframed("chunk", b"chunk"),
    unframed("chunked-word-behind", b"chunked foo"),
    unframed("word-chunked", b"foo chunked"),
    unframed("chun-ked", b"chun ked"),
    unframed("chunked-quoted", b'"chunked"'),
    unframed("chunked-single-quoted", b"'chunked'"),
    unframed("chunked-vt", b"\x0bchunked", why="VT is no blank of HTTP", ours=(400,)),
    unframed("chunked-ff-behind", b"chunked\x0c", why="FF is no blank of HTTP", ours=(400,)),
    unframed("chunked-nbsp", b"\xa0chunked", why="NBSP is no blank of HTTP"),
    unframed("chunked-nul", b"chunked\0", ours=(400,)),
    unframed("chunked-8-bit", b"chun\xeb\xe4d"),
    unframed("chunked-kelvin", "chun\u212aed".encode(), why="Unicode's Kelvin sign lowers to k"),
    unframed("coding-of-digits", b"1"),
    odd("coding-empty", b"", why="an empty list is no coding"),
    odd("comma-chunked", b", chunked"),
    odd("chunked-comma", b"chunked,"),
    odd("chunked-and-empty-field", b"chunked", b""),
    odd("chunked-parameter", b"chunked;a=b", why="chunked has no parameters"),
    odd("chunked-semicolon", b"chunked;", why="chunked has no parameters"),
    row("coding-with-space-before-colon", "9112 5.1",
        evil(b"Transfer-Encoding : chunked", CL + b"0") + coding(SMUGGLED),
        "read as a coding by one and not by the other", must=refuse(400)),
    row("coding-folded", "9112 5.2",
        head(TE.rstrip() + b"\r\n chunked", line=b"POST /echo HTTP/1.1") + coding(SMUGGLED),
        "read as a coding by one and not by the other",
        must=refuse(400, 501) | serve(SMUGGLED), ours=refuse(400)),
    row("coding-behind-lf", "9112 2.2",
        evil(b"A: b\nTransfer-Encoding: chunked", CL + b"%d" % len(coding(SMUGGLED)))
        + coding(SMUGGLED),
        "a line end that one sees and the other does not", must=refuse(400)),
    row("coding-behind-cr", "9112 2.2",
        head(b"A: b\rTransfer-Encoding: chunked", CL + b"%d" % len(coding(SMUGGLED)),
             line=b"POST /echo HTTP/1.1") + coding(SMUGGLED),
        "a bare CR MUST be invalid or become SP",
        must=refuse(400) | serve(coding(SMUGGLED))),
    row("coding-with-underscore", "9112 6.1",
        head(b"Transfer_Encoding: chunked", CL + b"%d" % len(SMUGGLED),
             line=b"POST /echo HTTP/1.1") + SMUGGLED,
        "another header, whatever environ makes of its name",
        must=serve(SMUGGLED) | refuse(400), ours=serve(SMUGGLED)),
    row("length-with-underscore", "9112 6.2",
        head(b"Content_Length: 3", CL + b"%d" % len(SMUGGLED),
             line=b"POST /echo HTTP/1.1") + SMUGGLED,
        "another header, whatever environ makes of its name",
        must=serve(SMUGGLED) | refuse(400), ours=serve(SMUGGLED)),
    row("bare-length-in-connection", "9110 7.6.1",
        head(b"Connection: content-length", CL + b"%d" % len(SMUGGLED),
             line=b"POST /echo HTTP/1.1") + SMUGGLED,
        "a Connection option does not take the length away",
        must=serve(SMUGGLED) | refuse(400)),
    row("te-header", "9110 10.1.4", head(b"TE: trailers, chunked"), "TE is about the answer",
        must=serve(b"GET /ok", then=IN_STEP)),
)  # fmt: skip
