"""A small real service for supervision tests: serves HTTP, is ready late or never, ends late or never.

    slow_service.py --port N [--ready-after S | --never-ready] [--exit-after S --status N]
                    [--ignore-term] [--end-after S] [--guard] [--spans FILE]

GET / answers 503 {"ready": false} until it is ready, then 200 {"ready": true}. `--spans` gets a line
`name event time.monotonic()` when it begins, becomes ready and ends.
"""

import argparse
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from stack.guard import die_with_parent


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    parser.add_argument("--ready-after", type=float, default=0.0)
    parser.add_argument("--never-ready", action="store_true")
    parser.add_argument("--exit-after", type=float)
    parser.add_argument("--status", type=int, default=1)
    parser.add_argument("--ignore-term", action="store_true")
    parser.add_argument("--end-after", type=float, default=0.0)
    parser.add_argument("--guard", action="store_true")
    parser.add_argument("--spans")
    options = parser.parse_args()

    def mark(event: str) -> None:
        if options.spans:
            with open(options.spans, "a") as file:
                file.write(f"{os.environ.get('NAME', '?')} {event} {time.monotonic()}\n")

    def end(*_: object) -> None:
        time.sleep(options.end_after)
        mark("end")
        os._exit(0)

    if options.guard:
        die_with_parent()
    signal.signal(signal.SIGTERM, signal.SIG_IGN if options.ignore_term else end)
    mark("begin")
    if options.exit_after is not None:
        print(f"{os.environ.get('NAME', '?')} cannot find its model", flush=True)
        time.sleep(options.exit_after)
        sys.exit(options.status)

    begun = time.monotonic()
    port = options.port or int(os.environ["PORT"])

    def is_ready() -> bool:
        return not options.never_ready and time.monotonic() - begun >= options.ready_after

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            ready = is_ready()
            body = b'{"ready": true, "data": [{"id": "tiny"}]}' if ready else b'{"ready": false}'
            self.send_response(200 if ready else 503)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    if not options.never_ready:
        threading.Timer(options.ready_after, mark, ["ready"]).start()
    print(f"listening on {port}", flush=True)
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main()
