"""Hello world with Bottle.

    $ wsgid bottleapp:app
    $ curl http://127.0.0.1:8888/hello
"""

from bottle import Bottle, response

app = Bottle()


@app.get("/hello")
def hello():
    # A plain string would be sent as text/html.
    response.content_type = "text/plain; charset=utf-8"
    return "Hello world from Bottle!\n"
