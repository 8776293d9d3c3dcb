"""Django: a view, and a page made by its templates."""

from pathlib import Path

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import path

import rows

settings.configure(
    SECRET_KEY="nothing here is secret",
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "DIRS": [Path(__file__).parent / "templates"],
            "OPTIONS": {
                "loaders": [
                    (
                        "django.template.loaders.cached.Loader",
                        ["django.template.loaders.filesystem.Loader"],
                    )
                ],
            },
        }
    ],
)
django.setup()


def hello(request):
    return HttpResponse("Hello, world!\n")


def page(request):
    return render(request, "page.html", {"title": rows.TITLE, "rows": rows.ROWS})


urlpatterns = [path("", hello), path("page", page)]
app = get_wsgi_application()
