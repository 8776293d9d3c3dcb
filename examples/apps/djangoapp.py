"""Hello world with Django: makes the project `helloworld` an application.

    $ wsgid djangoapp:app
    $ curl http://127.0.0.1:8888/hello

A project made by `django-admin startproject` has this file already: serve it
from the project's folder with `wsgid mysite.wsgi`.
"""

import os

from django.core.wsgi import get_wsgi_application

# Django reads its settings from the module that this variable names.
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "helloworld.settings")

app = get_wsgi_application()
