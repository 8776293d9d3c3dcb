"""Hello world with Flask.

    $ wsgid flaskapp:app
    $ curl http://127.0.0.1:8888/hello
"""

from flask import Flask, Response

# A Flask object is a WSGI application: there is nothing more to do.
app = Flask(__name__)


@app.route("/hello")
def hello():
    # A plain string would be sent as text/html.
    return Response("Hello world from Flask!\n", mimetype="text/plain")
