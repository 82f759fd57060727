#!/bin/sh
# Set-up: packages, native helpers, bundle, embedded image; each made only when what it is made from has changed.
#
#   sh scripts/setup.sh            all that running needs
#   sh scripts/setup.sh --test     and what the tests need (as root: compilers and peers too)
#   sh scripts/setup.sh --deps     only the npm packages (with Node 24 among them)
#
# It is a shell script because it runs on a machine where nothing is installed yet, and under whatever Node is there.
# When all is current it reads and writes nothing else, so that anybody may run it in a checkout that is not theirs.
set -eu
umask 022 # what root makes, others must be able to run
cd "$(dirname "$0")/.."

deps_only= for_tests=
for argument; do
  case $argument in
    --deps) deps_only=1 ;;
    --test) for_tests=1 ;;
    *) echo "setup: unknown argument $argument" >&2; exit 2 ;;
  esac
done

say() { echo "setup: $*" >&2; }
die() { say "$1"; shift; for line; do echo "       $line" >&2; done; exit 1; }

# One hash over the names and contents of files, read from stdin as paths that end in NUL. No test is an input of a product.
hash() { LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -c1-32; }
hash_text() { sha256sum | cut -c1-32; }
stamp_native() { find native -path native/build -prune -o -type f -not -name '*.ts' -print0 | hash; }
stamp_bundle() {
  set -- package.json package-lock.json scripts/build.ts scripts/loader.ts scripts/warm.ts
  for room in core cli runtime platform-linux platform-wasi store registry api; do [ ! -d $room ] || set -- "$@" $room; done
  find "$@" -type d -name test -prune -o -type f -not -name '*.test.ts' -print0 | hash
}
stamp_image() { echo "$1 $2 $(if [ -f scripts/embed-image.ts ]; then sha256sum <scripts/embed-image.ts; fi)" | hash_text; }

is() { [ -r "$1" ] && [ "$(cat "$1")" = "$2" ]; }
deps_current() { is node_modules/.coracle-stamp "$deps" && [ -x node_modules/.bin/node ]; }
native_current() { is native/build/.stamp "$native"; }
bundle_current() { is dist/.stamp "$bundle" && [ -r dist/coracle.js ] && [ -r dist/coracle-oci.js ]; }
image_current() { [ ! -f scripts/embed-image.ts ] || { is dist/image.stamp "$image" && [ -r dist/image/index.json ]; }; }
all_current() {
  deps_current || return 1
  [ -z "$deps_only" ] || return 0
  native_current && bundle_current && image_current
}

deps=$(uname -m)-$(hash_text <package-lock.json)
if [ -z "$deps_only" ]; then
  native=$(uname -m)-$(stamp_native)
  bundle=$(stamp_bundle)
  image=$(stamp_image "$native" "$bundle")
fi

build() {
  bundled=
  [ -w . ] || die "this checkout is not set up (or has changed since), and $(id -un) may not write to it" \
    "its owner, $(stat -c %U .), must run \`npm run setup\` in $PWD; or clone it to a folder of your own"

  # The lock is on this folder itself: nothing to create, nothing stale to find, gone with the process.
  exec 9<.
  flock -n 9 || { say "waiting for another set-up of this checkout"; flock 9; }

  if ! deps_current; then
    say "npm packages, with Node 24 (npm ci)"
    command -v npm >/dev/null || die "there is no npm" "an administrator types: apt-get install npm"
    # npm's lines are shown only if it fails.
    log=$(mktemp)
    if ! npm ci --no-fund --no-audit --loglevel=error >"$log" 2>&1 9<&-; then
      cat "$log" >&2
      rm -f "$log"
      die "npm ci failed" "is npm's registry reachable (npm ping)? is $PWD/node_modules yours?"
    fi
    rm -f "$log"
    [ -x node_modules/.bin/node ] || die "npm installed no Node for $(uname -m)" \
      "npm must install optional dependencies (see: npm config get omit)"
    echo "$deps" >node_modules/.coracle-stamp
  fi
  PATH=$PWD/node_modules/.bin:$PATH
  [ -z "$deps_only" ] || return 0

  if ! native_current; then
    # Debian's gcc alone is not enough for make and musl-gcc; root installs what is missing, others are told.
    if ! command -v musl-gcc >/dev/null || ! command -v make >/dev/null; then host_prepare; fi
    command -v make >/dev/null || die "there is no make" "an administrator types: apt-get install make gcc musl-tools linux-libc-dev"
    cc=musl-gcc
    if ! command -v musl-gcc >/dev/null; then
      command -v cc >/dev/null || die "there is no C compiler" "an administrator types: apt-get install make gcc musl-tools linux-libc-dev"
      cc=cc
      say "no musl-gcc: native helpers will be linked to a static glibc, larger and slower to start (remedy: apt-get install musl-tools)"
    fi
    say "native helpers (make -C native, $cc)"
    # -B: make goes by times, which a checkout of another version does not keep; each file is replaced whole.
    make -s -B -C native 9<&- >&2 || die "the native helpers do not compile" "the compiler's message is above"
    mkdir -p native/build
    echo "$native" >native/build/.stamp
  fi
  if ! bundle_current; then
    say "bundle (esbuild)"
    rm -f dist/.stamp
    node scripts/build.ts 9<&- >&2 || die "the bundle cannot be built" "the message is above"
    bundled=1
  fi
  if ! image_current; then
    say "embedded image"
    node scripts/embed-image.ts 9<&- >&2 || die "the embedded image cannot be built" "the message is above"
    echo "$image" >dist/image.stamp
  fi
  # It takes the prober and the image; without it, starts are slower and nothing else.
  if [ -n "$bundled" ]; then
    node scripts/warm.ts 9<&- >&2 || say "the bundle's code could not be compiled ahead: the message is above"
    echo "$bundle" >dist/.stamp
  fi
  # Root in somebody's checkout: what root made is that somebody's.
  if [ "$(id -u)" = 0 ] && [ "$(stat -c %u .)" != 0 ]; then chown -hR --reference=. node_modules dist native/build; fi
  exec 9<&-
}

# What root may and must prepare before a container of a user can run: compiler, newuidmap, the user.
host_prepare() {
  [ "$(id -u)" != 0 ] || PATH=$PWD/node_modules/.bin:$PATH node scripts/setup-host.ts --for start --yes 9<&- >&2 || die "the host could not be prepared"
}

if ! all_current; then
  build
  # Once, and not at every start: what an administrator could add.
  if [ -z "$deps_only" ] && [ "$(id -u)" != 0 ]; then node scripts/setup-host.ts --for host --yes >&2 || true; fi
fi
[ -z "$deps_only" ] || exit 0

PATH=$PWD/node_modules/.bin:$PATH
if [ "$(id -u)" = 0 ]; then
  if [ -n "$for_tests" ]; then
    node scripts/setup-host.ts --for test --yes >&2 || say "the host could not be prepared whole: tests that need more will say so"
  elif ! command -v newuidmap >/dev/null || ! id -u coracle-test >/dev/null 2>&1; then
    host_prepare
  fi
fi
