"""Which view answers which URL."""

from django.urls import path

from helloworld import views

urlpatterns = [
    path("hello", views.hello),
]
