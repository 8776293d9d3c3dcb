"""What is measured, and what is to come of it: data, no code that runs anything."""

from dataclasses import dataclass, field

from wire import chunked, request

# Where a number goes that differs in every request: script.h.
MARK = "##########"

# What browsers send with every request, some 670 bytes with the request line.
BROWSER = (
    ("Host", "shop.example.com"),
    ("Connection", "keep-alive"),
    ("Cache-Control", "max-age=0"),
    ("sec-ch-ua", '"Chromium";v="118", "Google Chrome";v="118", "Not=A?Brand";v="99"'),
    ("sec-ch-ua-mobile", "?0"),
    (
        "User-Agent",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko)"
        " Chrome/118.0.0.0 Safari/537.36",
    ),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,image/apng,*/*;q=0.8"),
    ("Sec-Fetch-Site", "same-origin"),
    ("Accept-Encoding", "gzip, deflate, br"),
    ("Accept-Language", "en-GB,en;q=0.9,de;q=0.8"),
)
COOKIE = "session=4c1f{0}9ab2; _ga=GA1.2.{0}.1690000000"
REFERER = "https://shop.example.com/articles/{0}"


def numbered(text):
    """One of the requests that a text with marks stands for."""
    return text.replace(MARK.encode(), b"4815162342")


def browser(number):
    """A request as browsers make them."""
    headers = [
        *BROWSER,
        ("Referer", REFERER.format(number)),
        ("Cookie", COOKIE.format(number)),
    ]
    return request(path=f"/articles/{number}?page=2&sort=price", headers=headers)


def blocks_of(size, count=1):
    return b"0123456789abcde\n" * (size * count // 16)


def post(path="/"):
    return request("POST", path, body=blocks_of(65536))


def post_chunked(path="/"):
    blocks = [blocks_of(4096)] * 16
    headers = [("Transfer-Encoding", "chunked")]
    return request("POST", path, headers, chunked(*blocks))


def multipart(path="/"):
    boundary = "----bench7MA4YWxkTrZu0gW"
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="photo.jpg"\r\n'
        "Content-Type: image/jpeg\r\n\r\n"
    ).encode()
    body += blocks_of(10 << 20) + f"\r\n--{boundary}--\r\n".encode()
    kind = [("Content-Type", f"multipart/form-data; boundary={boundary}")]
    return request("POST", path, kind, body)


def get(path="/"):
    return request(path=path)


# ---- Targets ------------------------------------------------------------------

# Figures, as the tables name them.
FIGURES = {
    "rate": "requests/s",
    "cpu_us": "CPU µs",
    "p99_us": "p99 µs",
    "instructions": "instructions",
    "start_ms": "ms to the first answer",
    "pss_mib": "MiB PSS",
    "idle_kib": "KiB per idle connection",
}


@dataclass(frozen=True)
class Target:
    """A figure of wsgid is at most, or at least, so much: by itself, or compared.

    of="floor1": divided by floor1's of the same round; of="own": less what the application costs by
    itself; of="alone": divided by the same server's without the slow view.
    """

    figure: str
    most: float = None
    least: float = None
    of: str = ""

    def __str__(self):
        bound = f"at most {self.most:,g}" if self.least is None else f"at least {self.least:,g}"
        against = {
            "": "",
            "floor1": " of floor1's",
            "own": " more than the application's own",
            "alone": " times that without the slow view",
        }[self.of]
        return f"{FIGURES[self.figure]} {bound}{against}"

    def is_met(self, value):
        return value <= self.most if self.least is None else value >= self.least


def cpu_ratio(most):
    return Target("cpu_us", most=most, of="floor1")


def instructions(most):
    return Target("instructions", most=most)


# ---- Workloads ----------------------------------------------------------------

FLOORS = ("floor0", "floor1")


@dataclass(frozen=True)
class Workload:
    name: str
    title: str
    app: str
    # Functions, since some requests are large: of those that take turns.
    requests: tuple = (get,)
    # Asked once, by the check of the answers only.
    checks: tuple = ()
    connections: int = 64
    pipeline: int = 1
    # One connection for each request: those behind the first are not timed, and what the first
    # are without them is measured before.
    slow: tuple = ()
    threads: int = 4
    floors: tuple = ("floor1",)
    counted: bool = False  # by callgrind too
    own_cost: bool = False
    client: str = "load"
    targets: tuple = field(default=())


def digest(make):
    """The same request, for an answer that tells every byte of its body."""
    return lambda: make("/?digest")


WORKLOADS = (
    Workload("hello", "hello, 64 connections", "plain:hello", floors=FLOORS, counted=True,
             targets=(instructions(7500), cpu_ratio(1.08))),
    Workload("hello-1", "hello, 1 connection", "plain:hello", connections=1, floors=FLOORS,
             targets=(cpu_ratio(1.15),)),
    Workload("hello-512", "hello, 512 connections", "plain:hello", connections=512, floors=FLOORS,
             targets=(cpu_ratio(1.10),)),
    Workload("hello-wrk", "hello, 64 connections, asked by wrk", "plain:hello", floors=FLOORS,
             client="wrk"),
    Workload("browser", "browser headers, repeated", "plain:hello",
             (lambda: browser("1234567890"),), floors=FLOORS, counted=True,
             targets=(instructions(12000), cpu_ratio(0.90))),
    Workload("browser-varied", "browser headers, different in every request", "plain:hello",
             (lambda: browser(MARK),), floors=FLOORS, counted=True,
             targets=(instructions(22000), cpu_ratio(1.05))),
    Workload("10k", "10 KiB", "plain:ten_kib", floors=FLOORS, targets=(cpu_ratio(1.05),)),
    Workload("1m", "1 MiB", "plain:one_mib", connections=16, floors=FLOORS,
             targets=(cpu_ratio(1.00),)),
    Workload("stream", "generator of 16 × 4 KiB", "plain:stream",
             targets=(Target("rate", least=4, of="floor1"),)),
    Workload("post", "POST of 64 KiB", "plain:upload", (post,), (digest(post),),
             targets=(cpu_ratio(1.10),)),
    Workload("multipart", "multipart upload of 10 MiB", "plain:form", (multipart,),
             (digest(multipart),), connections=4),
    Workload("chunked", "chunked upload of 16 × 4 KiB", "plain:upload", (post_chunked,),
             (digest(post_chunked),)),
    Workload("pipelined", "16 pipelined hellos", "plain:hello", pipeline=16, floors=FLOORS,
             targets=(Target("rate", least=0.8, of="floor1"),)),
    Workload("file", "file of 10 MiB by wsgi.file_wrapper", "plain:file", connections=8,
             targets=(cpu_ratio(1.05),)),
    Workload("flask", "Flask, hello", "flaskapp:app", own_cost=True,
             targets=(Target("cpu_us", most=10, of="own"),)),
    Workload("django", "Django, hello", "djangoapp:app", own_cost=True,
             targets=(Target("cpu_us", most=10, of="own"),)),
    Workload("flask-page", "Flask, a page of 30 KiB by Jinja", "flaskapp:app",
             (lambda: get("/page"),), own_cost=True),
    Workload("django-page", "Django, a page of 30 KiB by its templates", "djangoapp:app",
             (lambda: get("/page"),), own_cost=True),
    Workload("sleep", "view sleeping 20 ms, 32 connections, 16 threads", "plain:sleeping",
             connections=32, threads=16, floors=(),
             targets=(Target("rate", least=0.97 * 16 / 0.020), Target("cpu_us", most=70))),
    Workload("slow", "nine fast views, one of 200 ms beside them, 4 threads", "plain:one_slow",
             (lambda: get("/fast"),) * 9, slow=(lambda: get("/slow"),), connections=10, floors=(),
             targets=(Target("p99_us", most=3, of="alone"),)),
    Workload("beside", "hello beside a thread that computes", "plain:beside",
             targets=(Target("rate", least=20000),)),
)  # fmt: skip

# Not asked but weighed: start, memory, idle connections; with hello.
FOOTPRINT = Workload(
    "footprint", "start and memory, with hello", "plain:hello", floors=FLOORS,
    targets=(Target("start_ms", most=30), Target("pss_mib", most=11), Target("idle_kib", most=0.5)),
)  # fmt: skip

BY_NAME = {w.name: w for w in (*WORKLOADS, FOOTPRINT)}
