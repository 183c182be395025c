#!/usr/bin/env python3
"""An adversarial server of the OpenAI dialect.

    server.py PORT TRAIN.jsonl...     serves /m/BEHAVIOR/v1/chat/completions and /m/BEHAVIOR/v1/models on loopback
    server.py --self-test             calls every behavior once for every template, without a network
    server.py --list                  prints the behaviors

BEHAVIOR may end in ~TAG: the same behavior with a state of its own, so that a second run begins like the first. PORT 0 takes a free
one; the first line of the output is `ready PORT`. Answers depend on ADVERSARY_SEED, the behavior, the request and how often it was
sent; where a behavior counts requests, on their order too. GET /errors has the number of requests that ended in an exception.
"""

import asyncio
import json
import os
import random
import re
import socket
import struct
import sys
import traceback
import zlib

import behaviors  # noqa: F401
from registry import BEHAVIORS, Ask, Reply
from world import World

SEED = os.environ.get("ADVERSARY_SEED", "1")
# Seconds after which a connection that hangs is closed.
HANG = 20.0
REASONS = {
    200: "OK",
    204: "No Content",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    408: "Request Timeout",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    451: "Unavailable For Legal Reasons",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
}
ROUTE = re.compile(r"/m/([^/~]+)(~[^/]*)?/v1(/[^?]*)")
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Server:
    """Behaviors with their states; knows nothing of sockets."""

    def __init__(self, world):
        self.world, self.states, self.errors = world, {}, 0
        self.cache = {}

    def answer(self, method, path, body):
        if path == "/errors":
            return Reply(body={"errors": self.errors})
        route = ROUTE.fullmatch(path)
        behavior = route and BEHAVIORS.get(route[1])
        if not behavior:
            return Reply(404, {"error": {"message": "no such behavior", "code": "not_found"}})
        if method == "GET":
            names = ["tuned", "base", behavior.model]
            if route[3] != "/models":
                return Reply(body={"id": behavior.model, "object": "model", "created": 1, "owned_by": "adversary"})
            return Reply(
                body={
                    "object": "list",
                    "data": [{"id": name, "object": "model", "created": 1, "owned_by": "adversary"} for name in dict.fromkeys(names)],
                }
            )
        if route[3] != "/chat/completions":
            return Reply(404, {"error": {"message": "not served here", "code": "not_found"}})
        try:
            state = self.states.setdefault((route[1], route[2]), {})
            # A request that is sent again must be able to fare better than before.
            digest = zlib.crc32(body)
            again = state[digest] = state.get(digest, 0) + 1
            rng = random.Random(zlib.crc32(f"{SEED} {route[1]} {again}".encode(), digest))
            return behavior.respond(Ask(json.loads(body), self.world, rng, state, self.cache))
        except Exception:
            self.errors += 1
            print(f"error in {route[1]}:", file=sys.stderr)
            traceback.print_exc()
            return Reply(500, {"error": {"message": "the behavior failed", "code": "adversary_bug"}})


class Connection(asyncio.Protocol):
    """Keeps a connection alive, and answers its requests in order."""

    def __init__(self, server):
        self.server, self.buffer, self.transport, self.waits = server, b"", None, False

    def connection_made(self, transport):
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data):
        self.buffer += data
        while not self.waits:
            end = self.buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            length = LENGTH.search(self.buffer, 0, end + 2)
            total = end + 4 + (int(length[1]) if length else 0)
            if len(self.buffer) < total:
                return
            method, path, _ = self.buffer[: self.buffer.find(b"\r\n")].decode("latin-1").split(" ", 2)
            body, self.buffer = self.buffer[end + 4 : total], self.buffer[total:]
            self.send(self.server.answer(method, path, body))

    def send(self, reply):
        if reply.mode == "hang":
            self.waits = True
            asyncio.get_running_loop().call_later(HANG, self.transport.abort)
            return
        if reply.mode == "reset":
            # Linger of zero seconds: the client sees a reset, not an end.
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
            self.waits = True
            return
        body = reply.encoded()
        head = [f"HTTP/1.1 {reply.status} {REASONS.get(reply.status, 'Other')}", f"content-type: {reply.content_type}"]
        # The runs are about verdicts, not about patience: a try that fails may be sent again at once.
        head.append("retry-after-ms: 1")
        head += [f"{name}: {value}" for name, value in reply.headers]
        if reply.mode == "chunked":
            head.append("transfer-encoding: chunked")
            pieces = [body[at : at + 50] for at in range(0, len(body), 50)] + [b""]
            body = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
        elif reply.status != 204:
            head.append(f"content-length: {len(body)}")
        self.transport.write("\r\n".join(head).encode("utf-8") + b"\r\n\r\n" + (body[: reply.keep] if reply.mode == "cut" else body))
        if reply.mode == "cut":
            self.transport.close()
            self.waits = True


async def serve(port, world):
    server = Server(world)
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: Connection(server), "127.0.0.1", port, backlog=1024)
    print("ready", listener.sockets[0].getsockname()[1], flush=True)
    await listener.serve_forever()


def main():
    if sys.argv[1:] == ["--self-test"]:
        import selftest

        return selftest.run()
    if sys.argv[1:] == ["--list"]:
        for behavior in BEHAVIORS.values():
            codes = "/".join(map(str, sorted(behavior.accept)))
            mark = "says the secret" if behavior.says_secret else "beyond reach" if behavior.beyond else ""
            print(f"{behavior.name:40} {behavior.group:12} {codes:10} {mark:16} {behavior.what}")
        return 0
    if len(sys.argv) < 3 or not sys.argv[1].isdigit():
        print(__doc__, file=sys.stderr)
        return 2
    world = World(sys.argv[2:])
    if not world.rows:
        print("error: no planted row in " + ", ".join(sys.argv[2:]), file=sys.stderr)
        return 3
    try:
        asyncio.run(serve(int(sys.argv[1]), world))
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
