"""A WSGI application: what it was told, one variable a line. Below /admin, as PATH_INFO has it, it tells its secret."""

import posixpath
import sys
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server


def application(environ, start_response):
    # Many frameworks collapse what they are asked for before they look for it.
    path = posixpath.normpath("/" + environ["PATH_INFO"].lstrip("/")) + "/"
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    secret = ["the secret of the application"] if path.startswith("/admin/") else []
    lines = secret + [f"{name}={value}" for name, value in environ.items() if isinstance(value, str)]
    return ["\n".join(lines).encode("utf-8", "replace")]


class Quiet(WSGIRequestHandler):
    def log_message(self, form, *values):
        pass


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


make_server("127.0.0.1", int(sys.argv[1]), application, Server, Quiet).serve_forever()
