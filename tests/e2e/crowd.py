"""A crowd of idle connections: crowd.py PORT NUMBER.

Each makes one request and is kept.  Prints their number when all are there,
and leaves when its input ends.
"""

import resource
import socket
import sys

REQUEST = b"GET /seen HTTP/1.1\r\nHost: localhost\r\n\r\n"


def main(port, number):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    crowd = []
    for _ in range(number):
        sock = socket.create_connection(("127.0.0.1", port), 60)
        sock.sendall(REQUEST)
        # "[]": nothing but /seen was asked.
        answer = b""
        while not answer.endswith(b"\r\n\r\n[]"):
            answer += sock.recv(4096)
        crowd.append(sock)
    print(len(crowd), flush=True)
    sys.stdin.read()


main(int(sys.argv[1]), int(sys.argv[2]))
