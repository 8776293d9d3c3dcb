"""PEP 3333 as an application finds it that checks what it is given; most of
it under wsgiref.validate (apps/inside.py)."""

from rows import AWAIT, chunked, coding, head, post, row, serve, serve_all, table

BODY = b"line one\nline two\n\nlast without end"
INPUT = "3333 Input and Error Streams"
ENVIRON = "3333 environ Variables"


def get(check):
    return head(line=b"GET /" + check.encode() + b" HTTP/1.1")


def inside(check, section, why, kind="must", app="inside:app"):
    return row(check, section, get(check), why, app=app, **{kind: serve(b"ok")})


def reading(check, why, kind="must", app="inside:app"):
    """With a body of either framing."""
    path = b"/" + check.encode()
    return [
        row(f"{check}-of-length", INPUT, post(BODY, path=path), why, app=app,
            **{kind: serve(b"ok")}),
        row(f"{check}-of-chunks", INPUT, chunked(coding(BODY[:6], BODY[6:7], BODY[7:]), path=path),
            why, app=app, **{kind: serve(b"ok")}),
    ]  # fmt: skip


BARE = "inside:bare"

ROWS = table(
    "inside",
    inside("environ-is-a-dict", ENVIRON, "a builtin dict, no subclass", app=BARE),
    inside("environ-can-be-changed", ENVIRON, "the application may do with it what it likes"),
    row("environ-is-not-shared", ENVIRON,
        (get("environ-is-not-shared"), AWAIT, get("environ-is-not-shared")),
        "each request has its own", app=BARE, must=serve_all(b"ok", b"ok").but(prefix=True)),
    row("environ-stays", "CVE-2014-0242", [step for i in range(8) for step in (
        head(b"X-Value: %d" % i * 20, line=b"GET /environ-stays?%d HTTP/1.1" % i), AWAIT)],
        "its strings are its own", app=BARE,
        must=serve_all(*[b"ok"] * 8).but(prefix=True)),
    inside("required-keys", ENVIRON, "all that PEP 3333 requires"),
    inside("variables-are-native-strings", ENVIRON, "str, exactly", app=BARE),
    inside("strings-are-latin-1", "3333 Unicode", "code points up to 255"),
    inside("version-is-a-tuple", ENVIRON, "(1, 0)", app=BARE),
    inside("nothing-of-the-process", ENVIRON, "no secrets of os.environ", "ours"),
    inside("script-name-and-path", ENVIRON, "together they are a path"),
    inside("url-can-be-made-again", "3333 URL Reconstruction", "by the algorithm of the PEP"),
    inside("run-once-is-false", ENVIRON, "it will be called again"),
    inside("input-methods", INPUT, "read, readline, readlines, __iter__"),
    *reading("read-of-a-size", "as many bytes, no more"),
    *reading("read-beyond-the-end", "the end is the end of the body, for ever"),
    *reading("read-of-0", "nothing is taken"),
    *reading("read-byte-by-byte", "the end comes by itself"),
    *reading("readline", "with their ends, the last without"),
    *reading("readlines", "all of them"),
    *reading("readlines-with-a-hint", "which may be ignored", app=BARE),
    *reading("iteration", "by lines"),
    *reading("iteration-then-read", "nothing is buffered away", "ours"),
    *reading("mixed-reading", "one position for all"),
    *reading("read-without-size", "should be allowed", "should", BARE),
    *reading("read-of-minus-1", "as files do", "ours", BARE),
    *reading("readline-of-a-size", "optional in the PEP, used by everybody", "ours", BARE),
    *reading("readline-of-minus-1", "as files do", "ours", BARE),
    *reading("text-io-around-input", "what parsers of forms do"),
    inside("empty-input", INPUT, "a request without a body has an empty one"),
    inside("empty-input-without-size", INPUT, "it never waits for the client", "should", BARE),
    inside("errors-methods", INPUT, "write, writelines, flush"),
    inside("errors-takes-any-text", INPUT, "whatever the locale", "ours"),
    inside("errors-by-print", INPUT, "a text stream"),
    inside("errors-refuses-bytes", INPUT, "a text stream", "ours", BARE),
    inside("stdout-is-not-the-client", ENVIRON, "what is printed goes to no client"),
)  # fmt: skip
