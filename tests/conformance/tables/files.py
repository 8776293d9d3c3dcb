"""wsgi.file_wrapper: PEP 3333, Optional Platform-Specific File Handling.  A
server without one serves these through the application's own."""

from pathlib import Path

from rows import CLOSED, count, head, row, serve, table
from tables.responses import answer, in_step, one

SECTION = "3333 File Handling"
CONTENT = (Path(__file__).resolve().parent.parent / "apps" / "content.txt").read_bytes()

# path: body
FILES = {
    "file": CONTENT, "file-with-size": CONTENT, "file-unbuffered": CONTENT,
    "file-from-the-middle": CONTENT[1000:], "file-after-reading": CONTENT[10:],
    "file-at-its-end": b"", "file-in-memory": b"in memory",
    "file-in-memory-from-the-middle": b"memory", "file-bare": b"a file that is nothing but read()",
    "file-pipe": b"through a pipe", "file-in-application": b"in memory",
    "file-behind-middleware": b"IN MEMORY",
}  # fmt: skip

ROWS = table(
    "files",
    *(answer(path, SECTION, path, "from its present position, up to its end or length",
             must=in_step(one(200, body=body)), ours=one(200, body=body))
      for path, body in FILES.items()),
    answer("file-range", SECTION, "file-range", "no more of it than Content-Length",
           should=in_step(one(200, body=CONTENT[1000:1100]))),
    *(answer(f"{path}-head", "9110 9.3.2", path, "HEAD MUST NOT have a body",
             must=in_step(one(200, body=b"")), method="HEAD")
      for path in ("file", "file-in-memory", "file-pipe")),
    *(row(f"{path}-1.0", "9112 6.1", head(line=b"GET /" + path.encode() + b" HTTP/1.0"),
          "up to the end of the connection", app="answers:app",
          must=serve(FILES[path], then=CLOSED, headers={"Transfer-Encoding": None}))
      for path in ("file", "file-bare")),
    answer("file-length", SECTION, "file-with-size", "the size of a file is known",
           ours=one(200, Content_Length=str(len(CONTENT)))),
    answer("file-middle-length", SECTION, "file-from-the-middle", "as much as is left of it",
           ours=one(200, Content_Length=str(len(CONTENT) - 1000))),
    answer("file-closed", SECTION, "file", "close() of the file is called, once",
           must=in_step(one(200, events=count("close", 1)))),
    answer("file-closed-at-head", SECTION, "file", "close() of the file is called, once",
           must=in_step(one(200, events=count("close", 1))), method="HEAD"),
)  # fmt: skip
