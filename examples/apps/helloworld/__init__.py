"""A Django project with one page."""
