#!/bin/sh
# `npm start`: set-up, then the command line, which without arguments runs the embedded image.
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh
[ $# -gt 0 ] || set -- run --rm hello

if [ "$(id -u)" = 0 ]; then
  tree=$(sh scripts/as-user.sh tree run /var/lib/coracle/trees)
  echo "start: running as the user coracle-test, for Coracle's containers need no root" >&2
  exec sh scripts/as-user.sh run "$tree" ./bin/coracle "$@"
fi
exec ./bin/coracle "$@"
