# A Django site with an administration, signed in to by a header, as Django's documentation says. Its arguments are a
# port of loopback and a folder for its database.
#
# The class and the settings are those that policies/templates/django.toml names. Groups are the site's own matter: its
# back end takes them from a second header.

import sys
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server

import django
from django.conf import settings

port, folder = int(sys.argv[1]), Path(sys.argv[2])
settings.configure(
    ALLOWED_HOSTS=[".localhost", "127.0.0.1"],
    AUTHENTICATION_BACKENDS=["__main__.GatewayBackend"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(folder / "site.sqlite")}},
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    INSTALLED_APPS=[f"django.contrib.{name}" for name in ("admin", "auth", "contenttypes", "messages", "sessions")],
    MIDDLEWARE=[
        "django.contrib.sessions.middleware.SessionMiddleware",
        "django.contrib.auth.middleware.AuthenticationMiddleware",
        "__main__.GatewayMiddleware",
        "django.contrib.messages.middleware.MessageMiddleware",
    ],
    ROOT_URLCONF="__main__",
    SECRET_KEY="a key of the system tests",
    STATIC_URL="/static/",
    TEMPLATES=[
        {
            "BACKEND": "django.template.backends.django.DjangoTemplates",
            "APP_DIRS": True,
            "OPTIONS": {
                "context_processors": [
                    "django.template.context_processors.request",
                    "django.contrib.auth.context_processors.auth",
                    "django.contrib.messages.context_processors.messages",
                ]
            },
        }
    ],
)
django.setup()

from django.contrib import admin
from django.contrib.auth.backends import RemoteUserBackend
from django.contrib.auth.middleware import RemoteUserMiddleware
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.core.wsgi import get_wsgi_application
from django.http import JsonResponse
from django.urls import path, re_path


class GatewayMiddleware(RemoteUserMiddleware):
    header = "HTTP_X_REMOTE_USER"


class GatewayBackend(RemoteUserBackend):
    def authenticate(self, request, remote_user):
        user = super().authenticate(request, remote_user)
        if user is not None:
            names = [name for name in request.META.get("HTTP_X_REMOTE_GROUPS", "").split(",") if name]
            user.groups.set([Group.objects.get_or_create(name=name)[0] for name in names])
            user.email = request.META.get("HTTP_X_REMOTE_EMAIL", "")
            user.is_staff = user.is_superuser = "intranet-admins" in names
            user.save()
        return user


def who_is_it(request):
    """Any other page: who is signed in, as Django sees it."""
    user = request.user
    groups = list(user.groups.values_list("name", flat=True).order_by("name")) if user.is_authenticated else []
    return JsonResponse({"user": user.get_username(), "email": getattr(user, "email", ""), "groups": groups})


urlpatterns = [path("admin/", admin.site.urls), re_path("", who_is_it)]

call_command("migrate", verbosity=0)


class Quiet(WSGIRequestHandler):
    def log_message(self, form, *values):
        print(form % values, flush=True)


make_server("127.0.0.1", port, get_wsgi_application(), handler_class=Quiet).serve_forever()
