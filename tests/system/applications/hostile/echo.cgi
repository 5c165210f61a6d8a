#!/bin/sh
# A CGI script: what it was told, one variable a line. Below /admin, as the server or the script itself sees it, it tells its secret.
printf 'Content-Type: text/plain\r\n\r\n'
case "$SCRIPT_NAME$PATH_INFO" in
  /admin/* | /cgi-bin/admin/* | /cgi-bin/app/admin/*) echo 'the secret of the application' ;;
esac
env | sort
