"""A page that does in a browser what pages do, and reports how it went.

    /          the page
    /image/N   one of its images
    /form      answers a form with what was in it
    /upload    answers with the length of the body and its type
    /stream    blocks with pauses between
    /ports     how many connections there were, and requests
    /result    takes what the page found, and gives it
"""

import struct
import time
import zlib
from urllib.parse import parse_qs

N_IMAGES = 40
ports, requests = set(), 0
found = b""

PAGE = """<!doctype html>
<title>A page</title>
<link rel="icon" href="data:,">
<div>%s</div>
<iframe name="answer"></iframe>
<form action="/form" method="post" target="answer">
  <input name="name" value="Zoë &amp; co"><textarea name="text">a\r\nb</textarea>
</form>
<script>
async function sum() {
  const images = [...document.images];
  await Promise.all(images.map(image => image.decode()));
  const frame = document.querySelector("iframe");
  const loaded = new Promise(resolve => frame.onload = resolve);
  document.forms[0].submit();
  await loaded;

  const files = new FormData();
  files.append("file", new Blob([new Uint8Array(2000000)]), "zeros");
  const upload = await (await fetch("/upload", {method: "POST", body: files})).text();

  const reader = (await fetch("/stream")).body.getReader();
  let text = "", reads = 0;
  for (;;) {
    const {done, value} = await reader.read();
    if (done) break;
    text += new TextDecoder().decode(value);
    reads++;
  }
  const stopped = await fetch("/stream");
  await stopped.body.cancel();
  return {
    images: images.filter(image => image.naturalWidth === 3).length,
    form: frame.contentDocument.body.textContent,
    upload, text, reads,
    ports: await (await fetch("/ports")).json(),
  };
}
sum().catch(String).then(found =>
  fetch("/result", {method: "PUT", body: JSON.stringify(found)}));
</script>
""" % "".join(f'<img src="/image/{i}">' for i in range(N_IMAGES))


def chunk(kind, data):
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)


def image(number):
    """A PNG of 3 x 1 pixels."""
    row = b"\0" + bytes([number, 0, 0] * 3)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 3, 1, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(row))
        + chunk(b"IEND", b"")
    )


def stream():
    for i in range(5):
        yield b"block %d\n" % i
        time.sleep(0.05)


def page(environ):
    return "text/html; charset=utf-8", [PAGE.encode()]


def form(environ):
    fields = parse_qs(environ["wsgi.input"].read().decode())
    return "text/plain; charset=utf-8", [repr(fields).encode()]


def upload(environ):
    length = len(environ["wsgi.input"].read())
    kind = environ["CONTENT_TYPE"].partition(";")[0]
    return "text/plain", [b"%d of " % length, kind.encode()]


def result(environ):
    global found
    if environ["REQUEST_METHOD"] == "PUT":
        found = environ["wsgi.input"].read()
    return "application/json", [found]


PATHS = {"/": page, "/form": form, "/upload": upload, "/result": result}


def app(environ, start_response):
    global requests
    path = environ["PATH_INFO"]
    if path != "/result":
        ports.add(environ["REMOTE_PORT"])
        requests += 1
    if path.startswith("/image/"):
        kind, body = "image/png", [image(int(path[7:]))]
    elif path == "/stream":
        kind, body = "text/plain", stream()
    elif path == "/ports":
        kind, body = "application/json", [b"[%d, %d]" % (len(ports), requests)]
    else:
        kind, body = PATHS[path](environ)
    start_response("200 OK", [("Content-Type", kind)])
    return body
