"""Serves the project as a real server does: some workers, each with a kept connection to the database."""

import os
import socketserver
import sys
import threading
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.0"

    def log_message(self, *_):
        pass


class Shared(WSGIServer):
    """A server on a socket that all workers share."""

    def __init__(self, listening):
        socketserver.BaseServer.__init__(self, listening.getsockname(), Quiet)
        self.socket = listening
        self.server_name, self.server_port = listening.getsockname()
        self.setup_environ()


def main():
    sys.path.insert(0, os.getcwd())
    from shop.wsgi import application
    import socket

    listening = socket.create_server(("127.0.0.1", 0), backlog=128)
    print(listening.getsockname()[1], flush=True)
    for _ in range(int(sys.argv[1])):
        server = Shared(listening)
        server.set_app(application)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()  # until the test ends


main()
