"""PEP 3333 as the application sees it from the other side of the call:
start_response, write(), exc_info, close(), mistakes."""

from rows import CLOSED, IN_STEP, Answer, Leave, Want, count, head, row, table
from tables.responses import BLOCK, SERVER_ERROR, answer, get, in_step, one

START = "3333 start_response"
WRITE = "3333 write"
ERRORS = "3333 Error Handling"
CLOSE = "3333 close()"


def works(id, section, path, why, body, status=200, method="GET", **headers):
    want = one(status, body=body, **headers)
    return answer(id, section, path, why, must=in_step(want), method=method)


def closes(id, path, why="close() is called at the end, once", method="GET"):
    want = Want((Answer(tuple(range(200, 600)), complete=None),), None, events=count("close", 1))
    data = get(path, b"Connection: close", method=method.encode())
    return row(id, CLOSE, data, why, must=want, app="answers:app", methods=(method,))


def mistake(id, path, why, section="3333 Specification Details", should=True):
    """An error of the application: told to the client as one."""
    wants = {"should": one(*SERVER_ERROR, then=None)} if should else {}
    return answer(id, section, path, why, ours=one(500, then=CLOSED, Connection="close"), **wants)


def failures(kind):
    """An exception at each moment.  Of SystemExit and its like the standards
    say nothing."""
    usual = kind in ("RuntimeError", "MemoryError")
    before = one(*SERVER_ERROR, then=None)
    later = one(200, body=b"data", complete=False, then=CLOSED)
    for when in ("before", "started"):
        wants = {"must": before} if usual else {}
        yield answer(f"{kind}-{when}", ERRORS, f"{kind}-{when}",
                     "an error is an error page, and the server goes on",
                     ours=one(500, then=CLOSED), **wants)  # fmt: skip
    for when in ("later", "with-length"):
        yield answer(f"{kind}-{when}", "9112 8", f"{kind}-{when}",
                     "the client MUST see that the body is cut short",
                     **{"must" if usual else "ours": later})  # fmt: skip


ROWS = table(
    "callable",
    # -- start_response
    works("late", START, "late", "start_response may be called by the iterable", b"late", 201),
    works("empty-blocks-first", START, "empty-blocks-first",
          "the head may wait for the first block that is not empty", b"late"),
    works("returns-write", START, "returns-write", "it returns write()", b"callable"),
    works("exc-info-none", START, "exc-info-none", "exc_info may be None", b"hello"),
    works("exc-info-first", ERRORS, "exc-info-first", "exc_info in the first call", b"sorry", 500),
    works("replaced", ERRORS, "replaced", "exc_info replaces a head that was not sent", b"sorry",
          503, X_First=None, X_Second="1"),
    works("replaced-after-empty-block", ERRORS, "replaced-after-empty-block",
          "an empty block MUST NOT send the head", b"sorry", 503, X_First=None, X_Second="1"),
    works("replaced-length", ERRORS, "replaced-length", "nothing of the first head is left",
          b"sorry", 503),
    answer("too-late-to-replace", ERRORS, "too-late-to-replace",
           "exc_info MUST be raised where the head was sent",
           must=in_step(one(200, body=b"first raised the secret"))),
    answer("too-late-after-write", ERRORS, "too-late-after-write",
           "exc_info MUST be raised where the head was sent",
           must=in_step(one(200, body=b"first raised the secret"))),
    answer("twice", START, "twice", "a second call without exc_info is a fatal error",
           must=one(*SERVER_ERROR, then=None), ours=one(500, then=CLOSED)),
    answer("twice-raises", START, "twice-caught",
           "a second call without exc_info is a fatal error: it raises",
           must=Want((Answer((200, *SERVER_ERROR), complete=None),), None, events=count("seen", 1))),
    answer("headers-changed-later", START, "headers-changed-later",
           "what is appended once the list was given away",
           must=in_step(one(200, body=b"hello"))),
    # -- write()
    works("write", WRITE, "write", "in order", b"abcdef"),
    works("write-then-list", WRITE, "write-then-list", "before the iterable", b"abcdefghi"),
    works("write-with-length", WRITE, "write-with-length", "counted together", b"abcdef"),
    works("write-large", WRITE, "write-large", "however much it is", BLOCK * 80),
    works("write-from-generator", WRITE, "write-from-generator", "also from the iterable",
          b"abcdef"),
    works("write-to-head", WRITE, "write", "HEAD has no body", b"", method="HEAD"),
    # -- close()
    closes("close", "closed"),
    closes("close-of-generator", "closed-generator"),
    closes("close-of-empty", "closed-empty"),
    closes("close-at-head", "closed", method="HEAD"),
    closes("close-at-204", "wrong-204"),
    closes("close-at-304", "wrong-304"),
    closes("close-after-too-long", "too-long"),
    closes("close-after-too-short", "too-short"),
    closes("close-after-failure", "closed-after-failure"),
    closes("close-after-late-failure", "closed-after-late-failure"),
    closes("close-after-str", "closed-after-str"),
    row("close-when-the-client-leaves", CLOSE,
        (head(b"Connection: close", line=b"GET /closed-endless HTTP/1.1"), Leave(100_000)),
        "close() is called, whoever ends it", app="answers:app",
        must=Want((), None, events=count("close", 1))),
    row("close-when-the-client-leaves-at-once", CLOSE,
        (head(b"Connection: close", line=b"GET /closed-endless HTTP/1.1"), Leave(1)),
        "a client that goes at once", app="answers:app",
        must=Want((), None, events=count("close", 1))),
    answer("close-fails", CLOSE, "close-fails", "the answer was complete: it stays so",
           must=Want((Answer((200,), b"hello"),), IN_STEP)),
    # -- Failures
    *(r for kind in ("RuntimeError", "MemoryError", "SystemExit", "KeyboardInterrupt",
                     "GeneratorExit") for r in failures(kind)),
    answer("error-tells-nothing", ERRORS, "RuntimeError-before",
           "no traceback for strangers",
           ours=one(500, then=CLOSED, body=lambda b: "it tells" if b"secret" in b
                    or b"Traceback" in b or b".py" in b else None)),
    # -- Mistakes
    mistake("str-block", "str-block", "a block is bytes"),
    mistake("str-body", "str-body", "a str is an iterable of str"),
    mistake("bytes-body", "bytes-body", "bytes are an iterable of int"),
    mistake("int-block", "int-block", "a block is bytes"),
    mistake("none-block", "none-block", "a block is bytes"),
    mistake("none-body", "none-body", "None is no iterable"),
    mistake("str-to-write", "str-to-write", "a block is bytes"),
    mistake("no-start-response", "no-start-response", "there is no status to send"),
    mistake("no-start-response-no-body", "no-start-response-no-body", "there is no status to send"),
    answer("str-later", "9112 8", "str-later", "the client MUST see that the body is cut short",
           must=one(200, body=b"data", complete=False, then=CLOSED)),
    mistake("int-status", "int-status", "a status is a str"),
    mistake("bytes-status", "bytes-status", "a status is a str"),
    mistake("word-status", "word-status", "a status begins with three digits"),
    mistake("two-digits", "two-digits", "a status begins with three digits"),
    mistake("four-digits", "four-digits", "a status begins with three digits"),
    mistake("dict-headers", "dict-headers", "headers are a list"),
    mistake("none-headers", "none-headers", "headers are a list"),
    mistake("header-of-three", "header-of-three", "a header is a pair"),
    mistake("int-value", "int-value", "a value is a str"),
    mistake("bytes-value", "bytes-value", "a value is a str"),
    mistake("bytes-name", "bytes-name", "a name is a str"),
)  # fmt: skip
