#!/bin/sh
# Puts nginx, which a test runs in front of the origin, into the cache folder: Debian's package, checked by apt, unpacked
# and not installed, so that it needs no root. An nginx that is in PATH, or that EARSHOT_NGINX names, is used instead.
set -eu
cd "$(dirname "$0")/.."
cache=${EARSHOT_CACHE:-$PWD/.cache}

fail() { echo "setup: $1" >&2; exit 1; }

[ -z "${EARSHOT_NGINX:-}" ] || exit 0
[ ! -x "$cache/nginx/usr/sbin/nginx" ] || exit 0
! command -v nginx >/dev/null 2>&1 || exit 0
for program in apt-get dpkg-deb; do
  command -v $program >/dev/null 2>&1 || fail "nginx is missing, and this is no Debian to fetch it from ($program is missing too): install nginx, or set EARSHOT_NGINX to its path"
done

mkdir -p "$cache"
work=$(mktemp -d "$cache/fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
echo "setup: fetching nginx"
# Lists and packages of its own: the system's may be missing, and only root may change them.
mkdir -p "$work/state/lists/partial" "$work/archives/partial" "$work/deb"
apt() { apt-get -q -o Dir::State="$work/state" -o Dir::State::status=/var/lib/dpkg/status -o Dir::Cache="$work/archives" -o APT::Sandbox::User="$(id -un)" "$@"; }
apt update >"$work/log" 2>&1 && (cd "$work/deb" && apt download nginx) >>"$work/log" 2>&1 ||
  fail "apt could not download nginx: $(grep -m1 '^[EW]:' "$work/log" || tail -n1 "$work/log")"
dpkg-deb -x "$work"/deb/nginx_*.deb "$work/nginx"
[ -x "$work/nginx/usr/sbin/nginx" ] || fail "this Debian's package nginx has no program: install nginx, or set EARSHOT_NGINX to its path"
missing=$(ldd "$work/nginx/usr/sbin/nginx" | sed -n 's/^[[:space:]]*\(.*\) => not found/\1/p' | tr '\n' ' ')
[ -z "$missing" ] || fail "nginx needs libraries that are missing ($missing): apt-get install nginx"
rm -rf "$cache/nginx"
mv "$work/nginx" "$cache/nginx"
