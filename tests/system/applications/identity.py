"""An old application in Python: WSGI, HTTP/1.0, one request a connection; it believes the headers that it is given."""

import hashlib
import json
import sys
from wsgiref.simple_server import make_server


def application(environ, start_response):
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    answer = {
        "method": environ["REQUEST_METHOD"],
        "url": environ["PATH_INFO"],
        "told": {name: value for name, value in environ.items() if name.startswith("HTTP_")},
        "length": len(body),
        "sha256": hashlib.sha256(body).hexdigest(),
    }
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(answer).encode()]


make_server("127.0.0.1", int(sys.argv[1]), application).serve_forever()
