"""Settings of the project: what is not named here has Django's default.

See https://docs.djangoproject.com/en/3.2/ref/settings/
"""

# Signs sessions and the like.  In a project of your own this is a long random
# text that is kept out of version control.
SECRET_KEY = "an example has no secrets"

# With True an error page shows source code and settings to the visitor.
DEBUG = False

# The host names that the project answers to; others get "400 Bad Request".
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]

# The module that maps URLs to views.
ROOT_URLCONF = "helloworld.urls"

USE_TZ = True
