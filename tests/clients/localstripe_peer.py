"""PyPI's localstripe, unmodified, on a free port of 127.0.0.1, which it prints; it ends when its stdin does.

Its own command listens on every address and keeps its store in a file that all instances share: neither is for tests.
"""

import os
import socket
import sys
import threading

from aiohttp import web
from localstripe import resources, server

resources.Store.dump_to_disk = lambda store: None


def end_with_stdin():
    sys.stdin.read()
    os._exit(0)


listener = socket.socket()
listener.bind(("127.0.0.1", 0))
print(listener.getsockname()[1], flush=True)
threading.Thread(target=end_with_stdin, daemon=True).start()
web.run_app(server.app, sock=listener, access_log=None, print=None)
