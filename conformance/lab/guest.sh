#!/bin/sh
# In the lab's guest, as root: puts the user where a login would, and runs guest.main.ts there.
#
#     sh conformance/lab/guest.sh GROUND USER LARDER
#
#   v2        a subtree of version 2 is delegated, and there is no systemd
#   none      as before, but the user's cgroup lies outside of it: nothing is delegated
#   systemd   a plain login: a session scope of the system's systemd, which is root's, beside a user manager
#   bus       as before, but the manager is reached over the session bus alone
set -eu
ground=$1 user=$2 larder=$3
uid=$(id -u "$user")
cgroups=/sys/fs/cgroup
service=$cgroups/user.slice/user-$uid.slice/user@$uid.service
tries=0

set -- setpriv --reuid "$uid" --regid "$(id -g "$user")" --init-groups --inh-caps=-all -- \
  env -i PATH="$PWD/node_modules/.bin:/usr/local/bin:/usr/bin:/bin" HOME="/home/$user" USER="$user" LANG=C.UTF-8 \
  XDG_RUNTIME_DIR="/run/user/$uid" DBUS_SESSION_BUS_ADDRESS="unix:path=/run/user/$uid/bus" \
  node conformance/lab/guest.main.ts "$ground" "$larder"

case $ground in
  v2)
    echo $$ >"$service/app.slice/lab-run.scope/cgroup.procs"
    exec "$@"
    ;;
  none)
    mkdir -p "$cgroups/elsewhere"
    echo $$ >"$cgroups/elsewhere/cgroup.procs"
    exec "$@"
    ;;
  systemd | bus)
    while [ ! -S "/run/user/$uid/systemd/private" ] && [ "$ground" = systemd ] && [ $tries -lt 600 ]; do
      tries=$((tries + 1))
      sleep 0.1
    done
    [ "$ground" = systemd ] || mv "/run/user/$uid/systemd/private" "/run/user/$uid/systemd/hidden"
    exec systemd-run --scope --quiet --slice="user-$uid.slice" --unit="session-$ground" "$@"
    ;;
esac
echo "guest: no such ground: $ground" >&2
exit 2
