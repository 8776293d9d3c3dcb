"""The same bytes in any segments: each row cuts a request at every byte."""

from rows import (
    ALONE, CLOSED, EVERY_BYTE, NEXT, SMUGGLED, Answer, Want, chunked, coding, evil, head, post,
    refuse, row, serve, serve_all, table, variables,
)  # fmt: skip

WHY = "TCP has no messages: where it is cut means nothing"


def split(id, data, section="9112 2", methods=("GET",), **wants):
    return row(id, section, data, WHY, cut=EVERY_BYTE, methods=methods, **wants)


def alone(id, data, section="9112 2", **wants):
    return row(id, section, data, WHY, cut=ALONE, **wants)


SHORT = b"GET /ok?a HTTP/1.1\r\nHost: a\r\n"
ENVIRON = b"GET /environ?a=b HTTP/1.1\r\nHost: a\r\nX-Some: \t c d \t\r\nx-some:e\r\n\r\n"
IN_CHUNKS = chunked(b"3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nX-T: u\r\n\r\n")

ROWS = table(
    "splits",
    split("get", SHORT + b"\r\n", must=serve(b"GET /ok")),
    split("fields", ENVIRON, must=serve(variables(
        QUERY_STRING="a=b", HTTP_X_SOME=lambda v: v.replace(" ", "") == "cd,e"))),
    split("absolute-form", b"GET http://b/ok HTTP/1.1\r\nHost: a\r\n\r\n", must=serve(b"GET /ok")),
    split("http-1.0", b"GET /ok HTTP/1.0\r\n\r\n", must=serve(b"GET /ok", then=CLOSED)),
    split("head", b"HEAD /ok HTTP/1.1\r\nHost: a\r\n\r\n", must=serve(b""), methods=("HEAD",)),
    split("empty-line-before", b"\r\n" + SHORT + b"\r\n", should=serve(b"GET /ok")),
    split("length", post(b"abc"), must=serve(b"abc")),
    split("length-with-request", post(SMUGGLED), must=serve(SMUGGLED)),
    split("chunked", IN_CHUNKS, must=serve(b"abcde")),
    split("chunked-with-request", chunked(coding(SMUGGLED)), must=serve(SMUGGLED)),
    split("pipeline", SHORT + b"\r\n" + post(b"abc") + NEXT,
          must=serve_all(b"GET /ok", b"abc", b"GET /next").but(prefix=True)),
    split("expect", head(b"Expect: 100-continue", b"Content-Length: 3",
                         line=b"POST /echo HTTP/1.1") + b"abc",
          must=serve(b"abc") | Want((Answer((100,)), Answer((200,), b"abc")))),
    split("refused-space-before-colon", evil(b"A : b"), must=Want((Answer((400,)),), None),
          ours=refuse(400)),
    split("refused-fold", evil(b"A: b", b" c"), ours=refuse(400)),
    split("refused-lf", b"GET /evil HTTP/1.1\r\nHost: a\nB: c\r\n\r\n", ours=refuse(400)),
    split("refused-no-host", b"GET /evil HTTP/1.1\r\nA: b\r\n\r\n",
          must=Want((Answer((400,)),), None), ours=refuse(400)),
    split("refused-coding-and-length",
          b"POST /evil HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
          b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ours=refuse(400)),
    split("refused-chunk", b"POST /evil HTTP/1.1\r\nHost: a\r\n"
          b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcX\r\n0\r\n\r\n", ours=refuse(400)),
    split("refused-version", b"GET /evil HTTP/2.0\r\nHost: a\r\n\r\n", ours=refuse(505)),
    alone("alone-get", SHORT + b"\r\n", must=serve(b"GET /ok")),
    alone("alone-fields", ENVIRON, must=serve(variables(QUERY_STRING="a=b"))),
    alone("alone-length", post(SMUGGLED), must=serve(SMUGGLED)),
    alone("alone-chunked", IN_CHUNKS, must=serve(b"abcde")),
    alone("alone-chunked-with-request", chunked(coding(SMUGGLED)), must=serve(SMUGGLED)),
    alone("alone-refused", evil(b"A : b"), ours=refuse(400)),
)  # fmt: skip
