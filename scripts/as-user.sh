#!/bin/sh
# Runs a command as a user without privilege: as the caller, or where that is root as `coracle-test`, which set-up made.
#
#   sh scripts/as-user.sh run TREE COMMAND [ARGUMENT…]    in TREE, with a clean environment where root drops to the user
#   sh scripts/as-user.sh tree all|run DIRECTORY          prints a tree that the user can read: this checkout, or
#                                                         a copy in DIRECTORY (`run`: only what bin/* need)
set -eu
user=coracle-test
checkout=$(cd "$(dirname "$0")/.." && pwd -P)

# The user's groups and no capability; the terminal and the exit status stay the caller's (setpriv execs).
drop() { setpriv --reuid "$uid" --regid "$gid" --init-groups --inh-caps=-all -- "$@"; }

if [ "$(id -u)" = 0 ]; then
  uid=$(id -u $user) || { echo "as-user: there is no user $user: run \`npm run setup\` as root" >&2; exit 1; }
  gid=$(id -g $user)
fi

verb=$1
shift
case $verb in
  tree)
    what=$1 copy=$2
    if [ "$(id -u)" != 0 ]; then echo "$checkout"; exit; fi
    cd "$checkout"
    readable=1
    for file in package.json scripts/as-user.sh node_modules/.bin/node dist/*.js dist/image/index.json native/build/stage; do
      [ ! -e "$file" ] || drop test -r "$checkout/$file" || readable=
    done
    if [ -n "$readable" ]; then echo "$checkout"; exit; fi
    # A checkout in root's home, or made with umask 077.
    if [ "$what" = run ]; then
      # Kept, and named by what is in it, so that it is made once.
      stamp=$(cat "$checkout"/native/build/.stamp "$checkout"/dist/.stamp "$checkout"/dist/image.stamp 2>/dev/null | sha256sum | cut -c1-16)
      copy=$copy/$stamp
      if [ -d "$copy" ]; then echo "$copy"; exit; fi
      set -- bin dist native/build package.json node_modules/node-linux-* node_modules/.bin/node
    else
      set -- .
    fi
    echo "as-user: $user cannot read $checkout: copying it to $copy" >&2
    umask 022
    mkdir -p "${copy%/*}"
    rm -rf --one-file-system "${copy%/*}/.copying"
    mkdir "${copy%/*}/.copying"
    (tar -cf - --exclude=./.git "$@") | tar -xf - -C "${copy%/*}/.copying" --no-same-owner
    chmod -R a+rX,go-w "${copy%/*}/.copying"
    mv "${copy%/*}/.copying" "$copy"
    echo "$copy"
    ;;
  run)
    cd "$1"
    shift
    if [ "$(id -u)" != 0 ]; then exec "$@"; fi
    home=$(getent passwd $user | cut -d: -f6)
    runtime=/run/user/$uid
    if [ ! -d "$runtime" ]; then
      # No login manager made it: it lives until the machine stops, as one of a lingering user would.
      (umask 077 && mkdir -p "$runtime")
      chown "$uid:$gid" "$runtime"
      chmod 0755 /run/user
    fi
    exec setpriv --reuid "$uid" --regid "$gid" --init-groups --inh-caps=-all -- \
      env -i PATH="$PWD/node_modules/.bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" \
      HOME="$home" USER=$user LOGNAME=$user XDG_RUNTIME_DIR="$runtime" LANG=C.UTF-8 \
      ${TERM:+"TERM=$TERM"} ${CI:+"CI=$CI"} ${CORACLE_DATA:+"CORACLE_DATA=$CORACLE_DATA"} \
      ${NODE_EXTRA_CA_CERTS:+"NODE_EXTRA_CA_CERTS=$NODE_EXTRA_CA_CERTS"} "$@"
    ;;
  *)
    echo "as-user: unknown verb $verb" >&2
    exit 2
    ;;
esac
