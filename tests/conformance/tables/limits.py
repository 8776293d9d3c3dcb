"""Limits, as far as they can be seen in any configuration: sizes that every
server must take, and sizes that none should."""

from rows import CLOSED, Answer, Want, evil, head, post, refuse, reject, row, serve, table, variables

FLOOD = "no client decides how much memory a server uses"


def big(id, section, data, status, why=FLOOD):
    """So large that only a server without limits takes it; by whichever
    status it refuses, the application is not called."""
    return row(id, section, data, why, should=refuse(400, 413, 414, 431), ours=refuse(status))


ROWS = table(
    "limits",
    row("line-of-8000", "9112 3", head(line=b"GET /" + b"x" * 7980 + b" HTTP/1.1"),
        "request lines of 8000 octets are RECOMMENDED", should=serve(b"GET /" + b"x" * 7980)),
    row("query-of-4000", "9112 3", head(line=b"GET /ok?" + b"x" * 4000 + b" HTTP/1.1"),
        "longer than any form's", should=serve(b"GET /ok")),
    row("field-of-8000", "9110 5.4", head(b"A: " + b"x" * 8000, line=b"GET /environ HTTP/1.1"),
        "cookies of several applications", ours=serve(variables(HTTP_A="x" * 8000))),
    row("line-of-100000", "9110 15.5.15", head(line=b"GET /ok?" + b"x" * 100_000 + b" HTTP/1.1"),
        "a target longer than is read MUST get 414", must=reject(414) | serve(), ours=refuse(414)),
    row("line-endless", "9110 15.5.15", b"GET /evil" + b"x" * 300_000,
        "answered before it ends", should=refuse(400, 414), ours=refuse(414)),
    row("method-endless", "9112 3", b"G" * 300_000, "answered before it ends",
        should=refuse(400, 414, 501)),
    big("field-of-100000", "9110 5.4", evil(b"A: " + b"x" * 100_000), 431),
    big("field-endless", "9110 5.4", b"GET /evil HTTP/1.1\r\nHost: a\r\nA: " + b"x" * 2_000_000, 431),
    big("name-of-100000", "9110 5.4", evil(b"A" * 100_000 + b": b"), 431),
    big("fields-20000", "9110 5.4", evil(*(b"X-%d: y" % i for i in range(20_000))), 431),
    big("fields-endless", "9110 5.4", b"GET /evil HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 350_000,
        431),
    row("length-over-all", "9110 15.5.14", evil(b"Content-Length: 99999999999999"),
        "refused by what it announces, before a byte of it", ours=refuse(413)),
    row("chunk-over-all", "9110 15.5.14",
        evil(b"Transfer-Encoding: chunked") + b"5af3107a3fff\r\n",
        "refused by what it announces, before a byte of it", ours=refuse(413)),
    row("body-of-2000000", "9110 8.6", post(bytes(range(256)) * 8000),
        "larger than what is kept in memory", must=serve(bytes(range(256)) * 8000)),
    row("413-says-close", "9110 15.5.14", evil(b"Content-Length: 99999999999999") + b"x" * 30000,
        "the answer arrives, though the client sends",
        ours=Want((Answer((413,), headers={"Connection": "close"}),), CLOSED, called=False)),
)  # fmt: skip
