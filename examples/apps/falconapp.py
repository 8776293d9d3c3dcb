"""Hello world with Falcon.

    $ wsgid falconapp:app
    $ curl http://127.0.0.1:8888/hello
"""

import falcon


class Hello:
    """A resource: it has a method for each HTTP method that it knows."""

    def on_get(self, req, resp):
        resp.content_type = falcon.MEDIA_TEXT
        resp.text = "Hello world from Falcon!\n"

    # Falcon does not derive HEAD from GET; the server leaves the body out.
    on_head = on_get


app = falcon.App()
app.add_route("/hello", Hello())
