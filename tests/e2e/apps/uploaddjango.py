"""Forms, files, cookies and redirects with Django, in a single file."""

import hashlib
import json

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import HttpResponseRedirect, JsonResponse
from django.urls import path

settings.configure(
    SECRET_KEY="of a test",
    ALLOWED_HOSTS=["127.0.0.1"],
    ROOT_URLCONF=__name__,
    USE_TZ=True,
    # Larger ones go to temporary files, as in production.
    FILE_UPLOAD_MAX_MEMORY_SIZE=100_000,
)


def digest(blocks):
    sha = hashlib.sha256()
    for block in blocks:
        sha.update(block)
    return sha.hexdigest()


def form(request):
    return JsonResponse(dict(request.POST.lists()))


def files(request):
    return JsonResponse(
        {
            "form": dict(request.POST.lists()),
            "files": {
                name: [file.name, digest(file.chunks())]
                for name, file in request.FILES.items()
            },
        }
    )


def json_(request):
    return JsonResponse(json.loads(request.body), safe=False)


def raw(request):
    blocks = iter(lambda: request.read(65536), b"")
    return JsonResponse(digest(blocks), safe=False)


def login(request):
    response = HttpResponseRedirect("/welcome")
    response.set_cookie("user", "Ren\u00e9e; & co")
    response.set_cookie("other", "2")
    return response


def welcome(request):
    return JsonResponse(dict(request.COOKIES))


def query(request):
    return JsonResponse(dict(request.GET.lists()))


def word(request, word):
    return JsonResponse(word, safe=False)


urlpatterns = [
    path("form", form),
    path("files", files),
    path("json", json_),
    path("raw", raw),
    path("login", login),
    path("welcome", welcome),
    path("query", query),
    path("word/<path:word>", word),
]

app = get_wsgi_application()
