"""Hello world with Pyramid.

    $ wsgid pyramidapp:app
    $ curl http://127.0.0.1:8888/hello
"""

from pyramid.config import Configurator
from pyramid.response import Response


def hello(request):
    return Response("Hello world from Pyramid!\n", content_type="text/plain")


# A route gives a URL pattern a name, and the view answers the requests for
# that name.  make_wsgi_app() turns the finished configuration into the
# application.
with Configurator() as config:
    config.add_route("hello", "/hello")
    config.add_view(hello, route_name="hello")
    app = config.make_wsgi_app()
