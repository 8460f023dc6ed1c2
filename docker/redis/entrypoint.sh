#!/bin/sh
# Starts redis-server as the public image does: flags or a *.conf alone will do,
# and the user is redis, not root.
set -eu
case "${1-}" in '' | -* | *.conf) set -- redis-server "$@" ;; esac
[ "$1" = redis-server ] || exec "$@"
shift
conf=
case "${1-}" in *.conf) conf=$1 && shift ;; esac
# The network around the container decides who may connect.
set -- redis-server ${conf:+"$conf"} --protected-mode no "$@"
[ "$(id -u)" != 0 ] || {
  chown redis:redis .
  set -- setpriv --reuid=redis --regid=redis --clear-groups "$@"
}
exec "$@"
